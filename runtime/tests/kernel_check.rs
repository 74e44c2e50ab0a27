//! Every microkernel of every instruction set that this CPU has, against a loop over the normative arithmetic, by
//! `==`, guard bytes included.
//!
//! `RESI8_EXPECT_ISAS`, a comma-separated list, names the instruction sets that must have been checked: one that is
//! not available then is a failure, not a skip.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test data is small"
)]

mod common;

use common::{Random, Values};
use resi8::Isa;
use resi8::arith::{requantize, skip_term};
use resi8::format::records::ChannelRecord;
use resi8::kernels::{ConvTile, Epilogue, Kernels, Packing, SkipTile};
use resi8::model::Channel;

const GUARD: i8 = 0x5a;

/// A table with packed weights, `[run][value][channel]`, so that the packed path is checked on every machine.
static PACKED: Kernels = Kernels {
    isa: Isa::Portable,
    mr: 3,
    nr: 5,
    packing: Some(Packing { panel_len: |runs, run_len| runs * run_len * 5, pack: pack5 }),
    conv: conv_packed5,
    ..resi8::kernels::portable::KERNELS
};

fn pack5(weights: &[i8], runs: usize, run_len: usize, panel: &mut [i8]) -> Option<()> {
    let len = runs * run_len;
    for (index, panel) in panel.chunks_exact_mut(5).enumerate() {
        for (channel, place) in panel.iter_mut().enumerate() {
            *place = weights.get(channel * len + index).copied().unwrap_or(0);
        }
    }
    Some(())
}

fn conv_packed5(tile: &ConvTile<'_>, out: &mut [i8]) -> Option<()> {
    let weight = |channel: usize, index: usize| tile.weights[index * 5 + channel];
    reference(tile, weight, out);
    Some(())
}

/// The tile by the formulas; `weight(channel, index)` reads weights, `index` over runs and values.
fn reference(tile: &ConvTile<'_>, weight: impl Fn(usize, usize) -> i8, out: &mut [i8]) {
    for pixel in 0..tile.pixels {
        for (channel, record) in tile.channels.iter().enumerate() {
            let parameters = Channel::read(record);
            let place = pixel * tile.out_stride + tile.first_channel + channel;
            let mut acc = i64::from(parameters.bias);
            for (run, start) in tile.runs.iter().enumerate() {
                for value in 0..tile.run_len {
                    let q = tile.input[start + pixel * tile.pixel_stride + value];
                    acc += i64::from(q) * i64::from(weight(channel, run * tile.run_len + value));
                }
            }
            if let Some(skip) = &tile.skip {
                let own = (tile.first_channel + channel) as i64 - skip.channel as i64;
                if (0..skip.channel_count as i64).contains(&own) {
                    let q = skip.values.map_or(out[place], |v| v[pixel * skip.pixel_stride + own as usize]);
                    acc += i64::from(skip_term(q, skip.zero_point, parameters.skip_multiplier, skip.shift));
                }
            }
            let [low, high] = tile.epilogue.clamp;
            let acc = i32::try_from(acc).unwrap();
            out[place] = requantize(acc, parameters.multiplier, tile.epilogue.zero_point, low, high);
        }
    }
}

/// Channel records whose accumulators reach as far as the format allows, and ordinary ones.
fn channel_records(
    random: &mut Random,
    count: usize,
    fan_in: usize,
    skip: bool,
    extreme: bool,
) -> Vec<[u8; ChannelRecord::LEN]> {
    let spread = (fan_in as f64).sqrt() * 5000.0;
    let reach = (1i64 << 30) - 1 - fan_in as i64 * 127 * 128 - (1 << 29);
    (0..count)
        .map(|_| {
            let bias = if extreme {
                random.pick(&[-reach, reach])
            } else {
                random.range(-(spread as i64), spread as i64)
            };
            let shift =
                if extreme { random.pick(&[2, 29, 30]) } else { (spread.log2() as i64 - 6).clamp(2, 30) };
            let mantissa =
                random.pick(&[1 << 30, i32::MAX, random.clone().range(1 << 30, i32::MAX.into()) as i32]);
            let limit = if extreme { 2_000_000 } else { spread as i64 };
            let skip_multiplier = if skip { random.range(-limit, limit) as i32 } else { 0 };
            ChannelRecord { bias: bias as i32, mantissa, skip_multiplier, shift: shift as u8 }.write()
        })
        .collect()
}

fn check_conv(kernels: &Kernels, name: &str, seed: u64) {
    let mut random = Random::new(seed);
    let values = random.pick(&Values::ALL);
    let pixels = random.size(1, kernels.mr);
    let channels = random.size(1, kernels.nr);
    let (run_count, run_len) =
        (random.size(1, 7), random.pick(&[1, 2, 3, 4, 7, 9, 15, 16, 17, 21, 31, 33, 48, 64, 65, 192]));
    let pixel_stride = random.size(1, run_len + 3);
    let reach = (kernels.mr - 1) * pixel_stride + run_len;
    let runs: Vec<usize> = (0..run_count).map(|_| random.size(0, 40)).collect();
    let input: Vec<i8> = (0..40 + reach).map(|i| values.get(&mut random, i, -128)).collect();
    let len = run_count * run_len;
    let weight_values = random.pick(&Values::ALL);
    let weights: Vec<i8> = (0..channels * len).map(|i| weight_values.get(&mut random, i, -127)).collect();
    let first_channel = random.size(0, 6);
    let out_stride = first_channel + channels + random.size(0, 5);
    let skip_channels = random.size(1, out_stride);
    let skip_offset = random.size(0, out_stride - skip_channels);
    let skip_stride = skip_channels + random.size(0, 9);
    let skip_values: Vec<i8> =
        (0..kernels.mr * skip_stride).map(|i| values.get(&mut random, i, -128)).collect();
    let skip_kind = random.size(0, 2);
    let skip = SkipTile {
        values: (skip_kind == 1).then_some(&skip_values),
        pixel_stride: skip_stride,
        channel_count: if skip_kind == 2 { out_stride } else { skip_channels },
        channel: if skip_kind == 2 { 0 } else { skip_offset },
        zero_point: random.i8(),
        shift: random.size(0, 8) as u8,
    };
    let extreme = random.size(0, 3) == 0;
    let records = channel_records(&mut random, channels, len, skip_kind > 0, extreme);
    let bounds = random.pick(&[[-128, 127], [-128, -128], [127, 127], [-17, 90]]);
    let mut packed = vec![GUARD; kernels.packed_len(channels, run_count, run_len).unwrap()];
    let tile_weights = match kernels.packing {
        Some(packing) => {
            (packing.pack)(&weights, run_count, run_len, &mut packed).unwrap();
            &packed
        }
        None => &weights,
    };
    let tile = ConvTile {
        input: &input,
        runs: &runs,
        run_len,
        pixel_stride,
        pixels,
        weights: tile_weights,
        channels: &records,
        first_channel,
        out_stride,
        epilogue: Epilogue { zero_point: random.i8(), clamp: bounds },
        skip: (skip_kind > 0).then_some(skip),
    };
    let before: Vec<i8> = (0..pixels * out_stride + 64).map(|_| random.i8()).collect();
    let (mut expected, mut found) = (before.clone(), before);
    reference(&tile, |channel, index| weights[channel * len + index], &mut expected);
    // The slice that the kernel gets ends with the tile: a write past it would panic, one beside it shows.
    (kernels.conv)(&tile, &mut found[..pixels * out_stride]).unwrap();
    assert!(found == expected, "{name}/conv, seed {seed}: {tile:?}");
}

fn check_elementwise(kernels: &Kernels, name: &str, seed: u64) {
    let mut random = Random::new(seed);
    let values = random.pick(&Values::ALL);
    let len = random.size(0, 150);
    let a: Vec<i8> = (0..len).map(|i| values.get(&mut random, i, -128)).collect();
    let b: Vec<i8> = (0..len).map(|i| values.get(&mut random, i, -127)).collect();
    let dot: i32 = a.iter().zip(&b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
    assert_eq!((kernels.dot)(&a, &b), dot, "{name}/dot, seed {seed}");
    let mut found = vec![GUARD; len + 16];
    found[..len].copy_from_slice(&b);
    (kernels.max_into)(&mut found[..len], &a);
    let expected = a.iter().zip(&b).map(|(&a, &b)| a.max(b)).chain([GUARD; 16]);
    assert!(found.iter().copied().eq(expected), "{name}/max_into, seed {seed}");
    let mut sums = vec![1_000_000; len + 16];
    (kernels.sum_into)(&mut sums[..len], &a);
    let expected = a.iter().map(|&a| 1_000_000 + i32::from(a)).chain([1_000_000; 16]);
    assert!(sums.iter().copied().eq(expected), "{name}/sum_into, seed {seed}");
}

fn check_all(kernels: &Kernels, name: &str) {
    for seed in 0..20_000 {
        check_conv(kernels, name, seed);
    }
    for seed in 0..2_000 {
        check_elementwise(kernels, name, seed);
    }
    println!("kernel_check: {name} ran");
}

#[test]
fn every_available_isa() {
    let available: Vec<Isa> = Isa::available().collect();
    for isa in &available {
        check_all(Kernels::for_isa(*isa).unwrap(), isa.name());
    }
    for expected in
        std::env::var("RESI8_EXPECT_ISAS").unwrap_or_default().split(',').filter(|name| !name.is_empty())
    {
        let isa =
            Isa::from_name(expected).unwrap_or_else(|| panic!("no instruction set is called {expected}"));
        assert!(available.contains(&isa), "{expected} was expected and is not available here");
    }
}

#[test]
fn packed_weights() {
    check_all(&PACKED, "packed reference");
}

#[test]
fn whole_networks_with_packed_weights() {
    for seed in 0..20 {
        let content = common::network(seed, Values::Random);
        let file = content.to_bytes().unwrap();
        let plan = resi8::Plan::with_kernels(resi8::Model::parse(&file).unwrap(), &PACKED).unwrap();
        assert!(plan.packed_len() > 0);
        let input = common::input_of(&plan.model().input(), Values::Random, seed);
        assert!(common::run(&plan, &input, 0x33) == common::naive::run(&content, &input), "network {seed}");
    }
}
