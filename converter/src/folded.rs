//! The folded float network: what is left of an ONNX graph once batch norms are inside the convolutions, activations
//! are clamps, residual additions are the epilogue of a convolution and a max pooling right behind a convolution is part
//! of it. One layer here is one layer of the int8 model.

/// Height, width and channels of one feature map (batch 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// Number of values.
    #[must_use]
    pub fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// True when there is no value at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Index into [`Folded::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// A feature map between two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name of the tensor in the ONNX graph that holds the same values (after the activation that was folded in).
    pub name: String,
    /// Its shape.
    pub shape: Shape,
}

/// Bounds that an activation puts on a layer's real-valued output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Unbounded.
    None,
    /// At least 0.
    Relu,
    /// Between two bounds that include 0, lower first (ReLU6 is `Clip(0.0, 6.0)`).
    Clip(f32, f32),
}

/// A residual shortcut that is added to a convolution's output before its activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// Where the shortcut comes from.
    pub tensor: TensorId,
    /// Every `stride`-th row and column is read (1, or 2 in an option A shortcut).
    pub stride: usize,
    /// Output channel that the shortcut's channel 0 is added to; output channels before it and after the shortcut's
    /// last channel get nothing (option A pads with zero channels).
    pub channel_offset: usize,
}

/// A max pooling of what a convolution computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Window rows and columns.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Padding, which never wins: top, left, bottom, right.
    pub pads: [usize; 4],
    /// The convolution's map. The int8 model never holds all of it, so it is no tensor of the folded network, but the
    /// float network has it: it tells the range that the int8 map needs.
    pub map: Tensor,
}

/// A convolution in float, batch norm already inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Weights, `[out][in][kernel row][kernel column]` as in ONNX.
    pub weights: Vec<f64>,
    /// One per output channel.
    pub bias: Vec<f64>,
    /// Shortcut added before the activation.
    pub skip: Option<Skip>,
    /// Applied to the sum.
    pub activation: Activation,
    /// Applied last; never together with a shortcut.
    pub pool: Option<Pool>,
}

/// A fully connected layer: the classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Weights, `[out][in]`; `in` counts the flattened input in `[channel][row][column]` order, as in ONNX.
    pub weights: Vec<f64>,
    /// One per output.
    pub bias: Vec<f64>,
}

/// What a layer computes.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a network has some dozens of them, most of them convolutions")]
pub enum Op {
    /// Convolution, shortcut, activation, max pooling.
    Conv(Conv),
    /// Maximum over a window; padding never wins.
    MaxPool {
        /// Window rows and columns.
        kernel: [usize; 2],
        /// Vertical and horizontal stride.
        stride: [usize; 2],
        /// Padding: top, left, bottom, right.
        pads: [usize; 4],
    },
    /// Mean over the whole map, one value per channel.
    GlobalAveragePool,
    /// Fully connected; its output has shape 1 x 1 x classes and is the network's output.
    Dense(Dense),
}

/// One step of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name of the ONNX node it grew from (the Conv, pool or Gemm).
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Its input.
    pub input: TensorId,
    /// Its output; written by this layer only.
    pub output: TensorId,
}

/// The whole network, layers in execution order.
///
/// Tensor 0 is the input, tensor `i + 1` the output of layer `i`. The last layer is a [`Op::Dense`], the only one, and its output is the network's output.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// All feature maps.
    pub tensors: Vec<Tensor>,
    /// All layers.
    pub layers: Vec<Layer>,
}

impl Folded {
    /// The maps before the poolings that are part of a convolution, each with the tensor that it becomes.
    pub fn maps_before_pools(&self) -> impl Iterator<Item = (TensorId, &Tensor)> {
        self.layers.iter().filter_map(|layer| match &layer.op {
            Op::Conv(Conv { pool: Some(pool), .. }) => Some((layer.output, &pool.map)),
            _ => None,
        })
    }

    /// All tensors, then [all maps before poolings](Self::maps_before_pools): what the float network exposes.
    pub fn feature_maps(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().chain(self.maps_before_pools().map(|(_, map)| map))
    }
}
