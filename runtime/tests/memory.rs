//! The arena: exact, refused when one byte short, and no byte outside it is touched.

mod common;

use common::{Values, input_of, naive, network, plans};
use resi8::{AlignedBuf, Buffers, Isa, Model, Plan, RunError, Session};

#[test]
fn one_byte_less_is_refused_with_the_length_needed() {
    let file = network(1, Values::Random).to_bytes().unwrap();
    for plan in plans(Model::parse(&file).unwrap()) {
        let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
        let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
        let short = &mut arena.as_mut()[..plan.arena_len() - 1];
        let error = Session::new(plan, Buffers { arena: short, packed: packed.as_mut() }).unwrap_err();
        assert_eq!(error, RunError::ArenaTooSmall { needed: plan.arena_len(), found: plan.arena_len() - 1 });
        assert!(error.to_string().contains(&plan.arena_len().to_string()));
        let Some(less) = plan.packed_len().checked_sub(1) else { continue };
        let short = &mut packed.as_mut()[..less];
        let error = Session::new(plan, Buffers { arena: arena.as_mut(), packed: short }).unwrap_err();
        assert_eq!(error, RunError::PackedTooSmall { needed: plan.packed_len(), found: less });
    }
}

#[test]
fn an_arena_that_is_not_aligned_is_refused() {
    let file = network(1, Values::Random).to_bytes().unwrap();
    let plan = Plan::new(Model::parse(&file).unwrap(), Isa::best()).unwrap();
    let mut arena = AlignedBuf::new(plan.arena_len() + 1).unwrap();
    let error = Session::new(plan, Buffers { arena: &mut arena.as_mut()[1..], packed: &mut [] }).unwrap_err();
    assert_eq!(error, RunError::Misaligned { needed: 4 });
}

#[test]
fn an_input_of_the_wrong_length_is_refused() {
    let file = network(1, Values::Random).to_bytes().unwrap();
    let plan = Plan::new(Model::parse(&file).unwrap(), Isa::Portable).unwrap();
    let needed = plan.model().input().len();
    let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
    let mut session = Session::new(plan, Buffers { arena: arena.as_mut(), packed: &mut [] }).unwrap();
    let error = session.classify(&vec![0; needed + 1]).unwrap_err();
    assert_eq!(error, RunError::InputLength { needed, found: needed + 1 });
}

#[test]
fn bytes_behind_the_buffers_stay_and_old_content_does_not_matter() {
    for seed in 0..20 {
        let content = network(seed, Values::Random);
        let file = content.to_bytes().unwrap();
        let model = Model::parse(&file).unwrap();
        let input = input_of(&model.input(), Values::Random, seed);
        let expected = naive::run(&content, &input).pop().unwrap();
        for (plan, canary) in plans(model).flat_map(|plan| [0x00, 0xa5, 0xff].map(|canary| (plan, canary))) {
            let mut memory = AlignedBuf::new(plan.arena_len() + 64).unwrap();
            let mut weights = AlignedBuf::new(plan.packed_len() + 64).unwrap();
            memory.as_mut().fill(canary);
            weights.as_mut().fill(canary);
            let (arena, behind) = memory.as_mut().split_at_mut(plan.arena_len());
            let (packed, behind_packed) = weights.as_mut().split_at_mut(plan.packed_len());
            let mut session = Session::new(plan, Buffers { arena, packed }).unwrap();
            for _ in 0..2 {
                session.input_mut().copy_from_slice(&input);
                assert_eq!(session.run().unwrap(), expected, "network {seed}, canary {canary:#x}");
            }
            let untouched = behind.iter().chain(&*behind_packed).all(|byte| *byte == canary);
            assert!(untouched, "network {seed}, {}: written behind a buffer", plan.kernels().isa);
        }
    }
}
