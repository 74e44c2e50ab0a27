//! One convolution tile of every instruction set that this CPU has, in elements (multiply-accumulates) per second:
//! `Gelem/s` is GMAC/s. Everything is in the cache, so this is the most that a kernel can do.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use resi8::Isa;
use resi8::arith::{Multiplier, requantize};
use resi8::format::records::ChannelRecord;
use resi8::kernels::{ConvTile, Epilogue, Kernels};
use resi8_benches::random_values;

/// Kernel rows, kernel columns, input channels.
const SHAPES: [[usize; 3]; 7] =
    [[3, 3, 16], [3, 3, 64], [3, 3, 256], [1, 1, 16], [1, 1, 64], [1, 1, 256], [7, 7, 3]];

const MULTIPLIER: Multiplier = Multiplier { mantissa: 3 << 29, shift: 9 };
const EPILOGUE: Epilogue = Epilogue { zero_point: -128, clamp: [-128, 127] };
const BIAS: i32 = 20_000;

/// The memory of a full tile.
struct Operands {
    /// Values of one run.
    run_len: usize,
    /// Distance between two pixels.
    pixel_stride: usize,
    runs: Vec<usize>,
    input: Vec<i8>,
    /// `[channel][run][value]`.
    weights: Vec<i8>,
    /// The same as the kernels want it.
    panel: Vec<i8>,
    channels: Vec<[u8; ChannelRecord::LEN]>,
}

impl Operands {
    fn new(kernels: &Kernels, [rows, columns, depth]: [usize; 3]) -> Self {
        let run_len = columns * depth;
        let row_len = (kernels.mr - 1) * depth + run_len;
        let weights: Vec<i8> = random_values(-127).take(kernels.nr * rows * run_len).collect();
        let panel = match kernels.packing {
            None => weights.clone(),
            Some(packing) => {
                let len = kernels.packed_len(kernels.nr, rows, run_len).expect("a small panel");
                let mut panel = vec![0; len];
                (packing.pack)(&weights, rows, run_len, &mut panel).expect("a panel of the length asked for");
                panel
            }
        };
        let Multiplier { mantissa, shift } = MULTIPLIER;
        let record = ChannelRecord { bias: BIAS, mantissa, skip_multiplier: 0, shift };
        Self {
            run_len,
            pixel_stride: depth,
            runs: (0..rows).map(|row| row * row_len).collect(),
            input: random_values(-128).take(rows * row_len).collect(),
            weights,
            panel,
            channels: vec![record.write(); kernels.nr],
        }
    }

    fn tile(&self, pixels: usize) -> ConvTile<'_> {
        ConvTile {
            input: &self.input,
            runs: &self.runs,
            run_len: self.run_len,
            pixel_stride: self.pixel_stride,
            pixels,
            weights: &self.panel,
            channels: &self.channels,
            first_channel: 0,
            out_stride: self.channels.len(),
            epilogue: EPILOGUE,
            skip: None,
        }
    }

    /// One output value by the formula.
    fn naive(&self, pixel: usize, channel: usize) -> i8 {
        let inputs =
            self.runs.iter().flat_map(|run| &self.input[run + pixel * self.pixel_stride..][..self.run_len]);
        let weights = &self.weights[channel * self.runs.len() * self.run_len..];
        let sum: i32 = inputs.zip(weights).map(|(&q, &w)| i32::from(q) * i32::from(w)).sum();
        let [low, high] = EPILOGUE.clamp;
        requantize(BIAS + sum, MULTIPLIER, EPILOGUE.zero_point, low, high)
    }
}

fn conv_tiles(criterion: &mut Criterion) {
    for isa in Isa::available() {
        let kernels = Kernels::for_isa(isa).expect("available");
        let mut group = criterion.benchmark_group(format!("conv tile/{isa}"));
        for shape @ [rows, columns, depth] in SHAPES {
            let operands = Operands::new(kernels, shape);
            let tile = operands.tile(kernels.mr);
            let mut out = vec![0; kernels.mr * kernels.nr];
            (kernels.conv)(&tile, &mut out).expect("the tile is complete");
            for (index, &found) in out.iter().enumerate() {
                let expected = operands.naive(index / kernels.nr, index % kernels.nr);
                assert_eq!(found, expected, "{isa}, {shape:?}: value {index}");
            }
            group.throughput(Throughput::Elements((out.len() * rows * columns * depth) as u64));
            group.bench_function(format!("{rows}x{columns}x{depth}"), |bencher| {
                bencher.iter(|| (kernels.conv)(black_box(&tile), black_box(&mut out)));
            });
        }
    }
}

criterion_group!(benches, conv_tiles);
criterion_main!(benches);
