//! The networks.

use crate::SEED;
use crate::common::{Builder, SkipSpec, Values, WindowSpec};
use crate::file;

/// A network and its name.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Its name.
    pub name: &'static str,
    /// Builds its model file.
    ///
    /// # Panics
    /// The model builder is broken.
    pub file: fn() -> Vec<u8>,
}

impl Network {
    /// All of them, the smallest first.
    pub const ALL: [Self; 4] = [
        Self { name: "resnet8", file: resnet8 },
        Self { name: "resnet20", file: resnet20 },
        Self { name: "resnet18", file: resnet18 },
        Self { name: "resnet50", file: resnet50 },
    ];
}

/// The ResNet-8 of MLPerf Tiny: 32 x 32 RGB pixels, 12.5 million multiply-accumulates.
fn resnet8() -> Vec<u8> {
    cifar(1, Half::Projection)
}

/// The ResNet-20 of the residual-learning paper's CIFAR-10 experiments: 32 x 32 RGB pixels, option A shortcuts, 40.6
/// million multiply-accumulates.
fn resnet20() -> Vec<u8> {
    cifar(3, Half::Subsampled)
}

/// ResNet-18 for ImageNet: 224 x 224 RGB pixels, 1.8 billion multiply-accumulates.
fn resnet18() -> Vec<u8> {
    imagenet([2, 2, 2, 2], |net, x, channels, stride| {
        let half = if stride == 1 { Half::No } else { Half::Projection };
        basic(net, x, channels, half)
    })
}

/// ResNet-50 for ImageNet in the usual variant (1.5: 3x3 convolutions have the stride): 224 x 224 RGB pixels, 4.1 billion
/// multiply-accumulates.
fn resnet50() -> Vec<u8> {
    imagenet([3, 4, 6, 3], bottleneck)
}

/// How a block halves the map and doubles the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// Not at all.
    No,
    /// With a 1x1 convolution beside it.
    Projection,
    /// With a shortcut of every second pixel and zeros for the new channels (option A).
    Subsampled,
}

/// Three stages of `blocks` blocks.
fn cifar(blocks: usize, half: Half) -> Vec<u8> {
    let mut net = Builder::new([32, 32, 3], Values::Bell, SEED);
    let mut map = net.conv(0, 16, same(3, 1), None);
    for (channels, first) in [(16, Half::No), (32, half), (64, half)] {
        map = basic(&mut net, map, channels, first);
        for _ in 1..blocks {
            map = basic(&mut net, map, channels, Half::No);
        }
    }
    classify(net, map, 10)
}

/// A block of a network for ImageNet: its input, its channels (inside, in a bottleneck), and its stride.
type ImageNetBlock = fn(&mut Builder, usize, usize, usize) -> usize;

/// Four stages of these numbers of blocks.
fn imagenet(blocks: [usize; 4], block: ImageNetBlock) -> Vec<u8> {
    let mut net = Builder::new([224, 224, 3], Values::Bell, SEED);
    let mut map = net.conv_pool(0, 64, same(7, 2), same(3, 2));
    for (stage, blocks) in blocks.into_iter().enumerate() {
        for index in 0..blocks {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            map = block(&mut net, map, 64 << stage, stride);
        }
    }
    classify(net, map, 1000)
}

/// A square kernel whose padding keeps the size of the map, up to the stride.
const fn same(kernel: usize, stride: usize) -> WindowSpec {
    WindowSpec { kernel: [kernel; 2], stride: [stride; 2], pads: [kernel / 2; 4] }
}

/// A shortcut that is overwritten.
const fn in_place(tensor: usize) -> SkipSpec {
    SkipSpec { tensor, stride: 1, channel: 0, in_place: true }
}

/// Two 3x3 convolutions and a shortcut.
fn basic(net: &mut Builder, x: usize, channels: usize, half: Half) -> usize {
    let stride = if half == Half::No { 1 } else { 2 };
    let skip = match half {
        Half::No => in_place(x),
        Half::Projection => in_place(net.conv(x, channels, same(1, 2), None)),
        Half::Subsampled => SkipSpec { tensor: x, stride: 2, channel: channels / 4, in_place: false },
    };
    let inner = net.conv(x, channels, same(3, stride), None);
    net.conv(inner, channels, same(3, 1), Some(skip))
}

/// A 1x1, a 3x3 and a 1x1 convolution, and a shortcut, projected where the size changes.
fn bottleneck(net: &mut Builder, x: usize, channels: usize, stride: usize) -> usize {
    let out = 4 * channels;
    let skip = if usize::from(net.content.tensors[x].c) == out {
        x
    } else {
        net.conv(x, out, same(1, stride), None)
    };
    let narrow = net.conv(x, channels, same(1, 1), None);
    let inner = net.conv(narrow, channels, same(3, stride), None);
    net.conv(inner, out, same(1, 1), Some(in_place(skip)))
}

/// Mean, classifier, and the file.
fn classify(mut net: Builder, map: usize, classes: usize) -> Vec<u8> {
    let mean = net.average_pool(map);
    net.dense(mean, classes);
    file::finish(net)
}

#[cfg(test)]
mod tests {
    use super::*;
    use resi8::{AlignedBuf, Buffers, Isa, Layer, Model, Observer, Output, Plan, RunError, Session};

    #[test]
    fn the_networks_are_those_published() {
        let published = [
            (12_501_632, 77_706),
            (40_551_040, 269_034),
            (1_814_073_344, 11_684_712),
            (4_089_184_256, 25_530_472),
        ];
        for (network, published) in Network::ALL.into_iter().zip(published) {
            let file = (network.file)();
            let model = Model::parse(&file).unwrap();
            assert_eq!((model.macs(), model.parameters()), published, "{}", network.name);
            check_activations(model, network.name);
        }
    }

    /// Activations of convolutions: how many there are, how many are at the zero point, and how many above 0.
    #[derive(Default)]
    struct Counts([usize; 3]);

    impl Observer for Counts {
        fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
            if let (resi8::model::Op::Conv(_), Output::Activations(values) | Output::Row { values, .. }) =
                (&layer.op, output)
            {
                let [all, zeros, large] = &mut self.0;
                *all += values.len();
                *zeros += values.iter().filter(|&&value| value == -128).count();
                *large += values.iter().filter(|&&value| value > 0).count();
            }
            Ok(())
        }
    }

    /// They are as the crate's documentation says.
    fn check_activations(model: Model<'_>, name: &str) {
        let plan = Plan::new(model, Isa::best()).unwrap();
        let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
        let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
        let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
        let mut session = Session::new(plan, buffers).unwrap();
        session.set_self_test_input();
        let mut counts = Counts::default();
        session.run_observed(&mut counts).unwrap();
        let [all, zeros, large] = counts.0;
        let per_mille = |count: usize| count * 1000 / all;
        println!("{name}: {} per mille at the zero point, {} above 0", per_mille(zeros), per_mille(large));
        assert!((400..=600).contains(&per_mille(zeros)), "{name}: {zeros} of {all} at the zero point");
        assert!((1..=10).contains(&per_mille(large)), "{name}: {large} of {all} above 0");
    }
}
