//! The network that comes with resi8, converted once and for all: its file carries a hash of every layer's output, and
//! every instruction set, with any number of threads, must arrive at these hashes.
//!
//! `RESI8_EXPECT_ISAS` is as in `kernel_check.rs`. Converting again (`resi8 demo -o runtime/tests/models/resnet8.r8`) is
//! needed only when the format changes: the scales come from float arithmetic, which is not the same on every machine.

mod common;

use common::plans;
use resi8::{AlignedBuf, Buffers, Model, Session};

static FILE: &[u8] = include_bytes!("models/resnet8.r8");

#[test]
fn every_instruction_set_computes_the_committed_hashes() {
    let model = Model::parse(FILE).unwrap();
    for plan in plans(model) {
        let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
        let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
        let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
        let result = Session::new(plan, buffers).unwrap().self_test();
        assert_eq!(result, Ok(()), "{}, {} threads", plan.kernels().isa, plan.threads());
        println!("whole model: {} with {} threads ran", plan.kernels().isa, plan.threads());
    }
}
