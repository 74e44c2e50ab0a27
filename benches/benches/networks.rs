//! Whole networks on one core with every instruction set that this CPU has; `Gelem/s` is GMAC/s.
//!
//! `RESI8_BENCH_MODEL` names a model file to measure instead of the networks with random weights.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resi8::{AlignedBuf, Buffers, Isa, Model, Plan, Session};

/// Name and file of every network.
fn files() -> Vec<(String, Vec<u8>)> {
    match std::env::var("RESI8_BENCH_MODEL") {
        Ok(path) => {
            let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let name = std::path::Path::new(&path).file_stem().unwrap_or_default();
            vec![(name.display().to_string(), file)]
        }
        Err(_) => {
            vec![("resnet8".into(), resi8_benches::resnet8()), ("resnet20".into(), resi8_benches::resnet20())]
        }
    }
}

fn networks(criterion: &mut Criterion) {
    for (name, file) in files() {
        let model = Model::parse(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut group = criterion.benchmark_group(&name);
        group.throughput(Throughput::Elements(model.macs()));
        for isa in Isa::available() {
            let plan = Plan::new(model, isa).expect("available");
            let mut arena = AlignedBuf::new(plan.arena_len()).expect("enough memory");
            let mut packed = AlignedBuf::new(plan.packed_len()).expect("enough memory");
            let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
            let mut session = Session::new(plan, buffers).expect("the buffers have the lengths asked for");
            session.self_test().unwrap_or_else(|error| panic!("{name}, {isa}: {error}"));
            let pixels = vec![100; model.input().len()];
            group.bench_function(isa.name(), |bencher| {
                bencher.iter(|| session.classify(black_box(&pixels)).map(|logits| black_box(logits)[0]));
            });
        }
    }
}

criterion_group!(benches, networks);
criterion_main!(benches);
