//! Runs in steps of any number of layers give what runs in one piece give.

mod common;

use common::{Outputs, Values, input_of, naive, network, plans, streaming};
use resi8::format::write::Content;
use resi8::{AlignedBuf, Buffers, Layer, Model, Observer, Output, RunError, Session};

#[test]
fn steps_of_any_size_give_the_same_layers() {
    for seed in 0..5 {
        let content = network(seed, Values::Random);
        let file = content.to_bytes().unwrap();
        let model = Model::parse(&file).unwrap();
        let input = input_of(&model.input(), Values::Random, seed);
        let expected = naive::run(&content, &input);
        for plan in plans(model) {
            let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
            let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
            let mut session =
                Session::new(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() }).unwrap();
            for step in [1, 2, 3, model.layer_count() - 1, model.layer_count(), usize::MAX] {
                session.input_mut().copy_from_slice(&input);
                let mut outputs = Outputs::default();
                assert_eq!(session.run_layers(0, &mut outputs), Ok(false));
                let mut calls = 1;
                while !session.run_layers(step, &mut outputs).unwrap() {
                    calls += 1;
                }
                assert_eq!(calls, expected_calls(&content, step));
                assert_eq!(outputs.0, expected);
                assert_eq!(session.logits(), expected.last().unwrap());
            }
        }
    }
}

/// Calls that run all layers, `step` at a time, and those of a group all.
fn expected_calls(content: &Content, step: usize) -> usize {
    let (groups, all) = (streaming::groups(content), content.layers.len());
    let mut layers = 0usize;
    std::iter::from_fn(|| {
        let end = layers.saturating_add(step);
        let cut = groups.iter().find(|group| group.start < end && end < group.end);
        layers = if layers == all { return None } else { cut.map_or(end, |group| group.end).min(all) };
        Some(())
    })
    .count()
}

#[test]
fn a_run_ends_what_steps_have_begun_and_an_input_gives_it_up() {
    let content = network(2, Values::Random);
    let file = content.to_bytes().unwrap();
    let model = Model::parse(&file).unwrap();
    let input = input_of(&model.input(), Values::Random, 9);
    let expected = naive::run(&content, &input).pop().unwrap();
    for plan in plans(model) {
        let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
        let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
        let mut session =
            Session::new(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() }).unwrap();
        session.input_mut().fill(3);
        assert_eq!(session.run_layers(4, &mut ()), Ok(false));
        session.input_mut().copy_from_slice(&input);
        assert_eq!(session.run_layers(3, &mut ()), Ok(false));
        assert_eq!(session.run().unwrap(), expected);
        session.input_mut().fill(3);
        assert_eq!(session.run_layers(3, &mut ()), Ok(false));
        assert_eq!(session.self_test(), Ok(()));
    }
}

/// Ends every run behind layer 2.
struct Stop;

impl Observer for Stop {
    fn after(&mut self, layer: &Layer<'_>, _: Output<'_>) -> Result<(), RunError> {
        if layer.index < 2 { Ok(()) } else { Err(RunError::Internal { layer: layer.index }) }
    }
}

#[test]
fn after_an_error_the_next_run_starts_at_the_first_layer() {
    let content = network(2, Values::Random);
    let file = content.to_bytes().unwrap();
    let model = Model::parse(&file).unwrap();
    for plan in plans(model) {
        let mut arena = AlignedBuf::new(plan.arena_len()).unwrap();
        let mut packed = AlignedBuf::new(plan.packed_len()).unwrap();
        let mut session =
            Session::new(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() }).unwrap();
        session.input_mut().fill(0);
        assert_eq!(session.run_layers(2, &mut Stop), Ok(false));
        assert_eq!(session.run_layers(2, &mut Stop), Err(RunError::Internal { layer: 2 }));
        let mut outputs = Outputs::default();
        assert_eq!(session.run_layers(1, &mut outputs), Ok(false));
        assert_eq!(outputs.0.first().map(Vec::len), model.tensor(1).map(|tensor| tensor.len()));
    }
}
