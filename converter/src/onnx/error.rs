//! Why an ONNX file could not be imported.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// A node of the ONNX graph as messages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Place in the graph's node list, from 0.
    pub position: usize,
    /// Operator, for example `Conv`.
    pub op: String,
    /// Node name, or the name of its first output where the node has none.
    pub name: String,
    /// Attributes as `key=value`, comma separated; empty when there are none.
    pub attributes: String,
}

/// One node of the ONNX graph that has no counterpart in the int8 model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The node.
    pub node: Origin,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { op, name, attributes, .. } = &self.node;
        write!(f, "{op} `{name}`")?;
        if !attributes.is_empty() {
            write!(f, " ({attributes})")?;
        }
        write!(f, ": {}; accepted: {}", self.reason, accepted(op))
    }
}

/// What of an operator can be converted.
fn accepted(op: &str) -> &'static str {
    match op {
        "Conv" => "2-D convolution, group 1, dilations 1, constant weights, any stride and padding",
        "BatchNormalization" => "inference mode, constant parameters, as only reader of a Conv or Gemm",
        "Relu" | "Clip" => {
            "bounds that include 0 (Relu, ReLU6), as only reader of a Conv, its BatchNormalization or an Add"
        }
        "Add" | "Sum" => {
            "two feature maps of equal shape, one of them a convolution (with BatchNormalization) that nothing \
             else reads; or a constant bias per channel"
        }
        "Slice" | "Pad" => {
            "rows and columns with step 2 from 0, then zero channels: an option A shortcut into an Add; \
             or zero rows and columns in front of a Conv"
        }
        "MaxPool" => "2-D, dilations 1, ceil_mode 0, no Indices output",
        "AveragePool" => "a window over the whole map without padding",
        "ReduceMean" => "the mean over both spatial axes",
        "Gemm" | "MatMul" => "one classifier with constant weights on a flattened map, as the last layer",
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => "flattening to [1, features] in front of Gemm",
        "Softmax" | "LogSoftmax" => "over the classes, as the network's output (it is left out)",
        "Cast" => "constants, or float32 to float32",
        "Dropout" => "inference mode",
        "Transpose" => "constants only; the input is channels first (tf2onnx: --inputs-as-nchw)",
        "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" => FLOAT_ONLY,
        _ if op.starts_with("QLinear") || op.ends_with("Integer") => FLOAT_ONLY,
        _ => OPERATORS,
    }
}

const FLOAT_ONLY: &str = "the float network before quantization (this converter quantizes by itself)";

const OPERATORS: &str = "Conv, BatchNormalization, Relu, Clip, Add, Sum, Slice and Pad (option A shortcuts), MaxPool, \
                         GlobalAveragePool, AveragePool, ReduceMean, Flatten, Reshape, Squeeze, Dropout, Identity, \
                         Gemm, MatMul, a last Softmax, and constants";

/// Why an ONNX file could not be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file could not be read at all.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file was read, its content is the problem.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        error: Box<ImportError>,
    },
    /// Not ONNX, or an ONNX file that was cut off.
    #[error(
        "not a complete ONNX file ({0}); give a float network exported to ONNX (torch.onnx.export, tf2onnx)"
    )]
    NotOnnx(String),
    /// An operator set older than any that this reader knows.
    #[error("operator set {0} is too old; export again with operator set 7 or newer (13 is a good choice)")]
    Opset(i64),
    /// Inputs or outputs of the network are not one picture in, one row of logits out.
    #[error("{0}")]
    Interface(String),
    /// The graph contradicts itself.
    #[error("the graph is damaged: {0}")]
    Graph(String),
    /// Nodes that cannot be converted: all of them.
    #[error("{}", listing(.0))]
    Unsupported(Vec<Unsupported>),
}

fn listing(nodes: &[Unsupported]) -> String {
    let plural = if nodes.len() == 1 { "node" } else { "nodes" };
    let lines: String = nodes.iter().map(|node| format!("\n  {node}")).collect();
    format!("{} {plural} of the network cannot be converted:{lines}", nodes.len())
}
