//! The portable kernels and all drivers against a naive interpreter of the formulas, layer by layer, by `==`.

mod common;

use common::{
    Builder, Random, SkipSpec, Values, WindowSpec, input_of, naive, network, plans, plans_with, run,
};
use resi8::format::write::Content;
use resi8::{Isa, Model, Plan, PlanError};

fn check(content: &Content, what: &str) {
    let file = content.to_bytes().unwrap();
    let model = Model::parse(&file).unwrap_or_else(|error| panic!("{what}: {error}"));
    for values in Values::ALL {
        let input = input_of(&model.input(), values, 7);
        let expected = naive::run(content, &input);
        for plan in plans(model) {
            let how = format!("{}, {} threads", plan.kernels().isa, plan.threads());
            for canary in [0x00, 0x55, 0xff] {
                let found = run(&plan, &input, canary);
                for (layer, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    assert!(found == expected, "{what}, {how}, {values:?} input: layer {layer} differs");
                }
            }
        }
    }
}

#[test]
fn networks_with_every_layer_and_shortcut() {
    for seed in 0..40 {
        for values in Values::ALL {
            check(&network(seed, values), &format!("network {seed}, {values:?} weights"));
        }
    }
}

/// A convolution whose weights can be transformed: any padding, with a shortcut of its own memory, in place, of stride 2, or none.
fn transformable(random: &mut Random, values: Values, seed: u64) -> (Content, usize) {
    let [h, w] = [2 * random.size(1, 9), 2 * random.size(1, 11)];
    let (channels, out) = (16 * random.size(1, 3), random.size(1, 20));
    let [top, left] = [random.size(0, 2), random.size(0, 2)];
    let window = WindowSpec { kernel: [3, 3], stride: [1, 1], pads: [top, left, 2 - top, 2 - left] };
    let half = WindowSpec { kernel: [1, 1], stride: [2, 2], pads: [0; 4] };
    let mut b = Builder::new([2 * h, 2 * w - 1, 3], values, seed);
    let first = b.conv(0, channels, half, None);
    let shortcut = b.conv(0, out, half, None);
    let channel = random.size(0, out.saturating_sub(3));
    let skip = match random.size(0, if out < 3 { 2 } else { 3 }) {
        0 => None,
        1 => Some(SkipSpec { tensor: shortcut, stride: 1, channel: 0, in_place: true }),
        2 => Some(SkipSpec { tensor: shortcut, stride: 1, channel: 0, in_place: false }),
        _ => Some(SkipSpec { tensor: 0, stride: 2, channel, in_place: false }),
    };
    let tensor = b.conv(first, out, window, skip);
    let mean = b.average_pool(tensor);
    b.dense(mean, 3);
    (b.finish(), tensor - 1)
}

#[test]
fn transformed_weights() {
    let mut random = Random::new(3);
    for case in 0..200 {
        let values = random.pick(&Values::ALL);
        let (content, layer) = transformable(&mut random, values, case);
        let file = content.with_transformed(&[layer]).unwrap().to_bytes().unwrap();
        let model = Model::parse(&file).unwrap_or_else(|error| panic!("case {case}: {error}"));
        let neutral = content.to_bytes().unwrap();
        let neutral = Model::parse(&neutral).unwrap();
        assert_eq!((model.macs(), model.parameters()), (neutral.macs(), neutral.parameters()));
        let input = input_of(&model.input(), values, case);
        let expected = naive::run(&content, &input);
        for isa in Isa::available() {
            match Plan::new(model, isa) {
                Ok(plan) => assert!(run(&plan, &input, 0x55) == expected, "case {case}, {isa}"),
                Err(error) => assert_eq!(error, PlanError::OtherTarget { layer, isa }),
            }
        }
        assert!(Plan::new(model, Isa::Portable).is_ok());
    }
}

#[test]
fn convolution_shapes() {
    let mut random = Random::new(1);
    for case in 0..300 {
        let kernel = random.pick(&[[1, 1], [3, 3], [7, 7], [1, 3], [5, 2], [2, 2]]);
        let [kh, kw] = kernel;
        let stride = [random.size(1, 3), random.size(1, 3)];
        let pads =
            [random.size(0, kh - 1), random.size(0, kw - 1), random.size(0, kh - 1), random.size(0, kw - 1)];
        let window = WindowSpec { kernel, stride, pads };
        let size = [random.size(kh.max(2), 11), random.size(kw.max(2), 11), random.pick(&[1, 3])];
        let values = random.pick(&Values::ALL);
        let mut b = Builder::new(size, values, case);
        let (middle, out) = (random.size(1, 19), random.size(1, 19));
        let first = b.conv(0, middle, WindowSpec::POINT, None);
        let second = b.conv(first, out, window, None);
        let classes = random.size(1, 11);
        b.dense(second, classes);
        check(
            &b.finish(),
            &format!("case {case}: {size:?} {middle} -> {out}, {window:?}, {values:?} weights"),
        );
    }
}

/// Poolings that are part of a convolution, of every small geometry, and on their own behind the same convolution:
/// the same values.
#[test]
fn convolutions_with_a_pooling() {
    let mut random = Random::new(3);
    for case in 0..200 {
        let size = [random.size(1, 12), random.size(1, 12), random.pick(&[1, 3])];
        let window = random.pick(&[
            WindowSpec::POINT,
            WindowSpec::SAME3,
            WindowSpec { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1] },
            WindowSpec { kernel: [7, 7], stride: [2, 2], pads: [3, 3, 3, 3] },
            WindowSpec { kernel: [1, 1], stride: [2, 1], pads: [0; 4] },
        ]);
        let map = window.out_size(u16::try_from(size[0]).unwrap(), u16::try_from(size[1]).unwrap());
        let pool = WindowSpec::random_pool(&mut random, map);
        let (channels, values) = (random.size(1, 19), random.pick(&Values::ALL));
        let what = format!("case {case}: {size:?} -> {channels}, {window:?}, {pool:?}, {values:?} weights");
        let build = |add: &dyn Fn(&mut Builder) -> usize| {
            let mut b = Builder::new(size, values, case);
            let pooled = add(&mut b);
            b.average_pool(pooled);
            b.dense(pooled, 3);
            b.finish()
        };
        let fused = build(&|b| b.conv_pool(0, channels, window, pool));
        check(&fused, &what);
        let apart = build(&|b| {
            let map = b.conv(0, channels, window, None);
            b.max_pool(map, pool)
        });
        check(&apart, &what);
        // Bell-shaped models have other parameters where a pooling follows.
        if values != Values::Bell {
            assert_eq!(fused.self_test_hashes, apart.self_test_hashes[1..], "{what}");
        }
    }
}

/// Shapes that the Winograd method takes: 3x3, stride 1, multiples of 16 channels, enough pixels; with shortcuts in all
/// places and with poolings.
#[test]
fn large_3x3_convolutions() {
    let mut random = Random::new(5);
    for case in 0..24 {
        let pads = random.pick(&[[1; 4], [0; 4], [2, 0, 1, 2]]);
        let window = WindowSpec { kernel: [3, 3], stride: [1, 1], pads };
        let size = [random.size(13, 19), random.size(13, 19), 3];
        let values = random.pick(&Values::ALL);
        let mut b = Builder::new(size, values, case);
        let channels = random.pick(&[16, 32, 48, 144]);
        let wide = b.conv(0, channels, WindowSpec::POINT, None);
        let inner = b.conv(wide, random.pick(&[16, 21, 32]), window, None);
        let narrow = b.conv(inner, 16, WindowSpec::POINT, None);
        let skip = match random.size(0, 2) {
            0 => None,
            1 => Some(SkipSpec { tensor: narrow, stride: 1, channel: 0, in_place: false }),
            _ => Some(SkipSpec { tensor: inner, stride: 1, channel: 0, in_place: true }),
        };
        let out = match skip {
            Some(SkipSpec { tensor, .. }) => usize::from(b.content.tensors[tensor].c),
            None => random.size(1, 40),
        };
        let joined = b.conv(narrow, out, WindowSpec::SAME3, skip);
        let back = b.conv(joined, 16, WindowSpec::POINT, None);
        let pool = WindowSpec { kernel: [3, 3], stride: [2, 2], pads: [1; 4] };
        let pooled = b.conv_pool(back, 20, WindowSpec::SAME3, pool);
        b.dense(pooled, 3);
        check(&b.finish(), &format!("case {case}: {size:?}, {channels} channels, {window:?}, {skip:?}"));
    }
}

/// Shapes of stride 2 that the Winograd method takes: 7x7 on few channels with and without a pooling, 3x3 on multiples of 16.
#[test]
fn large_convolutions_of_stride_2() {
    let mut random = Random::new(6);
    for case in 0..16 {
        let values = random.pick(&Values::ALL);
        let size = [random.size(40, 61), random.size(40, 61), random.pick(&[1, 3, 3])];
        let mut b = Builder::new(size, values, case);
        let pads = random.pick(&[[3; 4], [2, 3, 3, 2], [0; 4]]);
        let stem = WindowSpec { kernel: [7, 7], stride: [2, 2], pads };
        let pool = WindowSpec { kernel: [3, 3], stride: [1, 1], pads: [1; 4] };
        let channels = random.pick(&[16, 48, 64]);
        let map = if random.size(0, 1) == 0 {
            b.conv_pool(0, channels, stem, pool)
        } else {
            b.conv(0, channels, stem, None)
        };
        let pads = random.pick(&[[1; 4], [0, 0, 1, 1], [0; 4]]);
        let window = WindowSpec { kernel: [3, 3], stride: [2, 2], pads };
        let half = b.conv(map, random.size(17, 80), window, None);
        let average = b.average_pool(half);
        b.dense(average, 3);
        check(&b.finish(), &format!("case {case}: {size:?}, {stem:?}, {channels} channels, {window:?}"));
    }
}

/// Layers with so many multiply-accumulates that every thread gets a part: a first layer of stride 2 with a pooling, 1x1
/// convolutions with a shortcut of their own and in place, 3x3 of both strides; at the end some that have more weights than activations, whose
/// channels are cut for two threads.
#[test]
fn layers_cut_for_threads() {
    let mut b = Builder::new([67, 61, 3], Values::Random, 9);
    let stem = WindowSpec { kernel: [7, 7], stride: [2, 2], pads: [3; 4] };
    let pool = WindowSpec { kernel: [3, 3], stride: [2, 2], pads: [1; 4] };
    let map = b.conv_pool(0, 112, stem, pool);
    let wide = b.conv(map, 448, WindowSpec::POINT, None);
    let inner = b.conv(wide, 112, WindowSpec::POINT, None);
    let skip = SkipSpec { tensor: wide, stride: 1, channel: 0, in_place: true };
    let joined = b.conv(inner, 448, WindowSpec::POINT, Some(skip));
    let narrow = b.conv(joined, 112, WindowSpec::POINT, None);
    let skip = SkipSpec { tensor: narrow, stride: 1, channel: 0, in_place: false };
    let same = b.conv(narrow, 112, WindowSpec::SAME3, Some(skip));
    let half = WindowSpec { stride: [2, 2], ..WindowSpec::SAME3 };
    let small = b.conv(same, 512, half, None);
    let first = b.conv(small, 128, WindowSpec::POINT, None);
    let skip = SkipSpec { tensor: first, stride: 1, channel: 0, in_place: false };
    let second = b.conv(first, 128, WindowSpec::SAME3, Some(skip));
    let third = b.conv(second, 128, WindowSpec::SAME3, Some(SkipSpec { in_place: true, ..skip }));
    let mean = b.average_pool(third);
    b.dense(mean, 3);
    let content = b.finish();
    let file = content.to_bytes().unwrap();
    let cut = Model::parse(&file).unwrap().layers().filter(|layer| layer.macs() >= 3 << 22).count();
    assert!(cut >= 6, "only {cut} layers are cut in three");
    check(&content, "layers cut for threads");
}

/// Small maps with many channels, in odd numbers too, and every kind of shortcut, for more threads than there are rows or panels.
#[test]
fn channels_cut_for_threads() {
    let mut random = Random::new(10);
    for case in 0..12 {
        let values = random.pick(&Values::ALL);
        let [h, w] = [random.size(5, 9), random.size(5, 9)];
        let (channels, out) = (16 * random.size(5, 16), random.pick(&[130, 256, 300, 512]));
        let mut b = Builder::new([2 * h, 2 * w, 3], values, case);
        let half = WindowSpec { kernel: [1, 1], stride: [2, 2], pads: [0; 4] };
        let input = b.conv(0, channels, half, None);
        let skip = match case % 4 {
            0 => None,
            3 => {
                let tensor = b.conv(0, channels.min(out), WindowSpec::POINT, None);
                Some(SkipSpec { tensor, stride: 2, channel: out.saturating_sub(channels), in_place: false })
            }
            kind => {
                let tensor = b.conv(0, out, half, None);
                Some(SkipSpec { tensor, stride: 1, channel: 0, in_place: kind == 1 })
            }
        };
        let joined = b.conv(input, out, WindowSpec::SAME3, skip);
        let mean = b.average_pool(joined);
        b.dense(mean, 3);
        let content = b.finish();
        let file = content.to_bytes().unwrap();
        let model = Model::parse(&file).unwrap();
        let input = input_of(&model.input(), values, case);
        let expected = naive::run(&content, &input);
        for plan in plans_with(model, &[2, 3, 4, 7, 8, 10, 16]) {
            let how = format!("{}, {} threads", plan.kernels().isa, plan.threads());
            assert!(
                run(&plan, &input, 0x5a) == expected,
                "case {case}: [{h}, {w}, {channels}] to {out}, {how}"
            );
        }
    }
}

#[test]
fn shortcuts_of_1x1_convolutions() {
    let mut random = Random::new(2);
    for case in 0..100 {
        let (stride, in_place) = random.pick(&[(1, true), (1, false), (2, false), (3, false)]);
        let size = [random.size(3, 9), random.size(3, 9), 3];
        let mut b = Builder::new(size, random.pick(&Values::ALL), case);
        let channels = random.size(1, 9);
        let extra = if in_place { 0 } else { random.size(0, 5) };
        let skip = b.conv(0, channels, WindowSpec::SAME3, None);
        let reduce = WindowSpec { kernel: [1, 1], stride: [stride, stride], pads: [0; 4] };
        let inner = b.conv(skip, 4, reduce, None);
        let spec = SkipSpec { tensor: skip, stride, channel: random.size(0, extra), in_place };
        let joined = b.conv(inner, channels + extra, WindowSpec::POINT, Some(spec));
        b.dense(joined, 3);
        check(&b.finish(), &format!("case {case}: stride {stride}, in place {in_place}"));
    }
}

#[test]
fn self_test_passes_and_names_the_layer_that_differs() {
    let mut content = network(3, Values::Random);
    let run = |content: &Content| {
        let file = content.to_bytes().unwrap();
        let plan = Plan::new(Model::parse(&file).unwrap(), Isa::best()).unwrap();
        let (mut arena, mut packed) = (
            resi8::AlignedBuf::new(plan.arena_len()).unwrap(),
            resi8::AlignedBuf::new(plan.packed_len()).unwrap(),
        );
        let buffers = resi8::Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
        resi8::Session::new(plan, buffers).unwrap().self_test()
    };
    assert_eq!(run(&content), Ok(()));
    content.self_test_hashes[4] ^= 1;
    assert!(matches!(run(&content), Err(resi8::RunError::SelfTest { layer: 4, .. })));
}
