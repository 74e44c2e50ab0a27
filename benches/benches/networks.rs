//! Whole networks with one and with two threads and every instruction set that this CPU has; `Gelem/s` is GMAC/s. The
//! portable kernels run ResNet-8 only. And what it takes to load them: from opening a file to a session of this CPU's best instruction set, with memory
//! of its own, from all of the file in memory (`whole`) and in parts (`parts`), and its end. Most of that memory is used again and again here; a new
//! process, as `resi8-run bench` is one, has to wait for the system to provide it, and for twice as much of it with the whole file.
//!
//! `RESI8_BENCH_MODEL` names a model file to measure instead of the networks with random weights. Every session passes
//! its self-test first: the large networks' comes from the portable kernels, that of the others from a naive interpreter.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resi8::format::SelfTestPixels;
use resi8::{AlignedBuf, Buffers, Isa, Model, ModelFile, Plan, Session};
use resi8_benches::Network;

/// What the portable kernels need not run.
const PORTABLE_MACS: u64 = 20_000_000;

/// Name and file of every network.
static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(files);

fn files() -> Vec<(String, Vec<u8>)> {
    match std::env::var("RESI8_BENCH_MODEL") {
        Ok(path) => {
            let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let name = Path::new(&path).file_stem().unwrap_or_default();
            vec![(name.display().to_string(), file)]
        }
        Err(_) => Network::ALL.iter().map(|network| (network.name.into(), (network.file)())).collect(),
    }
}

fn networks(criterion: &mut Criterion) {
    for (name, file) in &*FILES {
        let model = Model::parse(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(model.macs()));
        for isa in Isa::available().filter(|&isa| isa != Isa::Portable || model.macs() <= PORTABLE_MACS) {
            for threads in [1, 2].map(|threads| NonZeroUsize::new(threads).expect("not 0")) {
                let plan = Plan::new(model, isa).expect("available");
                let plan = plan.with_threads(threads).expect("a small number of threads");
                let mut arena = AlignedBuf::new(plan.arena_len()).expect("enough memory");
                let mut packed = AlignedBuf::new(plan.packed_len()).expect("enough memory");
                let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
                let mut session =
                    Session::new(plan, buffers).expect("the buffers have the lengths asked for");
                session.self_test().unwrap_or_else(|error| panic!("{name}, {isa}: {error}"));
                let pixels: Vec<u8> = SelfTestPixels::new(1).take(model.input().len()).collect();
                group.bench_function(format!("{isa}/{threads}"), |bencher| {
                    bencher.iter(|| session.classify(black_box(&pixels)).map(|logits| black_box(logits)[0]));
                });
            }
        }
    }
}

/// Makes a session in memory of its own and hands it on.
fn with_session<E: Into<Box<dyn Error>>>(
    plan: Plan<'_>,
    load: impl FnOnce(Plan<'_>, Buffers<'_>) -> Result<(), E>,
) -> Result<(), Box<dyn Error>> {
    let mut arena = AlignedBuf::new(plan.arena_len())?;
    let mut packed = AlignedBuf::new(plan.packed_len())?;
    load(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() }).map_err(Into::into)
}

type Loading = fn(&Path, fn(Session<'_, '_>)) -> Result<(), Box<dyn Error>>;

const LOADING: [(&str, Loading); 2] = [
    ("whole", |path, with| {
        let file = std::fs::read(path)?;
        let plan = Plan::new(Model::parse(&file)?, Isa::best())?;
        with_session(plan, |plan, buffers| Session::new(plan, buffers).map(with))
    }),
    ("parts", |path, with| {
        let mut source = File::open(path)?;
        let file = ModelFile::read(&mut source, Isa::best())?;
        let plan = Plan::new(file.model(), Isa::best())?;
        with_session(plan, |plan, buffers| Session::load(plan, buffers, &mut source).map(with))
    }),
];

fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loading");
    for (name, file) in &*FILES {
        let mut place = tempfile::NamedTempFile::new().expect("a folder for temporary files");
        place.write_all(file).expect("room for a network");
        group.throughput(Throughput::Bytes(file.len() as u64));
        for (how, load) in LOADING {
            let right = |mut session: Session<'_, '_>| session.self_test().expect("loaded as it was made");
            load(place.path(), right).unwrap_or_else(|error| panic!("{name}, {how}: {error}"));
            group.bench_function(format!("{name}/{how}"), |bencher| {
                bencher.iter(|| load(black_box(place.path()), |session| drop(black_box(session))));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_secs(1));
    targets = networks, loading
}
criterion_main!(benches);
