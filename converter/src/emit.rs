//! From the quantized and planned network to the bytes of a model file, self-test hashes included.

use resi8::format::records::{ChannelRecord, GraphRecord, LayerRecord, TensorRecord, WindowRecord};
use resi8::format::write::{Content, LAYER_WEIGHTS_ALIGN};
use resi8::{
    AlignedBuf, Buffers, Isa, Layer, LoadError, Model, Observer, Output, OutputHash, Plan, Preprocess,
    RunError, Session,
};
use thiserror::Error;

use crate::memory::MemoryPlan;
use crate::quantize::{Quantized, QuantizedChannel, QuantizedLayer, QuantizedOp, Window};

/// Why a network does not fit the model format.
#[derive(Debug, Error)]
pub enum EmitError {
    /// A number is too large for its field.
    #[error("{0}")]
    TooLarge(String),
    /// The loader refuses what was written: a defect of the converter, or a network at the edge of the format.
    #[error("the model that was written does not pass the loader: {0}")]
    Load(#[from] LoadError),
    /// The self-test could not be run.
    #[error("the model that was written does not run: {0}")]
    Run(#[from] RunError),
}

/// What a model file holds beside the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Extras {
    /// How a picture becomes the input.
    pub preprocess: Preprocess,
    /// One a class, or none.
    pub labels: Vec<String>,
    /// `key: value` lines.
    pub info: String,
}

/// Seed of the self-test's input.
const SELF_TEST_SEED: u32 = 0x7265_7369;

/// A model file and what is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// The records that the file is made of.
    pub content: Content,
    /// Its bytes.
    pub file: Vec<u8>,
}

/// Writes the model, runs it once on the self-test's input, and writes it again with the hashes of every layer.
///
/// # Errors
/// See [`EmitError`].
pub fn emit(network: &Quantized, plan: &MemoryPlan, extras: &Extras) -> Result<Emitted, EmitError> {
    let mut content = content(network, plan, extras)?;
    let draft = to_bytes(&content)?;
    content.self_test_hashes = self_test_hashes(&Model::parse(&draft)?)?;
    let file = to_bytes(&content)?;
    Model::parse(&file)?;
    Ok(Emitted { content, file })
}

fn to_bytes(content: &Content) -> Result<Vec<u8>, EmitError> {
    content.to_bytes().ok_or_else(|| EmitError::TooLarge("the model would be larger than 4 GiB".into()))
}

/// The hash of every layer's output on the self-test's input, by the portable kernels.
fn self_test_hashes(model: &Model<'_>) -> Result<Vec<u32>, EmitError> {
    struct Hashes {
        hash: OutputHash,
        of_layers: Vec<u32>,
    }
    impl Observer for Hashes {
        fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
            if let Some(hash) = self.hash.add(layer, output) {
                self.of_layers[layer.index] = hash;
            }
            Ok(())
        }
    }
    let plan = Plan::new(*model, Isa::Portable).map_err(|error| EmitError::TooLarge(error.to_string()))?;
    let (mut arena, mut packed) = (AlignedBuf::new(plan.arena_len())?, AlignedBuf::new(plan.packed_len())?);
    let mut session = Session::new(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() })?;
    session.set_self_test_input();
    let mut hashes = Hashes { hash: OutputHash::default(), of_layers: vec![0; model.layer_count()] };
    session.run_observed(&mut hashes)?;
    Ok(hashes.of_layers)
}

/// Converts a number to a field of the format, naming what was too large.
fn fit<T: TryFrom<usize>>(value: usize, what: &str) -> Result<T, EmitError> {
    T::try_from(value)
        .map_err(|_| EmitError::TooLarge(format!("{what} is {value}, which the format cannot hold")))
}

fn content(network: &Quantized, plan: &MemoryPlan, extras: &Extras) -> Result<Content, EmitError> {
    let mut content = Content {
        graph: GraphRecord {
            activation_bytes: fit(plan.activation_bytes, "the size of all activations")?,
            input_pad: [0, 1, 2, 3].map(|c| network.input_pad.get(c).copied().unwrap_or(0)),
        },
        tensors: tensors(network, plan)?,
        layers: Vec::new(),
        channels: Vec::new(),
        weights: Vec::new(),
        preprocess: extras.preprocess,
        self_test_seed: SELF_TEST_SEED,
        self_test_hashes: vec![0; network.layers.len()],
        names: network.layers.iter().map(|layer| one_line(&layer.name)).collect(),
        labels: extras.labels.iter().map(|label| one_line(label)).collect(),
        info: extras.info.lines().map(one_line).collect::<Vec<_>>().join("\n"),
    };
    for layer in &network.layers {
        content.weights.resize(content.weights.len().next_multiple_of(LAYER_WEIGHTS_ALIGN), 0);
        let record = layer_record(layer, content.weights.len(), content.channels.len())?;
        content.layers.push(record);
        content.weights.extend_from_slice(&layer.weights);
        content.channels.extend(layer.channels.iter().map(channel_record));
    }
    Ok(content)
}

/// A text without line breaks, which separate the entries of a text section, and without other control characters.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.is_empty() { "-".into() } else { line }
}

fn tensors(network: &Quantized, plan: &MemoryPlan) -> Result<Vec<TensorRecord>, EmitError> {
    let logits = network.tensors.len() - 1;
    let record = |(index, tensor): (usize, &crate::quantize::QuantizedTensor)| {
        let what = |side: &str| format!("the {side} of tensor `{}`", tensor.name);
        Ok(TensorRecord {
            offset: fit(plan.offsets[index], "a tensor's offset")?,
            h: fit(tensor.shape.h, &what("height"))?,
            w: fit(tensor.shape.w, &what("width"))?,
            c: fit(tensor.shape.c, &what("number of channels"))?,
            element: if index == logits { TensorRecord::I32 } else { TensorRecord::I8 },
            zero_point: tensor.zero_point,
            scale: tensor.scale,
            last_use: fit(plan.last_use[index], "the number of layers")?,
            kept_rows: fit(plan.kept_rows[index], "the number of rows that are kept of a tensor")?,
        })
    };
    network.tensors.iter().enumerate().map(record).collect()
}

fn layer_record(layer: &QuantizedLayer, weights: usize, channels: usize) -> Result<LayerRecord, EmitError> {
    let mut record = LayerRecord {
        input: fit(layer.input.0, "a tensor's number")?,
        skip: LayerRecord::NO_SKIP,
        low: -128,
        high: 127,
        weights: fit(weights, "the size of all weights")?,
        channels: fit(channels, "the number of all channels")?,
        weight_sum: weight_sum(layer),
        ..LayerRecord::default()
    };
    match &layer.op {
        QuantizedOp::Conv { window, skip, clamp, pool } => {
            record.op = LayerRecord::CONV;
            record.window = window_record(&layer.name, window)?;
            record.pool = match pool {
                Some(pool) => window_record(&layer.name, pool)?,
                None => WindowRecord::NONE,
            };
            [record.low, record.high] = *clamp;
            if let Some((skip, shift)) = skip {
                record.skip = fit(skip.tensor.0, "a tensor's number")?;
                record.skip_stride = fit(skip.stride, "a shortcut's stride")?;
                record.skip_channel = fit(skip.channel_offset, "a shortcut's first channel")?;
                record.skip_shift = *shift;
            }
        }
        QuantizedOp::MaxPool(window) => {
            record.op = LayerRecord::MAX_POOL;
            record.window = window_record(&layer.name, window)?;
        }
        QuantizedOp::AveragePool { acc_shift } => {
            (record.op, record.acc_shift) = (LayerRecord::AVERAGE_POOL, *acc_shift);
        }
        QuantizedOp::Dense { acc_shift } => {
            (record.op, record.acc_shift) = (LayerRecord::DENSE, *acc_shift);
        }
    }
    Ok(record)
}

/// The sum of the weights' magnitudes of the output channel where that is largest.
fn weight_sum(layer: &QuantizedLayer) -> u32 {
    let fan_in = layer.weights.len().checked_div(layer.channels.len()).unwrap_or_default().max(1);
    let sum = |weights: &[i8]| weights.iter().map(|weight| u32::from(weight.unsigned_abs())).sum();
    layer.weights.chunks(fan_in).map(sum).max().unwrap_or_default()
}

fn window_record(layer: &str, window: &Window) -> Result<WindowRecord, EmitError> {
    let mut record = WindowRecord::NONE;
    for (field, value) in record.kernel.iter_mut().zip(window.kernel) {
        *field = fit(value, &format!("the kernel of layer `{layer}`"))?;
    }
    for (field, value) in record.stride.iter_mut().zip(window.stride) {
        *field = fit(value, &format!("the stride of layer `{layer}`"))?;
    }
    for (field, value) in record.pads.iter_mut().zip(window.pads) {
        *field = fit(value, &format!("the padding of layer `{layer}`"))?;
    }
    Ok(record)
}

fn channel_record(channel: &QuantizedChannel) -> ChannelRecord {
    ChannelRecord {
        bias: channel.bias,
        mantissa: channel.multiplier.mantissa,
        skip_multiplier: channel.skip_multiplier,
        shift: channel.multiplier.shift,
    }
}
