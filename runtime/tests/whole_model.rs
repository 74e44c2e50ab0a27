//! The network that comes with resi8, converted once and for all: its file carries a hash of every layer's output, and
//! every instruction set, with any number of threads, must arrive at these hashes.
//!
//! `RESI8_EXPECT_ISAS` is as in `kernel_check.rs`. Converting again (`resi8 demo -o runtime/tests/models/resnet8.r8`) is
//! needed only when the format changes: the scales come from float arithmetic, which is not the same on every machine.

mod common;

use std::num::NonZeroUsize;

use common::plans;
use resi8::kernels::Kernels;
use resi8::kernels::winograd::Costs;
use resi8::{AlignedBuf, Buffers, Isa, Model, Plan, Session};

static FILE: &[u8] = include_bytes!("models/resnet8.r8");
/// The same network, whose layers run together by rows; `resi8 demo --low-memory`.
static LOW_MEMORY: &[u8] = include_bytes!("models/resnet8-low-memory.r8");

#[test]
fn every_instruction_set_computes_the_committed_hashes() {
    let models = [FILE, LOW_MEMORY].map(|file| Model::parse(file).unwrap());
    for layer in 0..models[0].layer_count() {
        assert_eq!(models[0].self_test_hash(layer), models[1].self_test_hash(layer), "layer {layer}");
    }
    for plan in models.into_iter().flat_map(plans) {
        check(plan);
        println!("whole model: {} with {} threads ran", plan.kernels().isa, plan.threads());
    }
}

/// Every convolution that Winograd's method has a form for is computed by it, those of stride 2 too, whatever the table's costs say.
#[test]
fn winograd_everywhere_computes_the_committed_hashes() {
    const FREE: Costs = Costs { direct: 1, tile: 0, group: 1, weights: 0, input: 0, output: 0 };
    let models = [FILE, LOW_MEMORY].map(|file| Model::parse(file).unwrap());
    for kernels in Isa::available().filter_map(Kernels::for_isa) {
        let mut table = kernels.clone();
        let Some(winograd) = &mut table.winograd else { continue };
        (winograd.costs, winograd.stride_2) = (FREE, Some(FREE));
        let table: &_ = Box::leak(Box::new(table));
        for threads in [1, 2].map(|threads| NonZeroUsize::new(threads).unwrap()) {
            for model in models {
                let forced = Plan::with_kernels(model, table).unwrap();
                check(forced.with_threads(threads).unwrap());
            }
            println!("whole model: {} with Winograd everywhere, {threads} threads, ran", kernels.isa);
        }
    }
}

fn check(plan: Plan<'_>) {
    let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
    let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
    let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
    let result = Session::new(plan, buffers).unwrap().self_test();
    assert_eq!(result, Ok(()), "{}, {} threads", plan.kernels().isa, plan.threads());
}
