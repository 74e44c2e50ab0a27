//! Random models, built record by record, and a naive interpreter of them written from the formulas of
//! `docs/arithmetic.md`, without any of the runtime's own arithmetic.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "every test file uses a part of this module")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test data is small"
)]

pub mod kernels;
pub mod naive;
pub mod streaming;
pub mod table;
pub mod values;

pub use self::values::{Random, Values};
use resi8::format::records::{ChannelRecord, GraphRecord, LayerRecord, TensorRecord, WindowRecord};
use resi8::format::write::Content;
use resi8::model::Tensor;
use resi8::{
    AlignedBuf, Buffers, ChannelOrder, Layer, Observer, Output, Plan, Preprocess, Resize, RunError, Session,
};

/// A shortcut that joins a convolution.
#[derive(Debug, Clone, Copy)]
pub struct SkipSpec {
    pub tensor: usize,
    pub stride: usize,
    pub channel: usize,
    pub in_place: bool,
}

/// Kernel, stride, padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpec {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub pads: [usize; 4],
}

impl WindowSpec {
    pub const POINT: Self = Self { kernel: [1, 1], stride: [1, 1], pads: [0; 4] };
    pub const SAME3: Self = Self { kernel: [3, 3], stride: [1, 1], pads: [1; 4] };

    pub fn out_size(&self, h: u16, w: u16) -> [u16; 2] {
        let [top, left, bottom, right] = self.pads;
        let size = |size: u16, pads: usize, i: usize| {
            ((usize::from(size) + pads - self.kernel[i]) / self.stride[i] + 1) as u16
        };
        [size(h, top + bottom, 0), size(w, left + right, 1)]
    }

    fn record(&self) -> WindowRecord {
        WindowRecord {
            kernel: self.kernel.map(|v| v as u8),
            stride: self.stride.map(|v| v as u8),
            pads: self.pads.map(|v| v as u8),
        }
    }

    /// Max pooling of random geometry over a map of `h` rows and `w` columns: overlapping windows, windows side by
    /// side, and windows with rows and columns between them that none sees.
    pub fn random_pool(random: &mut Random, [h, w]: [u16; 2]) -> Self {
        let kernel = [h, w].map(|size| random.size(1, 3).min(size.into()));
        let stride = [random.size(1, 3), random.size(1, 3)];
        let pads = [0, 1, 0, 1].map(|axis: usize| random.size(0, kernel[axis] - 1));
        Self { kernel, stride, pads }
    }
}

/// Mean and standard deviation.
struct Spread {
    mean: f64,
    deviation: f64,
}

impl Spread {
    /// Pixels, all values alike.
    const PIXELS: Self = Self { mean: -0.5, deviation: 73.9 };
    /// What is left of [`Self::BEFORE_RELU`], counted from the zero point.
    const ACTIVATIONS: Self = Self { mean: 18.6, deviation: 27.2 };
    /// The same, int8, about a centre 9.4 above its mean. With sums about the mean itself, activations that are too large
    /// would stay so in all layers behind; about this centre, most of the error is gone after a few layers.
    const ABOUT_CENTRE: Self = Self { mean: 28.0 - 128.0, deviation: 28.8 };
    /// Sums on the scale of the output: half of them are cut off, 0.3 % reach beyond the middle of the int8 range.
    const BEFORE_RELU: Self = Self { mean: 0.0, deviation: 46.6 };
    /// The largest of nine values, of mean 0 and deviation 1 each.
    const LARGEST_OF_9: Self = Self { mean: 1.485, deviation: 0.598 };
}

/// Builds a model layer by layer; activations do not share memory unless a shortcut is overwritten in place.
pub struct Builder {
    pub content: Content,
    pub random: Random,
    pub values: Values,
}

impl Builder {
    pub fn new([h, w, c]: [usize; 3], values: Values, seed: u64) -> Self {
        let order = if c == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
        let mut random = Random::new(seed);
        let input_pad = [0; 4].map(|_: i8| random.i8());
        let input = TensorRecord {
            offset: 0,
            h: h as u16,
            w: w as u16,
            c: c as u16,
            element: TensorRecord::I8,
            zero_point: -128,
            scale: 1.0,
            last_use: 0,
            kept_rows: 0,
        };
        let content = Content {
            graph: GraphRecord { activation_bytes: (h * w * c) as u32, input_pad },
            tensors: vec![input],
            layers: vec![],
            channels: vec![],
            weights: vec![],
            preprocess: Preprocess {
                order,
                resize: Resize::None,
                pixel_scale: 1.0,
                mean: [0.0; 4],
                std: [1.0; 4],
            },
            self_test_seed: 1,
            self_test_hashes: vec![],
            names: vec![],
            labels: vec![],
            info: String::new(),
        };
        Self { content, random, values }
    }

    fn push(
        &mut self,
        mut layer: LayerRecord,
        [h, w, c]: [u16; 3],
        like: Option<usize>,
        in_place: Option<usize>,
    ) -> usize {
        let index = self.content.layers.len() as u16;
        self.content.tensors[usize::from(layer.input)].last_use = index;
        if layer.skip != LayerRecord::NO_SKIP {
            self.content.tensors[usize::from(layer.skip)].last_use = index;
        }
        let end = self.content.graph.activation_bytes;
        let element = if layer.op == LayerRecord::DENSE { TensorRecord::I32 } else { TensorRecord::I8 };
        let len =
            u32::from(h) * u32::from(w) * u32::from(c) * if element == TensorRecord::I32 { 4 } else { 1 };
        let offset = in_place.map_or(end.next_multiple_of(64), |tensor| self.content.tensors[tensor].offset);
        self.content.graph.activation_bytes = end.max(offset + len);
        let source = like.map(|tensor| self.content.tensors[tensor]);
        let zero_point = match layer.op {
            LayerRecord::DENSE => 0,
            _ if self.values == Values::Bell => -128,
            _ => source.map_or_else(|| self.random.i8(), |tensor| tensor.zero_point),
        };
        if layer.op == LayerRecord::CONV && self.values != Values::Bell {
            let bounds = [self.random.i8(), self.random.i8()];
            let full = self.random.range(0, 1) == 0;
            (layer.low, layer.high) =
                if full { (-128, 127) } else { (bounds[0].min(bounds[1]), bounds[0].max(bounds[1])) };
        }
        let scale = source.map_or(0.5, |tensor| tensor.scale);
        self.content.tensors.push(TensorRecord {
            offset,
            h,
            w,
            c,
            element,
            zero_point,
            scale,
            last_use: index + 1,
            kept_rows: 0,
        });
        self.content.layers.push(layer);
        self.content.tensors.len() - 1
    }

    fn layer(&self, op: u8, input: usize, window: Option<&WindowSpec>) -> LayerRecord {
        let mut record = LayerRecord {
            op,
            input: input as u16,
            skip: LayerRecord::NO_SKIP,
            low: -128,
            high: 127,
            channels: self.content.channels.len() as u32,
            weights: self.content.weights.len() as u32,
            ..LayerRecord::default()
        };
        record.window = window.map_or(WindowRecord::NONE, WindowSpec::record);
        record
    }

    /// Weights and channel records for `out` channels of `fan_in` weights; `joined` channels get shortcut factors.
    fn products(
        &mut self,
        layer: &mut LayerRecord,
        fan_in: usize,
        out: usize,
        joined: std::ops::Range<usize>,
    ) {
        for channel in 0..out {
            let first = self.content.weights.len();
            for index in 0..fan_in {
                self.content.weights.push(self.values.get(&mut self.random, index + channel, -127));
            }
            let weights = &self.content.weights[first..];
            let sum = weights.iter().map(|&weight| u32::from(weight.unsigned_abs())).sum();
            layer.weight_sum = layer.weight_sum.max(sum);
            let joined = joined.contains(&channel);
            let record = match self.values {
                Values::Bell => bell_channel(layer, weights, joined),
                _ => self.random_channel(fan_in, joined, layer.skip_shift),
            };
            self.content.channels.push(record);
        }
    }

    fn random_channel(&mut self, fan_in: usize, joined: bool, skip_shift: u8) -> ChannelRecord {
        let spread = (fan_in as f64).sqrt() * 5000.0;
        let shift = (spread.log2() as i64 - 6 + self.random.range(-1, 3)).clamp(2, 30) as u8;
        let largest_skip = (1i64 << 31) / 255 - 128;
        let skip_range = largest_skip.min(i64::from(spread as i32) << skip_shift >> 5);
        let skip_multiplier = if joined { self.random.range(-skip_range, skip_range) as i32 } else { 0 };
        ChannelRecord {
            bias: self.random.range(-(spread as i64), spread as i64) as i32,
            mantissa: self.random.range(1 << 30, (1 << 31) - 1) as i32,
            skip_multiplier,
            shift,
        }
    }

    pub fn conv(&mut self, input: usize, out_c: usize, window: WindowSpec, skip: Option<SkipSpec>) -> usize {
        let TensorRecord { h, w, c, .. } = self.content.tensors[input];
        let mut layer = self.layer(LayerRecord::CONV, input, Some(&window));
        let mut joined = 0..0;
        if let Some(skip) = skip {
            layer.skip = skip.tensor as u16;
            layer.skip_stride = skip.stride as u8;
            layer.skip_channel = skip.channel as u16;
            layer.skip_shift = self.random.range(0, 8) as u8;
            joined = skip.channel..skip.channel + usize::from(self.content.tensors[skip.tensor].c);
        }
        let fan_in = window.kernel[0] * window.kernel[1] * usize::from(c);
        self.products(&mut layer, fan_in, out_c, joined);
        let [out_h, out_w] = window.out_size(h, w);
        let in_place = skip.filter(|skip| skip.in_place).map(|skip| skip.tensor);
        self.push(layer, [out_h, out_w, out_c as u16], None, in_place)
    }

    /// A convolution and the max pooling of what it computes in one layer.
    pub fn conv_pool(&mut self, input: usize, out_c: usize, window: WindowSpec, pool: WindowSpec) -> usize {
        let TensorRecord { h, w, c, .. } = self.content.tensors[input];
        let mut layer = self.layer(LayerRecord::CONV, input, Some(&window));
        layer.pool = pool.record();
        self.products(&mut layer, window.kernel[0] * window.kernel[1] * usize::from(c), out_c, 0..0);
        let [map_h, map_w] = window.out_size(h, w);
        let [out_h, out_w] = pool.out_size(map_h, map_w);
        self.push(layer, [out_h, out_w, out_c as u16], None, None)
    }

    pub fn max_pool(&mut self, input: usize, window: WindowSpec) -> usize {
        let TensorRecord { h, w, c, .. } = self.content.tensors[input];
        let layer = self.layer(LayerRecord::MAX_POOL, input, Some(&window));
        let [out_h, out_w] = window.out_size(h, w);
        self.push(layer, [out_h, out_w, c], Some(input), None)
    }

    pub fn average_pool(&mut self, input: usize) -> usize {
        let TensorRecord { h, w, c, zero_point, .. } = self.content.tensors[input];
        let count = i32::from(h) * i32::from(w);
        let layer = LayerRecord { acc_shift: 3, ..self.layer(LayerRecord::AVERAGE_POOL, input, None) };
        let bits = (f64::from(count) * 8.0).log2() as u8;
        let mantissa = self.random.range(1 << 30, (1 << 31) - 1) as i32;
        let bias = -i32::from(zero_point) * count;
        self.content.channels.push(ChannelRecord { bias, mantissa, skip_multiplier: 0, shift: bits.max(2) });
        self.push(layer, [1, 1, c], None, None)
    }

    pub fn dense(&mut self, input: usize, classes: usize) -> usize {
        let TensorRecord { h, w, c, .. } = self.content.tensors[input];
        let mut layer = LayerRecord { acc_shift: 4, ..self.layer(LayerRecord::DENSE, input, None) };
        self.products(&mut layer, usize::from(h) * usize::from(w) * usize::from(c), classes, 0..0);
        self.push(layer, [1, 1, classes as u16], None, None)
    }

    /// The model's content, with the self-test hashes of the naive interpreter.
    pub fn finish(self) -> Content {
        let mut content = self.without_hashes();
        content.self_test_hashes = naive::self_test_hashes(&content);
        content
    }

    /// The model's content, with zeros for self-test hashes.
    pub fn without_hashes(mut self) -> Content {
        let layers = self.content.layers.len();
        self.content.tensors[layers].last_use = layers as u16;
        self.content.self_test_hashes = vec![0; layers];
        self.content
    }
}

/// Parameters with which independent inputs make outputs as they should be, [`Spread::BEFORE_RELU`]. A quarter of their
/// variance is the shortcut's: with more, its largest values would grow from block to block.
fn bell_channel(layer: &LayerRecord, weights: &[i8], joined: bool) -> ChannelRecord {
    let weights = weights.iter().map(|&weight| f64::from(weight));
    let (sum, squares) = weights.fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
    let input = match layer.input {
        0 => Spread::PIXELS,
        _ => Spread::ABOUT_CENTRE,
    };
    let products = squares.sqrt() * input.deviation;
    let skip = if joined { products / f64::sqrt(3.0) } else { 0.0 };
    let skip_factor = skip / Spread::ACTIVATIONS.deviation;
    let pooled = match layer.pool {
        WindowRecord::NONE => Spread { mean: 0.0, deviation: 1.0 },
        _ => Spread::LARGEST_OF_9,
    };
    let all = products.hypot(skip);
    let mean = sum * input.mean + skip_factor * Spread::ACTIVATIONS.mean + all * pooled.mean;
    let scale = (Spread::BEFORE_RELU.deviation / (all * pooled.deviation)).clamp(f64::exp2(-30.0), 0.2);
    let shift = (-scale.log2()).floor();
    ChannelRecord {
        bias: -mean as i32,
        mantissa: (scale * f64::exp2(31.0 + shift)) as i32,
        skip_multiplier: (skip_factor * f64::from(1 << layer.skip_shift)) as i32,
        shift: shift as u8,
    }
}

/// A small residual network with every kind of layer and shortcut; `c` input channels (1 or 3). In every second one, layers run together
/// by rows.
pub fn network(seed: u64, values: Values) -> Content {
    let mut shape = Random::new(seed ^ 0x5eed);
    let c = shape.pick(&[1, 3]);
    let (h, w) = (shape.size(9, 14), shape.size(9, 14));
    let mut b = Builder::new([h, w, c], values, seed);
    let width = shape.size(1, 9);
    let seven = WindowSpec { kernel: [7, 7], stride: [1, 1], pads: [3, 3, 3, 3] };
    let overlapping = WindowSpec { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 0, 1] };
    let pooled = if shape.range(0, 1) == 0 {
        b.conv_pool(0, width, seven, overlapping)
    } else {
        let stem = b.conv(0, width, seven, None);
        b.max_pool(stem, overlapping)
    };
    let inner = b.conv(pooled, width + 1, WindowSpec::SAME3, None);
    let in_place = SkipSpec { tensor: pooled, stride: 1, channel: 0, in_place: true };
    let block = b.conv(inner, width, WindowSpec::SAME3, Some(in_place));
    let half = WindowSpec { kernel: [3, 3], stride: [2, 2], pads: [1, 1, 1, 1] };
    let inner = b.conv(block, 2 * width, half, None);
    let option_a = SkipSpec { tensor: block, stride: 2, channel: width / 2, in_place: false };
    let block = b.conv(inner, 2 * width, WindowSpec::SAME3, Some(option_a));
    let asymmetric = WindowSpec { kernel: [3, 3], stride: [2, 2], pads: [0, 0, 1, 1] };
    let projection = b.conv(block, 5, asymmetric, None);
    let inner = b.conv(block, 3, WindowSpec::POINT, None);
    let inner = b.conv(inner, 6, asymmetric, None);
    let apart = SkipSpec { tensor: projection, stride: 1, channel: 0, in_place: false };
    let block = b.conv(inner, 5, WindowSpec::POINT, Some(apart));
    let itself = SkipSpec { tensor: block, stride: 1, channel: 0, in_place: false };
    let block = b.conv(block, 5, WindowSpec::SAME3, Some(itself));
    let fused = WindowSpec::random_pool(&mut shape, [b.content.tensors[block].h, b.content.tensors[block].w]);
    let block = b.conv_pool(block, 6, WindowSpec::SAME3, fused);
    let pooled = b.average_pool(block);
    b.dense(pooled, 7);
    let mut content = b.finish();
    if seed % 2 == 1 {
        streaming::stream(&mut content, &mut shape);
    }
    content
}

/// Collects every layer's output.
#[derive(Default)]
pub struct Outputs(pub Vec<Vec<i32>>);

impl Observer for Outputs {
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
        self.0.resize(self.0.len().max(layer.index + 1), Vec::new());
        let whole = &mut self.0[layer.index];
        match output {
            Output::Activations(values) | Output::Row { values, .. } => {
                whole.extend(values.iter().map(|&v| i32::from(v)));
            }
            Output::Logits(values) => whole.extend(values),
        }
        Ok(())
    }
}

/// Every instruction set that there is here, with one and with several threads.
pub fn plans<'m>(model: resi8::Model<'m>) -> impl Iterator<Item = Plan<'m>> {
    plans_with(model, &[1, 2, 3])
}

/// Every instruction set that there is here, with each of these numbers of threads.
pub fn plans_with<'m>(model: resi8::Model<'m>, threads: &[usize]) -> impl Iterator<Item = Plan<'m>> {
    resi8::Isa::available().flat_map(move |isa| {
        let plan = Plan::new(model, isa).unwrap();
        threads.iter().map(move |&threads| plan.with_threads(threads.try_into().unwrap()).unwrap())
    })
}

/// Runs a plan on `input` in buffers that were filled with `canary`, of exactly the size that the plan names.
pub fn run(plan: &Plan<'_>, input: &[i8], canary: u8) -> Vec<Vec<i32>> {
    let (mut arena, mut packed) =
        (AlignedBuf::new(plan.arena_len()).unwrap(), AlignedBuf::new(plan.packed_len()).unwrap());
    arena.as_mut().fill(canary);
    packed.as_mut().fill(canary);
    let mut session =
        Session::new(*plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() }).unwrap();
    session.input_mut().copy_from_slice(input);
    let mut outputs = Outputs::default();
    session.run_observed(&mut outputs).unwrap();
    outputs.0
}

pub fn input_of(tensor: &Tensor, values: Values, seed: u64) -> Vec<i8> {
    let mut random = Random::new(seed);
    (0..tensor.len()).map(|index| values.get(&mut random, index, -128)).collect()
}
