//! Typed access to one ONNX node: attributes with their defaults, inputs that may be left out.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::error::Origin;

/// No dimension, stride or padding of a network that this converter is for comes near this; a bound keeps all shape
/// arithmetic far from overflow.
const MAX_EXTENT: usize = 1 << 20;

/// A node and its place in the graph.
#[derive(Clone, Copy)]
pub(super) struct Node<'m> {
    pub(super) proto: &'m NodeProto,
    pub(super) position: usize,
}

impl<'m> Node<'m> {
    pub(super) fn op(self) -> &'m str {
        &self.proto.op_type
    }

    /// The node's name, or its first output's where it has none.
    pub(super) fn label(self) -> &'m str {
        match (self.proto.name.as_str(), self.proto.output.first()) {
            ("", Some(output)) => output,
            (name, _) => name,
        }
    }

    /// Name of the tensor at input `index`; `None` where the optional input is left out.
    pub(super) fn input(self, index: usize) -> Option<&'m str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(super) fn origin(self) -> Origin {
        Origin {
            position: self.position,
            op: self.op().to_owned(),
            name: self.label().to_owned(),
            attributes: self.attributes(),
        }
    }

    fn attributes(self) -> String {
        let texts: Vec<String> = self.proto.attribute.iter().map(describe).collect();
        texts.join(", ")
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.proto.attribute.iter().any(|a| a.name == name)
    }

    /// Files from before attribute types were mandatory leave the type at 0.
    fn attribute(self, name: &str, kind: AttributeType) -> Result<Option<&'m AttributeProto>, String> {
        match self.proto.attribute.iter().find(|a| a.name == name) {
            Some(a) if a.r#type != 0 && a.r#type != kind as i32 => {
                Err(format!("attribute `{name}` is not of type {}", kind.as_str_name()))
            }
            found => Ok(found),
        }
    }

    pub(super) fn int(self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.attribute(name, AttributeType::Int)?.map_or(default, |a| a.i))
    }

    pub(super) fn float(self, name: &str, default: f32) -> Result<f32, String> {
        Ok(self.attribute(name, AttributeType::Float)?.map_or(default, |a| a.f))
    }

    pub(super) fn floats(self, name: &str) -> Result<Option<&'m [f32]>, String> {
        Ok(self.attribute(name, AttributeType::Floats)?.map(|a| a.floats.as_slice()))
    }

    pub(super) fn ints(self, name: &str) -> Result<Option<&'m [i64]>, String> {
        Ok(self.attribute(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    pub(super) fn text(self, name: &str, default: &str) -> Result<String, String> {
        let found = self.attribute(name, AttributeType::String)?;
        Ok(found.map_or(default.into(), |a| String::from_utf8_lossy(&a.s).into_owned()))
    }

    pub(super) fn tensor(self, name: &str) -> Result<Option<&'m TensorProto>, String> {
        Ok(self.attribute(name, AttributeType::Tensor)?.and_then(|a| a.t.as_ref()))
    }

    /// A list of exactly `N` extents.
    pub(super) fn extents<const N: usize>(self, name: &str) -> Result<Option<[usize; N]>, String> {
        let Some(list) = self.ints(name)? else { return Ok(None) };
        let extents = list.iter().map(|&v| extent(v)).collect::<Result<Vec<_>, _>>();
        let extents = extents.map_err(|reason| format!("{name}: {reason}"))?;
        let array = extents.try_into().map_err(|_| format!("{name} has {} entries, not {N}", list.len()))?;
        Ok(Some(array))
    }
}

/// A dimension, stride or padding in the supported range.
pub(super) fn extent(value: i64) -> Result<usize, String> {
    let extent = usize::try_from(value).ok().filter(|&v| v <= MAX_EXTENT);
    extent.ok_or_else(|| format!("{value} is outside 0 to {MAX_EXTENT}"))
}

/// Position of `axis` (negative: counted from the end) in a shape of `rank` dimensions.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_end = if axis < 0 { axis.saturating_add_unsigned(rank as u64) } else { axis };
    let index = usize::try_from(from_end).ok().filter(|&a| a < rank);
    index.ok_or_else(|| format!("axis {axis} does not exist in {rank} dimensions"))
}

fn describe(a: &AttributeProto) -> String {
    let value = match AttributeType::try_from(a.r#type) {
        Ok(AttributeType::Int) => a.i.to_string(),
        Ok(AttributeType::Float) => a.f.to_string(),
        Ok(AttributeType::String) => String::from_utf8_lossy(&a.s).into_owned(),
        Ok(AttributeType::Ints) => format!("{:?}", a.ints),
        Ok(AttributeType::Floats) => format!("{:?}", a.floats),
        Ok(AttributeType::Tensor) => format!("tensor of {:?}", a.t.as_ref().map_or(&[][..], |t| &t.dims)),
        Ok(other) => other.as_str_name().to_lowercase(),
        Err(_) => "?".to_owned(),
    };
    format!("{}={value}", a.name)
}
