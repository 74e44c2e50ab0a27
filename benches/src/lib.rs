//! What the benchmarks run on: networks of published geometry with random weights, which run exactly as fast as
//! trained ones. They are built with the model builder of the runtime's tests, whose naive interpreter also gives them
//! their self-test.

#[path = "../../runtime/tests/common/mod.rs"]
mod common;

use common::{Builder, Random, SkipSpec, Values, WindowSpec};
use resi8::format::records::TensorRecord;

const SEED: u64 = 1;

/// Bytes of the largest feature map, 32 x 32 x 16. Three of them are all the memory that these networks need.
const SLOT_LEN: u32 = 32 * 32 * 16;

/// The slot of what is neither the input nor the output of a block; those two are in slots 0 and 2.
const INNER: u32 = 1;

/// Pseudo-random int8 values from `lowest` up, the same in every run.
pub fn random_values(lowest: i8) -> impl Iterator<Item = i8> {
    let mut random = Random::new(SEED);
    std::iter::repeat_with(move || random.i8().max(lowest))
}

/// The ResNet-8 of MLPerf Tiny: 32 x 32 RGB pixels, 12.5 million multiply-accumulates.
///
/// # Panics
/// The model builder is broken.
#[must_use]
pub fn resnet8() -> Vec<u8> {
    network(1, Shortcut::Projection)
}

/// The ResNet-20 of the residual-learning paper's CIFAR-10 experiments: 32 x 32 RGB pixels, option A shortcuts, 40.6
/// million multiply-accumulates.
///
/// # Panics
/// The model builder is broken.
#[must_use]
pub fn resnet20() -> Vec<u8> {
    network(3, Shortcut::Subsampled)
}

/// How a block's input reaches its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shortcut {
    Identity,
    /// The block halves the map and doubles the channels; so does a 1x1 convolution beside it.
    Projection,
    /// The same, with every second pixel and zeros for the new channels (option A).
    Subsampled,
}

/// Three stages of `blocks` blocks; the first block of the second and of the third stage has the shortcut `half`.
fn network(blocks: usize, half: Shortcut) -> Vec<u8> {
    let mut net = Network { builder: Builder::new([32, 32, 3], Values::Random, SEED), slots: vec![INNER] };
    let mut map = net.conv(0, 16, same(3, 1), None, 0);
    for first in [Shortcut::Identity, half, half] {
        map = net.block(map, first);
        for _ in 1..blocks {
            map = net.block(map, Shortcut::Identity);
        }
    }
    net.finish(map)
}

/// A square kernel whose padding keeps the size of the map, up to the stride.
const fn same(kernel: usize, stride: usize) -> WindowSpec {
    WindowSpec { kernel: [kernel; 2], stride: [stride; 2], pads: [kernel / 2; 4] }
}

/// A network under construction, with the memory of every tensor.
struct Network {
    builder: Builder,
    slots: Vec<u32>,
}

impl Network {
    fn conv(
        &mut self,
        input: usize,
        out: usize,
        window: WindowSpec,
        skip: Option<SkipSpec>,
        slot: u32,
    ) -> usize {
        self.slots.push(slot);
        self.builder.conv(input, out, window, skip)
    }

    /// Two 3x3 convolutions and a shortcut.
    fn block(&mut self, x: usize, shortcut: Shortcut) -> usize {
        let channels = usize::from(self.builder.content.tensors[x].c);
        let (stride, out) = if shortcut == Shortcut::Identity { (1, channels) } else { (2, 2 * channels) };
        let other = 2 - self.slots[x];
        let inner = self.conv(x, out, same(3, stride), None, INNER);
        let in_place = |tensor| SkipSpec { tensor, stride: 1, channel: 0, in_place: true };
        let (skip, slot) = match shortcut {
            Shortcut::Identity => (in_place(x), self.slots[x]),
            Shortcut::Projection => (in_place(self.conv(x, out, same(1, 2), None, other)), other),
            Shortcut::Subsampled => {
                (SkipSpec { tensor: x, stride: 2, channel: channels / 2, in_place: false }, other)
            }
        };
        self.conv(inner, out, same(3, 1), Some(skip), slot)
    }

    /// Mean, classifier of ten classes, and the file.
    fn finish(mut self, map: usize) -> Vec<u8> {
        let mean = self.builder.average_pool(map);
        self.builder.dense(mean, 10);
        self.slots.extend([INNER, 0]);
        let content = &mut self.builder.content;
        for (TensorRecord { offset, .. }, slot) in content.tensors.iter_mut().zip(self.slots) {
            *offset = slot * SLOT_LEN;
        }
        content.graph.activation_bytes = content.tensors.iter().map(end).max().unwrap_or_default();
        self.builder.finish().to_bytes().expect("a small model fits a file")
    }
}

/// Where a tensor ends in the arena.
fn end(tensor: &TensorRecord) -> u32 {
    let element = if tensor.element == TensorRecord::I32 { 4 } else { 1 };
    tensor.offset + u32::from(tensor.h) * u32::from(tensor.w) * u32::from(tensor.c) * element
}

#[cfg(test)]
mod tests {
    use resi8::Model;

    #[test]
    fn the_networks_are_those_published() {
        for (file, macs, parameters) in
            [(super::resnet8(), 12_501_632, 77_706), (super::resnet20(), 40_551_040, 269_034)]
        {
            let model = Model::parse(&file).unwrap();
            assert_eq!((model.macs(), model.parameters()), (macs, parameters));
        }
    }
}
