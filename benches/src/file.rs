//! From a model under construction to a file.

use crate::common::{Builder, naive};
use resi8::format::records::TensorRecord;
use resi8::format::write::Content;
use resi8::{AlignedBuf, Buffers, Isa, Layer, Model, Observer, Output, OutputHash, Plan, RunError, Session};

/// Models with more multiply-accumulates than this get their self-test from the portable kernels, because the naive
/// interpreter takes too long.
const MOST_NAIVE_MACS: u64 = 50_000_000;

/// The file, with a memory plan and a self-test.
pub(crate) fn finish(builder: Builder) -> Vec<u8> {
    let mut content = builder.without_hashes();
    share_memory(&mut content);
    let file = bytes(&content);
    let model = Model::parse(&file).expect("the builder makes valid models");
    content.self_test_hashes = if model.macs() > MOST_NAIVE_MACS {
        portable_hashes(model)
    } else {
        naive::self_test_hashes(&content)
    };
    bytes(&content)
}

fn bytes(content: &Content) -> Vec<u8> {
    content.to_bytes().expect("less than 4 GiB")
}

/// Bytes of a tensor.
fn len(tensor: &TensorRecord) -> u32 {
    let element = if tensor.element == TensorRecord::I32 { 4 } else { 1 };
    u32::from(tensor.h) * u32::from(tensor.w) * u32::from(tensor.c) * element
}

/// Every tensor to the lowest place that is free while it is in use. Where an output overwrites its shortcut, the
/// builder has given both the same place, and they keep a common one.
fn share_memory(content: &mut Content) {
    let mut placed: Vec<TensorRecord> = Vec::new();
    for (index, tensor) in content.tensors.iter().enumerate() {
        let in_place = content.tensors[..index].iter().position(|earlier| earlier.offset == tensor.offset);
        let offset = match in_place {
            Some(shortcut) => placed[shortcut].offset,
            None => lowest_place(&placed, index, len(tensor)),
        };
        placed.push(TensorRecord { offset, ..*tensor });
    }
    content.graph.activation_bytes =
        placed.iter().map(|tensor| tensor.offset + len(tensor)).max().unwrap_or_default();
    content.tensors = placed;
}

/// The lowest place of `len` bytes that no tensor uses which is still read when tensor `index` is written.
fn lowest_place(placed: &[TensorRecord], index: usize, len_needed: u32) -> u32 {
    let mut used: Vec<_> = placed
        .iter()
        .filter(|tensor| usize::from(tensor.last_use) + 1 >= index)
        .map(|tensor| (tensor.offset, tensor.offset + len(tensor)))
        .collect();
    used.sort_unstable();
    let mut place = 0;
    for (start, end) in used {
        if place + len_needed <= start {
            break;
        }
        place = place.max(end.next_multiple_of(64));
    }
    place
}

/// The hash of every layer's output.
#[derive(Default)]
struct Hashes {
    hash: OutputHash,
    of_layers: Vec<u32>,
}

impl Observer for Hashes {
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
        self.of_layers.extend(self.hash.add(layer, output));
        Ok(())
    }
}

fn portable_hashes(model: Model<'_>) -> Vec<u32> {
    let plan = Plan::new(model, Isa::Portable).expect("the portable kernels are always there");
    let mut arena = AlignedBuf::new(plan.arena_len()).expect("enough memory");
    let mut session = Session::new(plan, Buffers { arena: arena.as_mut(), packed: &mut [] })
        .expect("the buffers have the lengths asked for");
    session.set_self_test_input();
    let mut hashes = Hashes::default();
    session.run_observed(&mut hashes).expect("the portable kernels run every model");
    hashes.of_layers
}
