//! Reading ONNX files: decoding, the network's one input and one output, sizes left open by the export.

mod constant;
mod error;
mod layers;
mod lower;
mod node;
mod views;
mod window;

use std::collections::HashSet;
use std::path::Path;

use prost::Message;
use tract_onnx::data_resolver;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, ValueInfoProto, type_proto};
use tract_onnx::tensor::load_tensor;

pub use error::{ImportError, Origin, Unsupported};
pub(crate) use layers::check_pool_pads;
pub(crate) use lower::lower;

/// Oldest operator set that can be read; older ones broadcast by attributes.
pub const OLDEST_OPSET: i64 = 7;

/// Newest operator set whose definitions this reader was written against; newer ones are read with a note.
pub const NEWEST_OPSET: i64 = 28;

/// What an ONNX file may leave open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Height and width of the input in pixels, for a network exported without a fixed size.
    pub input_size: Option<(usize, usize)>,
}

/// A decoded ONNX file with one picture as input (batch 1) and one output.
#[derive(Debug, Clone)]
pub struct OnnxModel {
    proto: ModelProto,
    opset: i64,
    input: String,
    input_shape: [usize; 4],
    output: String,
    notes: Vec<String>,
}

/// Reads an ONNX file, with its external data where it has any.
///
/// # Errors
/// The file cannot be read, is not ONNX, is cut off, or does not take exactly one picture; the message names the file.
pub fn read(path: &Path, options: &ImportOptions) -> Result<OnnxModel, ImportError> {
    let bytes = std::fs::read(path).map_err(|error| ImportError::Read { path: path.into(), error })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    OnnxModel::from_bytes(&bytes, folder, options)
        .map_err(|error| ImportError::File { path: path.into(), error: Box::new(error) })
}

impl OnnxModel {
    /// Decodes the bytes of an ONNX file; `folder` is where its external data lies, if it has any.
    ///
    /// # Errors
    /// See [`read`].
    pub fn from_bytes(bytes: &[u8], folder: &Path, options: &ImportOptions) -> Result<Self, ImportError> {
        let proto = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
        Self::from_proto(proto, folder, options)
    }

    /// Checks a decoded model and fixes its open sizes; `folder` as in [`OnnxModel::from_bytes`].
    ///
    /// # Errors
    /// See [`read`].
    pub fn from_proto(
        mut proto: ModelProto,
        folder: &Path,
        options: &ImportOptions,
    ) -> Result<Self, ImportError> {
        let Some(graph) = proto.graph.as_mut() else {
            return Err(ImportError::NotOnnx("it holds no graph".into()));
        };
        let default_domain = |d: &str| d.is_empty() || d == "ai.onnx";
        let set = proto.opset_import.iter().find(|set| default_domain(&set.domain));
        let opset = set.ok_or_else(|| ImportError::NotOnnx("it names no operator set".into()))?.version;
        let mut notes = check_opset(opset)?;
        embed_external_data(graph, folder)?;
        make_pad_values_scalar(graph);
        let output = single_output(graph)?;
        let input = single_input(graph)?;
        let (input_shape, bound) = bind_sizes(input, options)?;
        let input = input.name.clone();
        if !bound.is_empty() {
            // Shapes recorded inside the graph still speak of the sizes that were open.
            graph.value_info.clear();
        }
        notes.extend(bound);
        Ok(Self { proto, opset, input, input_shape, output, notes })
    }

    /// The model in ONNX's own terms, ready to run: open sizes bound, external data embedded, the value of a Pad a
    /// scalar, otherwise as it was in the file.
    #[must_use]
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Version of the default operator set.
    #[must_use]
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Name of the input tensor.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Shape of the input: 1, channels, height, width.
    #[must_use]
    pub fn input_shape(&self) -> [usize; 4] {
        self.input_shape
    }

    /// Name of the output tensor as in the file; where the network ends in a softmax, this is its result.
    #[must_use]
    pub fn output(&self) -> &str {
        &self.output
    }

    /// What was decided while reading and the user should know, one sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Present since [`OnnxModel::from_proto`] checked it.
    fn graph(&self) -> Result<&GraphProto, ImportError> {
        self.proto.graph.as_ref().ok_or_else(|| ImportError::NotOnnx("it holds no graph".into()))
    }
}

fn check_opset(opset: i64) -> Result<Vec<String>, ImportError> {
    match opset {
        ..OLDEST_OPSET => Err(ImportError::Opset(opset)),
        OLDEST_OPSET..=NEWEST_OPSET => Ok(Vec::new()),
        _ => {
            Ok(vec![format!("operator set {opset} is newer than {NEWEST_OPSET}, the newest one known here")])
        }
    }
}

/// Moves weights stored beside the file into the model, so that every later stage sees one self-contained model.
fn embed_external_data(graph: &mut GraphProto, folder: &Path) -> Result<(), ImportError> {
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let values = attributes.filter_map(|attribute| attribute.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(values) {
        if tensor.data_location == Some(DataLocation::External as i32) {
            embed(tensor, folder)?;
        }
    }
    Ok(())
}

fn embed(tensor: &mut TensorProto, folder: &Path) -> Result<(), ImportError> {
    let failed = |reason: String| {
        let name = &tensor.name;
        ImportError::Interface(format!(
            "the external data of `{name}` cannot be read: {reason}; keep the data file beside the ONNX file"
        ))
    };
    let folder = folder.to_str().ok_or_else(|| failed("the folder's name is not Unicode".into()))?;
    constant::is_integer(tensor.data_type).map_err(failed)?;
    let loaded = load_tensor(&*data_resolver::default(), tensor, Some(folder));
    let loaded = loaded.map_err(|e| failed(format!("{e:#}")))?;
    tensor.raw_data = loaded.as_bytes().to_vec();
    tensor.data_location = None;
    tensor.external_data.clear();
    Ok(())
}

/// Some exporters store the value of a Pad as a list of one. ONNX Runtime takes it, tract and the standard want a scalar.
fn make_pad_values_scalar(graph: &mut GraphProto) {
    let mut values: HashSet<String> = HashSet::new();
    for node in graph.node.iter().filter(|node| node.op_type == "Pad") {
        values.extend(node.input.get(2).cloned());
    }
    for node in &graph.node {
        let other_uses = node.input.iter().enumerate().filter(|(i, _)| node.op_type != "Pad" || *i != 2);
        other_uses.for_each(|(_, name)| _ = values.remove(name));
    }
    for tensor in graph.initializer.iter_mut().filter(|t| t.dims == [1] && values.contains(&t.name)) {
        tensor.dims.clear();
    }
}

fn single_output(graph: &GraphProto) -> Result<String, ImportError> {
    match graph.output.as_slice() {
        [output] => Ok(output.name.clone()),
        outputs => Err(ImportError::Interface(format!(
            "the network has {} outputs ({}), exactly one is needed: export it with the logits only",
            outputs.len(),
            names(outputs.iter())
        ))),
    }
}

/// Files from before IR version 4 list their weights among the inputs.
fn single_input(graph: &mut GraphProto) -> Result<&mut ValueInfoProto, ImportError> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let mut inputs: Vec<_> = graph.input.iter_mut().filter(|i| !weights.contains(i.name.as_str())).collect();
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        (last, _) => Err(ImportError::Interface(format!(
            "the network has {} inputs ({}), exactly one picture is needed",
            inputs.len() + usize::from(last.is_some()),
            names(inputs.iter().map(|i| &**i).chain(last.as_deref()))
        ))),
    }
}

fn names<'a>(values: impl Iterator<Item = &'a ValueInfoProto>) -> String {
    let list: Vec<String> = values.map(|v| format!("`{}`", v.name)).collect();
    list.join(", ")
}

/// Gives the input the shape 1 x channels x height x width; a note for every dimension that was open before.
fn bind_sizes(
    input: &mut ValueInfoProto,
    options: &ImportOptions,
) -> Result<([usize; 4], Vec<String>), ImportError> {
    let name = &input.name;
    let wrong = |reason: String| ImportError::Interface(format!("input `{name}` {reason}"));
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut())
    else {
        return Err(wrong("has no type".into()));
    };
    if tensor.elem_type != DataType::Float as i32 {
        let found = DataType::try_from(tensor.elem_type).map_or("of unknown type", |t| t.as_str_name());
        return Err(wrong(format!("is {found}, float32 is needed: export the float32 network")));
    }
    let dims = tensor.shape.as_mut().map_or(&mut [][..], |shape| &mut shape.dim);
    let [batch, channels, rows, columns] = dims else {
        return Err(wrong(format!("has {} dimensions, N x C x H x W is needed", dims.len())));
    };
    let mut notes = Vec::new();
    if fixed(batch) != Some(1) {
        notes.push(bind(batch, 1));
    }
    let channels =
        fixed(channels).ok_or_else(|| wrong("has no fixed number of channels: export with one".into()))?;
    let (height, width) = options.input_size.unzip();
    let height = bind_side(rows, height, &mut notes).map_err(wrong)?;
    let width = bind_side(columns, width, &mut notes).map_err(wrong)?;
    let notes = notes.into_iter().map(|note| format!("input `{name}`: {note}")).collect();
    Ok(([1, channels, height, width], notes))
}

/// The length of one side of the input in pixels.
fn bind_side(side: &mut Dimension, wanted: Option<usize>, notes: &mut Vec<String>) -> Result<usize, String> {
    match (fixed(side), wanted) {
        (Some(length), None) => Ok(length),
        (Some(length), Some(wanted)) if length == wanted => Ok(length),
        (Some(length), Some(wanted)) => {
            Err(format!("has a side fixed to {length}, not {wanted}: export the network again for that size"))
        }
        (None, None) => Err("has no fixed height and width: give the input size in pixels".into()),
        (None, Some(0)) => Err("cannot be 0 pixels wide or high".into()),
        (None, Some(wanted)) => {
            let value = i64::try_from(wanted).map_err(|e| e.to_string())?;
            node::extent(value).map_err(|reason| format!("cannot have that size: {reason}"))?;
            notes.push(bind(side, value));
            Ok(wanted)
        }
    }
}

/// Fixes an open dimension and says so.
fn bind(dim: &mut Dimension, length: i64) -> String {
    let note = format!("dimension `{}` bound to {length}", describe(dim));
    dim.value = Some(dimension::Value::DimValue(length));
    note
}

/// The length of a dimension; `None` where the export left it open.
fn fixed(dim: &Dimension) -> Option<usize> {
    match dim.value {
        Some(dimension::Value::DimValue(length)) => node::extent(length).ok().filter(|&l| l > 0),
        _ => None,
    }
}

fn describe(dim: &Dimension) -> String {
    match &dim.value {
        Some(dimension::Value::DimParam(name)) => name.clone(),
        Some(dimension::Value::DimValue(length)) => length.to_string(),
        None => "?".into(),
    }
}
