//! Comparison of a table's microkernels with a loop over the normative arithmetic. Without the standard library, so that
//! firmware can run it on the processors that have no other way.

extern crate alloc;

use alloc::{format, vec, vec::Vec};

use core::ops::Range;

use resi8::arith::{requantize, skip_term};
use resi8::format::records::ChannelRecord;
use resi8::kernels::transformed::{self, Input, TILES, Tiles, Transformed};
use resi8::kernels::winograd::{self, Finish, Geometry, InputChunk, Multiply, Tile, Winograd};
use resi8::kernels::{ConvBlock, Epilogue, Grid, Kernels, LayerWeights, Patches, Shape, SkipValues, Target};
use resi8::model::Channel;

use super::values::{Random, Values};

const GUARD: i8 = 0x5a;

/// What accumulators stay below.
const LIMIT: i64 = resi8::arith::ACCUMULATOR_LIMIT;

/// From a sum of products to an output, by the formulas.
pub fn finish(target: &Target<'_>, pixel: usize, channel: usize, sum: i64, out: &mut [i8]) {
    let parameters = Channel::read(&target.channels[channel]);
    let place = target.grid.place(pixel);
    let mut acc = i64::from(parameters.bias) + sum;
    if let Some(skip) = &target.skip {
        let own = channel as i64 - skip.channel as i64;
        if (0..skip.channel_count as i64).contains(&own) {
            let q = skip.values.map_or(out[place + channel], |v| v[skip.grid.place(pixel) + own as usize]);
            acc += i64::from(skip_term(q, skip.zero_point, parameters.skip_multiplier, skip.shift));
        }
    }
    let [low, high] = target.epilogue.clamp;
    let acc = i32::try_from(acc).unwrap();
    out[place + channel] = requantize(acc, parameters.multiplier, target.epilogue.zero_point, low, high);
}

/// Activations as they come: mostly small, seldom large, so that kernels that treat the two differently do both.
fn mostly_small(random: &mut Random) -> i8 {
    let reach = random.pick(&[3, 3, 3, 60, 255]);
    (random.range(0, reach) - 128) as i8
}

/// Channel records whose accumulators reach as far as `limit` allows, and ordinary ones.
fn channel_records(
    random: &mut Random,
    count: usize,
    fan_in: usize,
    skip: bool,
    extreme: bool,
    limit: i64,
) -> Vec<[u8; ChannelRecord::LEN]> {
    let spread = fan_in.isqrt() as i64 * 5000;
    let reach = limit - 1 - fan_in as i64 * 127 * 128 - limit / 2;
    (0..count)
        .map(|_| {
            let bias = if extreme { random.pick(&[-reach, reach]) } else { random.range(-spread, spread) };
            let shift = if extreme {
                random.pick(&[2, 29, 30])
            } else {
                (i64::from(spread.ilog2()) - 6).clamp(2, 30)
            };
            let mantissa =
                random.pick(&[1 << 30, i32::MAX, random.clone().range(1 << 30, i32::MAX.into()) as i32]);
            let largest = if extreme { limit / 512 - 1 } else { spread };
            let skip_multiplier = if skip { random.range(-largest, largest) as i32 } else { 0 };
            ChannelRecord { bias: bias as i32, mantissa, skip_multiplier, shift: shift as u8 }.write()
        })
        .collect()
}

/// Random pixels that do not overlap, `len` values each, and the end of the last one.
fn random_grid(random: &mut Random, pixels: usize, width: usize, len: usize) -> (Grid, usize) {
    let column = len + random.size(0, 5);
    let row = width * column + random.size(0, 9);
    let grid = Grid { start: random.size(0, 9), width, row, column };
    (grid, grid.place(pixels - 1) + len)
}

/// The outputs of a block and what joins them, random.
struct Outputs {
    grid: Grid,
    /// Channel records from byte `records_start` on: a file may be anywhere in memory.
    records: Vec<u8>,
    records_start: usize,
    skip_values: Vec<i8>,
    skip: Option<SkipValues<'static>>,
    reads_skip_values: bool,
    epilogue: Epilogue,
    before: Vec<i8>,
}

impl Outputs {
    /// `pixels` pixels of `channels` values, in rows of `width`. The accumulators of `fan_in` products stay below `limit`.
    fn new(
        random: &mut Random,
        values: Values,
        [pixels, width]: [usize; 2],
        channels: usize,
        fan_in: usize,
        limit: i64,
    ) -> Self {
        let (grid, end) = random_grid(random, pixels, width, channels);
        let skip_kind = random.size(0, 2);
        let in_place = skip_kind == 2;
        let skip_channels = if in_place { channels } else { random.size(1, channels) };
        let (skip_grid, skip_end) = random_grid(random, pixels, width, skip_channels);
        let skip = SkipValues {
            values: None,
            grid: skip_grid,
            channel_count: skip_channels,
            channel: random.size(0, channels - skip_channels),
            zero_point: random.i8(),
            shift: random.size(0, 8) as u8,
        };
        let extreme = random.size(0, 3) == 0;
        let mut records = channel_records(random, channels, fan_in, skip_kind > 0, extreme, limit);
        // Channels that the shortcut does not reach have no multiplier for it.
        for (channel, record) in records.iter_mut().enumerate() {
            if !(skip.channel..skip.channel + skip.channel_count).contains(&channel) {
                *record = ChannelRecord { skip_multiplier: 0, ..ChannelRecord::read(record) }.write();
            }
        }
        let records_start = random.size(0, 3);
        Self {
            grid,
            records: core::iter::repeat_n(0, records_start).chain(records.into_iter().flatten()).collect(),
            records_start,
            skip_values: (0..skip_end).map(|i| values.get(random, i, -128)).collect(),
            skip: (skip_kind > 0).then_some(skip),
            reads_skip_values: !in_place,
            epilogue: Epilogue {
                zero_point: random.i8(),
                clamp: random.pick(&[[-128, 127], [-128, -128], [127, 127], [-17, 90]]),
            },
            before: (0..end).map(|_| random.i8()).collect(),
        }
    }

    fn records(&self) -> &[[u8; ChannelRecord::LEN]] {
        self.records[self.records_start..].as_chunks().0
    }

    fn target(&self, first_channel: usize) -> Target<'_> {
        let values = self.reads_skip_values.then_some(self.skip_values.as_slice());
        Target {
            channels: self.records(),
            first_channel,
            grid: self.grid,
            epilogue: self.epilogue,
            skip: self.skip.map(|skip| SkipValues { values, ..skip }),
        }
    }

    fn skip_parameters(&self) -> Option<(i8, u8)> {
        self.skip.map(|skip| (skip.zero_point, skip.shift))
    }
}

/// A buffer of `len` guard bytes whose start is as aligned as kernels want it, and guard bytes behind it.
struct Guarded {
    bytes: Vec<i8>,
    start: usize,
    len: usize,
}

impl Guarded {
    fn new(len: usize) -> Self {
        let bytes = vec![GUARD; len + 128];
        let start = bytes.as_ptr().align_offset(64);
        Self { bytes, start, len }
    }

    fn bytes(&mut self) -> &mut [i8] {
        &mut self.bytes[self.start..][..self.len]
    }

    fn check(&self, what: &str) {
        let behind = &self.bytes[self.start + self.len..];
        assert!(behind.iter().all(|&byte| byte == GUARD), "{what}: written past the end");
    }
}

/// What is packed into `len` bytes: always the same, whatever they held before.
fn packed(len: usize, what: &str, pack: impl Fn(&mut [i8]) -> Option<()>) -> Guarded {
    let (mut packed, mut other) = (Guarded::new(len), Guarded::new(len));
    other.bytes().fill(!GUARD);
    for packed in [&mut packed, &mut other] {
        pack(packed.bytes()).unwrap();
        packed.check(what);
    }
    assert!(packed.bytes() == other.bytes(), "{what}: some packed bytes are old content");
    packed
}

/// A block of pixels, all channels.
pub fn check_conv(kernels: &Kernels, name: &str, seed: u64) {
    let direct = &kernels.direct;
    let mut random = Random::new(seed);
    let values = random.pick(&Values::ALL);
    let pixels = random.size(1, 2 * direct.mr + 1);
    let width = if direct.block_columns == usize::MAX { random.size(1, pixels) } else { pixels };
    let shape = Shape {
        channels: random.size(1, 2 * direct.nr.min(64) + 1),
        runs: random.size(1, 7),
        run_len: random.pick(&[1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 21, 31, 32, 33, 48, 63, 64, 65, 96, 192]),
        pixels: random.size(0, 2) == 0,
    };
    let small = random.size(0, 2) == 0;
    // Patches may overlap, as those of neighbours do; a third of a run apart is what kernels with three columns have.
    let neighbours = shape.run_len.is_multiple_of(3) && random.size(0, 2) > 0;
    let column = if neighbours { shape.run_len / 3 } else { random.size(1, shape.run_len + 3) };
    let grid = Grid { start: 0, width, row: random.size(1, 90), column };
    let run_stride = random.size(0, 40);
    let last = grid.place(pixels - 1).max(grid.place(width - 1)).max(grid.place(pixels / width * width - 1));
    let reach = last + (shape.runs - 1) * run_stride + shape.run_len;
    let input: Vec<i8> = (0..reach)
        .map(|i| if small { mostly_small(&mut random) } else { values.get(&mut random, i, -128) })
        .collect();
    let weight_values = random.pick(&Values::ALL);
    let weights: Vec<i8> =
        (0..shape.channels * shape.depth()).map(|i| weight_values.get(&mut random, i, -127)).collect();
    let outputs = Outputs::new(&mut random, values, [pixels, width], shape.channels, shape.depth(), LIMIT);
    let patches = Patches { source: &input, grid, run_stride, run_len: shape.run_len, pixels };
    let what = format!("{name}/conv, seed {seed}: {shape:?}, {pixels} pixels");

    let (mut weight_panels, mut panels) = (Guarded::new(0), Guarded::new(0));
    if let Some(packing) = direct.packing {
        let source = LayerWeights {
            shape,
            weights: &weights,
            channels: outputs.records(),
            skip: outputs.skip_parameters(),
        };
        let len = (packing.weights_len)(&shape).unwrap();
        weight_panels = packed(len, &what, |bytes| (packing.pack_weights)(&source, bytes));
        panels = Guarded::new((packing.patches_len)(&shape, pixels, input.len()).unwrap());
        (packing.pack_patches)(&shape, weight_panels.bytes(), &patches, panels.bytes()).unwrap();
        weight_panels.check(&what);
        panels.check(&what);
    }
    let (mut expected, mut found) = (outputs.before.clone(), outputs.before.clone());
    for pixel in 0..pixels {
        for (channel, weights) in weights.chunks_exact(shape.depth()).enumerate() {
            let patch = (0..shape.runs).flat_map(|run| patches.run(pixel, run).unwrap());
            let sum = patch.zip(weights).map(|(&q, &w)| i64::from(q) * i64::from(w)).sum();
            finish(&outputs.target(0), pixel, channel, sum, &mut expected);
        }
    }
    for first_channel in (0..shape.channels).step_by(direct.nr) {
        let block = ConvBlock {
            shape,
            patches,
            panels: panels.bytes(),
            // Whoever packs into nothing reads them where they are.
            weights: if weight_panels.bytes().is_empty() { &weights } else { &*weight_panels.bytes() },
            target: outputs.target(first_channel),
        };
        // The slice that the kernel gets ends with the last pixel: a write past it is an error, one beside it shows.
        (direct.conv)(&block, &mut found).unwrap();
    }
    assert!(found == expected, "{what}: {:?}", outputs.target(0));
}

/// The convolutions that a table has steps for, by kernel, stride and input channels.
fn winograd_geometry(random: &mut Random) -> Geometry {
    let chunks = random.size(1, 3);
    let few = random.size(1, 4);
    let (kernel, stride, channels) = match random.size(0, if cfg!(target_arch = "arm") { 0 } else { 4 }) {
        0 => (3, 1, 16 * chunks),
        1 => (3, 2, 16 * chunks),
        2 => (3, 2, few),
        // More weights than that can be too large for the method to be exact.
        3 => (7, 2, 16 * chunks.min(2)),
        _ => (7, 2, few),
    };
    Geometry::of([kernel; 2], [stride; 2], channels).unwrap()
}

/// The chunks of the tile that begins at a column of the padded rows, by the meaning of phases.
fn transform_tile(
    winograd: &Winograd,
    geometry: &Geometry,
    rows: &[i8],
    row_len: usize,
    column: usize,
    out: &mut [InputChunk],
) {
    let Geometry { stride, channels, .. } = *geometry;
    if geometry.folds() {
        // What comes before the phases is anything.
        let mut folded = vec![GUARD; 6 * 6 * 16];
        for (pixel, folded) in folded.chunks_exact_mut(16).enumerate() {
            for (phase, folded) in folded[geometry.unused()..].chunks_exact_mut(channels).enumerate() {
                let row = 2 * (pixel / 6) + phase / 2;
                let column = 2 * (column + pixel % 6) + phase % 2;
                folded.copy_from_slice(&rows[row * row_len + column * channels..][..channels]);
            }
        }
        (winograd.transform_input)(&Tile { values: &folded, row: 6 * 16, column: 16 }, out).unwrap();
        return;
    }
    for (phase, out) in out.chunks_exact_mut(channels / 16).enumerate() {
        let [row, first] = if stride == 1 { [0, 0] } else { Geometry::phase(phase) };
        let values = &rows[row * row_len + (stride * column + first) * channels..];
        let tile = Tile { values, row: stride * row_len, column: stride * channels };
        (winograd.transform_input)(&tile, out).unwrap();
    }
}

/// A row of tiles, some without their last row or column, and all output channels through the steps of the method.
pub fn check_winograd(winograd: &Winograd, name: &str, seed: u64) {
    let mut random = Random::new(seed);
    let values = random.pick(&Values::ALL);
    let geometry = winograd_geometry(&mut random);
    let Geometry { form, kernel, stride, channels: inputs } = geometry;
    let (side, chunks) = (form.tile(), geometry.inputs() / 16);
    let (channels, tiles) = (random.size(1, 40), random.size(1, 9));
    let padded_tiles = tiles.next_multiple_of(winograd::GROUP);
    let row_len = (side * tiles + 6 - side) * stride * inputs;
    let rows: Vec<i8> = (0..6 * stride * row_len).map(|i| values.get(&mut random, i, -128)).collect();
    let weight_values = random.pick(&Values::ALL);
    let shape = Shape { channels, runs: kernel, run_len: kernel * inputs, pixels: false };
    let weights: Vec<i8> =
        (0..channels * shape.depth()).map(|i| weight_values.get(&mut random, i, -127)).collect();
    let pixels = side * side;
    let outputs = Outputs::new(&mut random, values, [pixels * tiles, side], channels, shape.depth(), LIMIT);
    let what = format!("{name}/winograd, seed {seed}: {geometry:?} -> {channels} channels, {tiles} tiles");

    let skip = outputs.skip_parameters();
    let source = LayerWeights { shape, weights: &weights, channels: outputs.records(), skip };
    let len = geometry.panel_len() * channels.div_ceil(16);
    let mut packed = packed(len, &what, |bytes| (winograd.pack_weights)(&geometry, &source, bytes));
    let mut input: Vec<InputChunk> = vec![[[0; 16]; 36]; padded_tiles * chunks];
    for (tile, out) in input.chunks_exact_mut(chunks).take(tiles).enumerate() {
        transform_tile(winograd, &geometry, &rows, row_len, side * tile, out);
    }
    // Tiles outside these ranges have no last row, or column; all may have fewer.
    let mut range = || {
        let first = random.size(0, tiles);
        first..random.size(first, padded_tiles)
    };
    let (whole_rows, whole_columns) = (range(), range());
    let most = [random.size(1, side), random.size(1, side)];
    let valid = |tile: usize| {
        let limit = |whole: &Range<usize>| if whole.contains(&tile) { side } else { side - 1 };
        [most[0].min(limit(&whole_rows)), most[1].min(limit(&whole_columns))]
    };
    let (mut expected, mut found) = (outputs.before.clone(), outputs.before.clone());
    let target_of = |tile: usize, first_channel: usize| {
        let at = |grid: Grid| Grid { start: grid.place(pixels * tile), ..grid };
        let target = outputs.target(first_channel);
        let skip = target.skip.map(|skip| SkipValues { grid: at(skip.grid), ..skip });
        Target { grid: at(target.grid), skip, ..target }
    };
    for tile in 0..tiles {
        let (target, valid) = (target_of(tile, 0), valid(tile));
        for pixel in (0..pixels).filter(|pixel| pixel / side < valid[0] && pixel % side < valid[1]) {
            for (channel, weights) in weights.chunks_exact(shape.depth()).enumerate() {
                let start = stride * (pixel / side * row_len + (side * tile + pixel % side) * inputs);
                let patch = (0..kernel).flat_map(|row| &rows[start + row * row_len..][..kernel * inputs]);
                let sum = patch.zip(weights).map(|(&q, &w)| i64::from(q) * i64::from(w)).sum();
                finish(&target, pixel, channel, sum, &mut expected);
            }
        }
    }
    let block = random.size(1, chunks);
    let mut products = vec![[i32::from(GUARD); 16]; 36 * winograd::stride(padded_tiles)];
    for (index, panel) in packed.bytes().chunks_exact(geometry.panel_len()).enumerate() {
        for first in (0..chunks).step_by(block) {
            let range = first..chunks.min(first + block);
            let mut transformed = vec![[i16::from(GUARD); 32]; 36 * winograd::stride(8 * range.len())];
            (winograd.transform_weights)(form, panel, range.clone(), &mut transformed).unwrap();
            let job = Multiply {
                input: &input,
                tile_chunks: chunks,
                chunks: range,
                unused: geometry.unused(),
                weights: &transformed,
                tiles: padded_tiles,
                wanted: tiles,
                whole_rows: whole_rows.clone(),
                whole_columns: whole_columns.clone(),
                last_row_chunks: geometry.last_row_chunks(),
                last_column_chunks: geometry.last_column_chunks(),
            };
            (winograd.multiply)(&job, &mut products).unwrap();
        }
        for tile in 0..tiles {
            let target = target_of(tile, 16 * index);
            let (tiles, valid) = (padded_tiles, valid(tile));
            let job = Finish { form, products: &products, tiles, tile, panel, valid, target };
            (winograd.transform_output)(&job, &mut found).unwrap();
        }
    }
    assert!(found == expected, "{what}");
}

/// As near to the bound of exactness as a sum of weights can be: all activations at -128, the sums just below the limit of
/// [`winograd::is_exact`], or what so many weights can reach, positive and negative.
pub fn check_winograd_bound(winograd: &Winograd, name: &str) {
    let kernels: &[_] = if cfg!(target_arch = "arm") {
        &[(3, 1, 256)]
    } else {
        &[(3, 1, 256), (3, 2, 4), (3, 2, 256), (7, 2, 4), (7, 2, 64)]
    };
    for &(kernel, stride, inputs) in kernels {
        let geometry = Geometry::of([kernel; 2], [stride; 2], inputs).unwrap();
        check_geometry_bound(winograd, &geometry, name);
    }
}

fn check_geometry_bound(winograd: &Winograd, geometry: &Geometry, name: &str) {
    let Geometry { form, kernel, stride, channels: inputs } = *geometry;
    let (side, chunks, channels) = (form.tile(), geometry.inputs() / 16, 2);
    let depth = kernel * kernel * inputs;
    let limit = (0..1 << 20).rev().find(|&sum| winograd::is_exact(sum)).unwrap() as usize;
    let limit = limit.min(127 * depth);
    let magnitudes: Vec<i8> = (0..depth).map(|i| (limit.saturating_sub(127 * i).min(127)) as i8).collect();
    assert_eq!(magnitudes.iter().map(|&w| w as usize).sum::<usize>(), limit);
    let weights: Vec<i8> = magnitudes.iter().copied().chain(magnitudes.iter().map(|w| -w)).collect();
    let shape = Shape { channels, runs: kernel, run_len: kernel * inputs, pixels: false };
    let record = |bias| ChannelRecord { bias, mantissa: i32::MAX, skip_multiplier: 0, shift: 19 }.write();
    let records = [record(128 * limit as i32), record(-128 * limit as i32)];
    let source = LayerWeights { shape, weights: &weights, channels: &records, skip: None };
    let mut packed = Guarded::new(geometry.panel_len());
    (winograd.pack_weights)(geometry, &source, packed.bytes()).unwrap();
    let row_len = 6 * stride * inputs;
    let rows = vec![i8::MIN; 6 * stride * row_len];
    let mut input: Vec<InputChunk> = vec![[[0; 16]; 36]; winograd::GROUP * chunks];
    transform_tile(winograd, geometry, &rows, row_len, 0, &mut input[..chunks]);
    let mut transformed = vec![[0; 32]; 36 * winograd::stride(8 * chunks)];
    (winograd.transform_weights)(form, packed.bytes(), 0..chunks, &mut transformed).unwrap();
    let mut products = vec![[0; 16]; 36 * winograd::stride(winograd::GROUP)];
    let job = Multiply {
        input: &input,
        tile_chunks: chunks,
        chunks: 0..chunks,
        unused: geometry.unused(),
        weights: &transformed,
        tiles: winograd::GROUP,
        wanted: 1,
        whole_rows: 0..winograd::GROUP,
        whole_columns: 0..winograd::GROUP,
        last_row_chunks: geometry.last_row_chunks(),
        last_column_chunks: geometry.last_column_chunks(),
    };
    (winograd.multiply)(&job, &mut products).unwrap();
    let target = Target {
        channels: &records,
        first_channel: 0,
        grid: Grid { start: 0, width: side, row: side * channels, column: channels },
        epilogue: Epilogue { zero_point: 3, clamp: [-128, 127] },
        skip: None,
    };
    let (tiles, panel, valid) = (winograd::GROUP, &*packed.bytes(), [side; 2]);
    let job = Finish { form, products: &products, tiles, tile: 0, panel, valid, target };
    let (mut expected, mut found) = (vec![0; side * side * channels], vec![0; side * side * channels]);
    (winograd.transform_output)(&job, &mut found).unwrap();
    for pixel in 0..side * side {
        for (channel, sign) in [(0, -128), (1, 128)] {
            finish(&target, pixel, channel, sign * limit as i64, &mut expected);
        }
    }
    assert!(found == expected, "{name}/winograd at the bound of {geometry:?}: {found:?}");
}

/// A row of tiles and all output channels of a layer with transformed weights.
pub fn check_transformed(transformed: &Transformed, name: &str, seed: u64) {
    let mut random = Random::new(seed);
    let values = random.pick(&Values::ALL);
    let (inputs, channels, tiles) = (16 * random.size(1, 4), random.size(1, 20), random.size(1, TILES));
    let row = (2 * tiles + 2) * inputs + random.size(0, 9);
    let len = 3 * row + (2 * tiles + 2) * inputs;
    let input: Vec<i8> = (0..len).map(|i| values.get(&mut random, i, -128)).collect();
    let weight_values = random.pick(&Values::ALL);
    let weights: Vec<i8> =
        (0..9 * inputs * channels).map(|i| weight_values.get(&mut random, i, -127)).collect();
    // Four times an accumulator stays below the limit.
    let outputs = Outputs::new(&mut random, values, [4 * tiles, 2 * tiles], channels, 9 * inputs, LIMIT / 4);
    let what = format!("{name}/transformed, seed {seed}: {inputs} -> {channels} channels, {tiles} tiles");

    let mut stored = Guarded::new(32 * inputs * channels);
    let points = stored.bytes().as_chunks_mut::<2>().0;
    for (weights, points) in weights.chunks_exact(9 * inputs).zip(points.chunks_exact_mut(16 * inputs)) {
        for channel in 0..inputs {
            let kernel = core::array::from_fn(|tap| weights[tap * inputs + channel]);
            let place = channel / 4 * 4 + [0, 2, 1, 3][channel % 4];
            for (point, value) in transformed::transform(&kernel).into_iter().enumerate() {
                points[point * inputs + place] = value.to_le_bytes().map(u8::cast_signed);
            }
        }
    }
    let (mut expected, mut found) = (outputs.before.clone(), outputs.before.clone());
    let target = outputs.target(0);
    for pixel in 0..4 * tiles {
        let first = pixel / (2 * tiles) * row + pixel % (2 * tiles) * inputs;
        for (channel, weights) in weights.chunks_exact(9 * inputs).enumerate() {
            let patch = (0..3).flat_map(|kernel_row| &input[first + kernel_row * row..][..3 * inputs]);
            let sum = patch.zip(weights).map(|(&q, &w)| i64::from(q) * i64::from(w)).sum();
            finish(&target, pixel, channel, sum, &mut expected);
        }
    }
    let panel_len = transformed::panel_len(inputs).unwrap();
    let mut panel = vec![GUARD as u32; panel_len + 32];
    let source = Input { values: &input, row, channels: inputs, tiles };
    (transformed.transform_input)(&source, &mut panel[..panel_len]).unwrap();
    let tiles = Tiles { weights: stored.bytes(), channels: inputs, tiles, target };
    (transformed.conv)(&tiles, &mut panel[..panel_len], &mut found).unwrap();
    assert!(panel[panel_len..].iter().all(|&word| word == GUARD as u32), "{what}: written past the end");
    assert!(found == expected, "{what}: {target:?}");
}

pub fn check_elementwise(kernels: &Kernels, name: &str, seed: u64) {
    let mut random = Random::new(seed);
    let values = random.pick(&Values::ALL);
    let len = random.size(0, 150);
    let a: Vec<i8> = (0..len).map(|i| values.get(&mut random, i, -128)).collect();
    let b: Vec<i8> = (0..len).map(|i| values.get(&mut random, i, -127)).collect();
    let dot: i32 = a.iter().zip(&b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
    assert_eq!((kernels.dot)(&a, &b), dot, "{name}/dot, seed {seed}");
    let mut found = vec![GUARD; len + 16];
    found[..len].copy_from_slice(&b);
    (kernels.max_into)(&mut found[..len], &a);
    let expected = a.iter().zip(&b).map(|(&a, &b)| a.max(b)).chain([GUARD; 16]);
    assert!(found.iter().copied().eq(expected), "{name}/max_into, seed {seed}");
    let mut sums = vec![1_000_000; len + 16];
    (kernels.sum_into)(&mut sums[..len], &a);
    let expected = a.iter().map(|&a| 1_000_000 + i32::from(a)).chain([1_000_000; 16]);
    assert!(sums.iter().copied().eq(expected), "{name}/sum_into, seed {seed}");
    found[..len].fill(0);
    (kernels.copy_into)(&mut found[..len], &a);
    let expected = a.iter().copied().chain([GUARD; 16]);
    assert!(found.iter().copied().eq(expected), "{name}/copy_into, seed {seed}");
}
