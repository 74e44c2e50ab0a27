//! The network as a list of operators on feature maps: ONNX without names for constants, shape arithmetic, reshapes
//! and operators that do nothing. What may be combined with what is decided in [`crate::fold`].

use crate::folded::{Activation, Conv, Dense, Shape, Tensor, TensorId};
use crate::onnx::{ImportError, OnnxModel, Origin, Unsupported, lower};

/// What a node computes.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a network has some dozens of them, most of them convolutions")]
pub enum Op {
    /// Convolution and bias; no shortcut, no activation and no pooling yet.
    Conv(Conv),
    /// `x * scale[c] + shift[c]` per channel: a batch norm, or a bias that is a node of its own.
    Affine {
        /// One factor per channel.
        scale: Vec<f64>,
        /// One summand per channel.
        shift: Vec<f64>,
    },
    /// Clamp; never [`Activation::None`].
    Activation(Activation),
    /// Sum of two feature maps of equal shape.
    Add,
    /// Every `stride`-th row and column, from 0.
    Subsample {
        /// Vertical and horizontal.
        stride: [usize; 2],
    },
    /// Zeros around the map.
    Pad {
        /// Zero channels before and after.
        channels: [usize; 2],
        /// Zero rows and columns: top, left, bottom, right.
        pads: [usize; 4],
    },
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
    /// Fully connected, on the flattened map.
    Dense(Dense),
    /// Stands for a node that is listed in [`Ir::unsupported`], or one that such a node feeds.
    Opaque,
}

/// One operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The ONNX node it was.
    pub origin: Origin,
    /// What it computes.
    pub op: Op,
    /// The feature maps it reads.
    pub inputs: Vec<TensorId>,
    /// The feature map it writes; nothing else writes it.
    pub output: TensorId,
}

/// The whole network, nodes in execution order; every node contributes to the output.
#[derive(Debug, Clone, PartialEq)]
pub struct Ir {
    /// All feature maps, named as in ONNX; 0 is the input. Those behind an [`Op::Opaque`] have an empty shape.
    pub tensors: Vec<Tensor>,
    /// All operators.
    pub nodes: Vec<Node>,
    /// The logits.
    pub output: TensorId,
    /// What was decided on the way and the user should know, one sentence each; begins with [`OnnxModel::notes`].
    pub notes: Vec<String>,
    /// Nodes that cannot be converted; [`crate::fold::fold`] adds its own and reports all of them at once.
    pub unsupported: Vec<Unsupported>,
}

impl Ir {
    /// Translates a model. Constants are evaluated and decoded here, so this is where weights are first looked at.
    ///
    /// # Errors
    /// [`ImportError::Graph`] if the graph contradicts itself. Nodes that cannot be converted are not an error yet.
    pub fn from_onnx(model: &OnnxModel) -> Result<Self, ImportError> {
        lower(model)
    }
}

/// The tensor's shape as ONNX has it, batch first.
#[must_use]
pub fn onnx_dims(shape: Shape) -> [usize; 4] {
    [1, shape.c, shape.h, shape.w]
}

/// Bounds of an activation, infinite where it has none.
pub(crate) fn bounds(activation: Activation) -> (f32, f32) {
    match activation {
        Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
        Activation::Relu => (0.0, f32::INFINITY),
        Activation::Clip(low, high) => (low, high),
    }
}

/// The activation with these bounds; a bound at the end of float32 is none, as exporters write it.
pub(crate) fn clamp(low: f32, high: f32) -> Activation {
    match (low <= f32::MIN, high >= f32::MAX) {
        (true, true) => Activation::None,
        (false, true) if low == 0.0 => Activation::Relu,
        _ => Activation::Clip(low.max(f32::MIN), high.min(f32::MAX)),
    }
}
