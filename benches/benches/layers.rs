//! Every convolution of ResNet-50, ResNet-18, ResNet-20 and ResNet-8 alone, each shape once, in one thread; `Gelem/s` is
//! GMAC/s. A model runs that holds the layer and what makes its inputs, and only the layer is timed, so its input is as
//! warm in the cache as in a network.
//!
//! `RESI8_BENCH_PORTABLE=1` adds the portable kernels, with which all others are compared in any case.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use resi8::format::SelfTestPixels;
use resi8::{AlignedBuf, Buffers, Isa, Layer, Model, Observer, Output, Plan, RunError, Session};
use resi8_benches::{LayerShape, Network};

/// Times one layer.
struct Timer {
    layer: usize,
    start: Instant,
    elapsed: Duration,
}

impl Observer for Timer {
    fn before(&mut self, _: &Layer<'_>) {
        self.start = Instant::now();
    }

    fn after(&mut self, layer: &Layer<'_>, _: Output<'_>) -> Result<(), RunError> {
        if layer.index == self.layer {
            self.elapsed += self.start.elapsed();
        }
        Ok(())
    }
}

/// The shapes of all networks, each once, the largest networks first.
fn shapes() -> Vec<LayerShape> {
    let mut shapes = Vec::new();
    for network in Network::ALL.iter().rev() {
        let file = (network.file)();
        let model = Model::parse(&file).expect("the networks are valid");
        let new = LayerShape::of_network(&model).into_iter().filter(|shape| !shapes.contains(shape));
        shapes.extend(new.collect::<Vec<_>>());
    }
    shapes
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, isa: Isa, shape: &LayerShape, model: Model<'_>) {
    let plan = Plan::new(model, isa).expect("available");
    let mut arena = AlignedBuf::new(plan.arena_len()).expect("enough memory");
    let mut packed = AlignedBuf::new(plan.packed_len()).expect("enough memory");
    let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
    let mut session = Session::new(plan, buffers).expect("the buffers have the lengths asked for");
    session.self_test().unwrap_or_else(|error| panic!("{shape}, {isa}: {error}"));
    let pixels: Vec<u8> = SelfTestPixels::new(1).take(model.input().len()).collect();
    group.bench_function(isa.name(), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut timer =
                Timer { layer: shape.layer_index(), start: Instant::now(), elapsed: Duration::ZERO };
            for _ in 0..iterations {
                session.set_pixels(black_box(&pixels)).expect("as many pixels as the input has");
                black_box(session.run_observed(&mut timer).expect("the self-test has passed"));
            }
            timer.elapsed
        });
    });
}

fn layers(criterion: &mut Criterion) {
    let portable = std::env::var_os("RESI8_BENCH_PORTABLE").is_some();
    for shape in shapes() {
        let file = shape.file();
        let model = Model::parse(&file).expect("the builder makes valid models");
        let layer = model.layer(shape.layer_index()).expect("the model holds the layer");
        let mut group = criterion.benchmark_group(shape.to_string());
        group.throughput(Throughput::Elements(layer.macs()));
        for isa in Isa::available().filter(|&isa| isa != Isa::Portable || portable) {
            bench(&mut group, isa, &shape, model);
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = layers
}
criterion_main!(benches);
