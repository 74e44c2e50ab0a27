//! Every microkernel of every instruction set that this CPU has, with everything in the cache: the most that a kernel can
//! do. Results are compared with a naive computation first.
//!
//! Elements are multiply-accumulates wherever there are any, so `Gelem/s` is GMAC/s; elsewhere they are the values that are
//! written. A Winograd group counts the multiply-accumulates that a direct convolution would take.
//!
//! What the machine's own instruction can do is measured in the same process, by loops in registers, and the share of
//! it that a kernel reaches stands below its time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use resi8::arith::{Multiplier, requantize};
use resi8::format::records::ChannelRecord;
use resi8::kernels::peak::{PeakLoop, peak};
use resi8::kernels::winograd::{
    self, Finish, Form, Geometry, InputChunk, Multiply, Product, Tile, WeightPair, Winograd,
};
use resi8::kernels::{ConvBlock, Epilogue, Grid, Kernels, LayerWeights, Patches, Shape, Target};
use resi8::{AlignedBuf, Isa};
use resi8_benches::{activations, pixels, weights};

/// Kernel rows, kernel columns, input channels.
const SHAPES: [[usize; 3]; 6] = [[3, 3, 16], [3, 3, 64], [3, 3, 256], [1, 1, 64], [1, 1, 256], [1, 1, 1024]];

/// The first layer of networks for ImageNet.
const FIRST_LAYER: [usize; 3] = [7, 7, 3];

/// Output pixels of a block of direct convolution.
const PIXELS: usize = 32;

/// Tiles of a Winograd group, in a row, and its channels.
const TILES: usize = 8;
const INPUT_CHANNELS: usize = 64;
const CHUNKS: usize = INPUT_CHANNELS / winograd::CHANNELS;
const OUTPUT_CHANNELS: usize = 64;
const GEOMETRY: Geometry = Geometry { form: Form::F4x3, kernel: 3, stride: 1, channels: INPUT_CHANNELS };
/// Output rows and columns of a tile.
const TILE: usize = Form::F4x3.tile();

const EPILOGUE: Epilogue = Epilogue { zero_point: -128, clamp: [-128, 127] };

// --- Measuring ------------------------------------------------------------------------------------------------------

/// What an instruction set can do, in multiply-accumulates a second.
struct Machine {
    isa: Isa,
    /// With 8-bit and with 16-bit operands; nothing for the portable kernels.
    peaks: Option<[f64; 2]>,
}

impl Machine {
    fn new(isa: Isa) -> Self {
        let peaks = peak(isa).map(|peak| [rate(isa, 8, &peak.bytes), rate(isa, 16, &peak.words)]);
        Self { isa, peaks }
    }
}

/// The best of many short runs of a loop.
fn rate(isa: Isa, bits: usize, peak: &PeakLoop) -> f64 {
    const ITERATIONS: u64 = 10_000;
    let seconds = || {
        let start = Instant::now();
        peak.run(ITERATIONS);
        start.elapsed().as_secs_f64()
    };
    let best = (0..300).map(|_| seconds()).fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "a few million")]
    let rate = (peak.macs * ITERATIONS) as f64 / best;
    println!("peak of {isa}, {bits} bits: {:.1} GMAC/s ({})", rate / 1e9, peak.instructions);
    rate
}

/// Times `work`, which handles `elements` elements.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    elements: usize,
    work: impl FnMut() -> Option<()>,
) {
    bench_with_shares(group, name, elements, None, work);
}

/// Times `work`, which takes `macs` multiply-accumulates, and says what share of the machine's peaks that is.
fn bench_with_shares(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    macs: usize,
    peaks: Option<[f64; 2]>,
    mut work: impl FnMut() -> Option<()>,
) {
    let mut seconds = Vec::new();
    group.throughput(Throughput::Elements(macs as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                black_box(work());
            }
            let elapsed = start.elapsed();
            #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
            seconds.push(elapsed.as_secs_f64() / iterations as f64);
            elapsed
        });
    });
    seconds.sort_by(f64::total_cmp);
    // A single sample is a test, no measurement.
    if let (Some(peaks), [_, _, ..]) = (peaks, seconds.as_slice()) {
        let median = seconds[seconds.len() / 2];
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
        let [bytes, words] = peaks.map(|peak| macs as f64 / median / peak * 100.0);
        println!("    {bytes:.1} % of the 8-bit peak, {words:.1} % of the 16-bit peak");
    }
}

// --- Operands -------------------------------------------------------------------------------------------------------

/// A layer's weights and parameters, and the rows that it reads.
struct Layer {
    shape: Shape,
    weights: Vec<i8>,
    records: Vec<[u8; ChannelRecord::LEN]>,
    /// Input channels.
    depth: usize,
    row_len: usize,
    input: Vec<i8>,
}

impl Layer {
    /// `[rows, columns, depth]` weights for each of `channels` channels; the input has `height` rows of `width` pixels.
    fn new(
        [rows, columns, depth]: [usize; 3],
        channels: usize,
        [height, width]: [usize; 2],
        is_first: bool,
    ) -> Self {
        let shape = Shape { channels, runs: rows, run_len: columns * depth, pixels: is_first };
        let input_len = height * width * depth;
        let weights: Vec<i8> = weights().take(channels * shape.depth()).collect();
        let records = weights.chunks_exact(shape.depth()).map(record).collect();
        let input = if is_first {
            pixels().take(input_len).collect()
        } else {
            activations().take(input_len).collect()
        };
        Self { shape, weights, records, depth, row_len: width * depth, input }
    }

    fn source(&self) -> LayerWeights<'_> {
        LayerWeights { shape: self.shape, weights: &self.weights, channels: &self.records, skip: None }
    }

    fn patches(&self, pixels: usize) -> Patches<'_> {
        Patches {
            source: &self.input,
            grid: Grid::line(0, self.depth),
            run_stride: self.row_len,
            run_len: self.shape.run_len,
            pixels,
        }
    }

    fn target(&self, first_channel: usize, grid: Grid) -> Target<'_> {
        Target { channels: &self.records, first_channel, grid, epilogue: EPILOGUE, skip: None }
    }

    /// The output value of a channel whose patch starts at `start`, by the formula.
    fn naive(&self, start: usize, channel: usize) -> i8 {
        let patch = (0..self.shape.runs)
            .flat_map(|run| &self.input[start + run * self.row_len..][..self.shape.run_len]);
        let weights = &self.weights[channel * self.shape.depth()..];
        let sum: i32 = patch.zip(weights).map(|(&q, &w)| i32::from(q) * i32::from(w)).sum();
        let ChannelRecord { bias, mantissa, shift, .. } = ChannelRecord::read(&self.records[channel]);
        let [low, high] = EPILOGUE.clamp;
        requantize(bias + sum, Multiplier { mantissa, shift }, EPILOGUE.zero_point, low, high)
    }
}

/// Parameters for which outputs are spread over their range.
fn record(weights: &[i8]) -> [u8; ChannelRecord::LEN] {
    let sum: i32 = weights.iter().map(|&weight| i32::from(weight)).sum();
    let shift = u8::try_from(4 + weights.len().ilog2() / 2).expect("a small number");
    ChannelRecord { bias: 110 * sum, mantissa: 3 << 29, skip_multiplier: 0, shift }.write()
}

/// Bytes whose start is aligned as the driver's are.
fn buffer(len: usize) -> AlignedBuf {
    AlignedBuf::new(len).expect("enough memory")
}

fn values(buffer: &mut AlignedBuf) -> &mut [i8] {
    bytemuck::cast_slice_mut(buffer.as_mut())
}

// --- Direct convolution ---------------------------------------------------------------------------------------------

/// A block of pixels and one panel of channels; packing is timed apart.
fn direct(criterion: &mut Criterion, machine: &Machine, kernels: &Kernels) {
    let mut group = criterion.benchmark_group(format!("{}/conv", machine.isa));
    let named = SHAPES.map(|shape| (shape, false)).into_iter().chain([(FIRST_LAYER, true)]);
    for (shape @ [rows, columns, depth], is_first) in named {
        let name = format!("{rows}x{columns}x{depth}{}", if is_first { " pixels" } else { "" });
        direct_shape(&mut group, machine, kernels, &name, shape, is_first);
    }
}

fn direct_shape(
    group: &mut BenchmarkGroup<'_, WallTime>,
    machine: &Machine,
    kernels: &Kernels,
    name: &str,
    shape @ [rows, columns, _]: [usize; 3],
    is_first: bool,
) {
    let direct = &kernels.direct;
    let layer = Layer::new(shape, direct.nr, [rows, PIXELS - 1 + columns], is_first);
    let (shape, patches) = (layer.shape, layer.patches(PIXELS));
    let (mut packed, mut panels) = (buffer(0), buffer(0));
    if let Some(packing) = direct.packing {
        let len = |len: Option<usize>| len.expect("a small layer");
        packed = buffer(len((packing.weights_len)(&shape)));
        panels = buffer(len((packing.patches_len)(&shape, PIXELS, patches.source.len())));
        bench(group, &format!("pack weights {name}"), direct.nr * shape.depth(), || {
            (packing.pack_weights)(&layer.source(), black_box(values(&mut packed)))
        });
        (packing.pack_weights)(&layer.source(), values(&mut packed)).expect("lengths as asked for");
        let (packed, panels) = (values(&mut packed), values(&mut panels));
        bench(group, &format!("pack patches {name}"), PIXELS * shape.depth(), || {
            (packing.pack_patches)(black_box(&shape), packed, black_box(&patches), panels)
        });
        (packing.pack_patches)(&shape, packed, &patches, panels).expect("lengths as asked for");
    }
    let block = ConvBlock {
        shape,
        patches,
        panels: values(&mut panels),
        weights: if direct.packing.is_some() { values(&mut packed) } else { &layer.weights },
        target: layer.target(0, Grid::line(0, direct.nr)),
    };
    let mut out = vec![0; PIXELS * direct.nr];
    (direct.conv)(&block, &mut out).expect("the block is complete");
    for (index, &found) in out.iter().enumerate() {
        let expected = layer.naive(index / direct.nr * layer.depth, index % direct.nr);
        assert_eq!(found, expected, "{}, {name}: value {index}", machine.isa);
    }
    bench_with_shares(group, name, out.len() * shape.depth(), machine.peaks, || {
        (direct.conv)(black_box(&block), black_box(&mut out))
    });
}

// --- Winograd -------------------------------------------------------------------------------------------------------

/// A row of tiles and what becomes of it.
struct Group<'a> {
    winograd: &'a Winograd,
    layer: &'a Layer,
    panels: &'a [i8],
    input: Vec<InputChunk>,
    weights: Vec<WeightPair>,
    products: Vec<Product>,
    out: Vec<i8>,
}

impl<'a> Group<'a> {
    fn new(winograd: &'a Winograd, layer: &'a Layer, panels: &'a [i8]) -> Self {
        let pairs = INPUT_CHANNELS / 2;
        Self {
            winograd,
            layer,
            panels,
            input: vec![[[0; winograd::CHANNELS]; winograd::POINTS]; TILES * CHUNKS],
            weights: vec![[0; 2 * winograd::CHANNELS]; winograd::POINTS * winograd::stride(pairs)],
            products: vec![[0; winograd::CHANNELS]; winograd::POINTS * winograd::stride(TILES)],
            out: vec![0; OUTPUTS * OUTPUT_CHANNELS],
        }
    }

    fn panel(&self, index: usize) -> &'a [i8] {
        let len = GEOMETRY.panel_len();
        &self.panels[index * len..][..len]
    }

    fn transform_input(&mut self) -> Option<()> {
        for (tile, out) in self.input.chunks_exact_mut(CHUNKS).enumerate() {
            let values = self.layer.input.get(tile * TILE * INPUT_CHANNELS..)?;
            let tile = Tile { values, row: self.layer.row_len, column: INPUT_CHANNELS };
            (self.winograd.transform_input)(&tile, out)?;
        }
        Some(())
    }

    fn transform_weights(&mut self, panel: usize) -> Option<()> {
        (self.winograd.transform_weights)(GEOMETRY.form, self.panel(panel), 0..CHUNKS, &mut self.weights)
    }

    fn multiply(&mut self) -> Option<()> {
        let job = Multiply {
            input: &self.input,
            tile_chunks: CHUNKS,
            chunks: 0..CHUNKS,
            unused: GEOMETRY.unused(),
            weights: &self.weights,
            tiles: TILES,
            wanted: TILES,
            whole_rows: 0..TILES,
            whole_columns: 0..TILES,
            last_row_chunks: GEOMETRY.last_row_chunks(),
            last_column_chunks: GEOMETRY.last_column_chunks(),
        };
        (self.winograd.multiply)(&job, &mut self.products)
    }

    fn transform_output(&mut self, panel: usize) -> Option<()> {
        for tile in 0..TILES {
            let (row, start) = (TILES * TILE, tile * TILE);
            let grid = Grid {
                start: start * OUTPUT_CHANNELS,
                width: TILE,
                row: row * OUTPUT_CHANNELS,
                column: OUTPUT_CHANNELS,
            };
            let job = Finish {
                form: GEOMETRY.form,
                products: &self.products,
                tiles: TILES,
                tile,
                panel: self.panel(panel),
                valid: [TILE; 2],
                target: self.layer.target(panel * winograd::CHANNELS, grid),
            };
            (self.winograd.transform_output)(&job, &mut self.out)?;
        }
        Some(())
    }

    fn run(&mut self) -> Option<()> {
        self.transform_input()?;
        for panel in 0..OUTPUT_CHANNELS / winograd::CHANNELS {
            self.transform_weights(panel)?;
            self.multiply()?;
            self.transform_output(panel)?;
        }
        Some(())
    }

    /// All steps together make what the formula says.
    fn check(&mut self, isa: Isa) {
        self.run().expect("the slices have the lengths that they need");
        for (index, &found) in self.out.iter().enumerate() {
            let (pixel, channel) = (index / OUTPUT_CHANNELS, index % OUTPUT_CHANNELS);
            let (row, column) = (pixel / (TILES * TILE), pixel % (TILES * TILE));
            let start = row * self.layer.row_len + column * INPUT_CHANNELS;
            assert_eq!(found, self.layer.naive(start, channel), "{isa}, Winograd: value {index}");
        }
    }
}

/// Output pixels of a group.
const OUTPUTS: usize = TILES * TILE * TILE;

fn winograd(criterion: &mut Criterion, machine: &Machine, winograd: &Winograd) {
    const PAIRS: usize = winograd::POINTS * INPUT_CHANNELS * winograd::CHANNELS;
    let width = TILES * TILE + 2;
    let layer = Layer::new([3, 3, INPUT_CHANNELS], OUTPUT_CHANNELS, [winograd::INPUT_TILE, width], false);
    let panel_len = GEOMETRY.panel_len();
    let mut packed = buffer(panel_len * OUTPUT_CHANNELS / winograd::CHANNELS);
    let mut group = criterion.benchmark_group(format!("{}/winograd", machine.isa));
    bench(&mut group, "pack weights", OUTPUT_CHANNELS * layer.shape.depth(), || {
        (winograd.pack_weights)(&GEOMETRY, &layer.source(), black_box(values(&mut packed)))
    });
    (winograd.pack_weights)(&GEOMETRY, &layer.source(), values(&mut packed))
        .expect("a buffer for all panels");
    let mut tiles = Group::new(winograd, &layer, values(&mut packed));
    tiles.check(machine.isa);
    let transformed = TILES * winograd::POINTS * INPUT_CHANNELS;
    bench(&mut group, "transform input", transformed, || black_box(&mut tiles).transform_input());
    bench(&mut group, "transform weights", PAIRS, || black_box(&mut tiles).transform_weights(0));
    bench_with_shares(&mut group, "multiply", TILES * PAIRS, machine.peaks, || {
        black_box(&mut tiles).multiply()
    });
    let outputs = OUTPUTS * winograd::CHANNELS;
    bench(&mut group, "transform output", outputs, || black_box(&mut tiles).transform_output(0));
    let macs = OUTPUTS * OUTPUT_CHANNELS * layer.shape.depth();
    bench_with_shares(&mut group, "all steps, 64 to 64 channels", macs, machine.peaks, || {
        black_box(&mut tiles).run()
    });
}

// --- The others -----------------------------------------------------------------------------------------------------

fn elementwise(criterion: &mut Criterion, machine: &Machine, kernels: &Kernels) {
    const LEN: usize = 2048;
    let mut group = criterion.benchmark_group(format!("{}/elementwise", machine.isa));
    let input: Vec<i8> = activations().take(LEN).collect();
    let others: Vec<i8> = weights().take(LEN).collect();

    let expected: i32 = input.iter().zip(&others).map(|(&q, &w)| i32::from(q) * i32::from(w)).sum();
    assert_eq!((kernels.dot)(&input, &others), expected, "{}, dot", machine.isa);
    bench_with_shares(&mut group, "dot", LEN, machine.peaks, || {
        black_box((kernels.dot)(black_box(&input), black_box(&others)));
        Some(())
    });

    let mut largest = others.clone();
    (kernels.max_into)(&mut largest, &input);
    let expected = input.iter().zip(&others).map(|(&a, &b)| a.max(b));
    assert!(expected.eq(largest.iter().copied()), "{}, max_into", machine.isa);
    bench(&mut group, "max_into", LEN, || {
        (kernels.max_into)(black_box(&mut largest), black_box(&input));
        Some(())
    });

    let mut sums = vec![0; LEN];
    (kernels.sum_into)(&mut sums, &others);
    assert!(sums.iter().eq(&others.iter().map(|&value| i32::from(value)).collect::<Vec<_>>()), "sum_into");
    // Up and down, so that the sums do not overflow, however often this runs.
    let negated: Vec<i8> = others.iter().map(|&weight| -weight).collect();
    bench(&mut group, "sum_into", 2 * LEN, || {
        (kernels.sum_into)(black_box(&mut sums), black_box(&negated));
        (kernels.sum_into)(black_box(&mut sums), black_box(&others));
        Some(())
    });
}

fn all(criterion: &mut Criterion) {
    for isa in Isa::available() {
        let kernels = Kernels::for_isa(isa).expect("available");
        let machine = Machine::new(isa);
        direct(criterion, &machine, kernels);
        if let Some(table) = &kernels.winograd {
            winograd(criterion, &machine, table);
        }
        elementwise(criterion, &machine, kernels);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
