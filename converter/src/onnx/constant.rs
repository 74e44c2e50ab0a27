//! Constant tensors: initializers, and what the shape arithmetic in front of Pad, Slice and Reshape works on.

use tract_onnx::data_resolver;
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::tract_ndarray::{Array1, ArrayD, Axis, IxDyn, concatenate};
use tract_onnx::tensor::load_tensor;

use super::node::axis;

/// Largest tensor that shape arithmetic may make: real networks stay far below, a damaged file may ask for more than
/// there is memory.
const MAX_MADE: usize = 1 << 20;

fn check_size(len: Option<usize>) -> Result<(), String> {
    match len {
        Some(len) if len <= MAX_MADE => Ok(()),
        _ => Err(format!("a computed constant of more than {MAX_MADE} values")),
    }
}

/// A tensor whose values are known at conversion.
///
/// Integers are held as `f64` too. Beyond 2^53 they lose their low bits; such values occur only as "up to the end" in
/// Slice, where they are clamped.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub(super) values: ArrayD<f64>,
    pub(super) integer: bool,
}

impl Constant {
    pub(super) fn from_tensor(tensor: &TensorProto) -> Result<Self, String> {
        let named = |reason: String| format!("tensor `{}`: {reason}", tensor.name);
        let integer = is_integer(tensor.data_type).map_err(named)?;
        let read = || {
            let loaded = load_tensor(&*data_resolver::default(), tensor, None)?;
            Ok(loaded.cast_to::<f64>()?.to_plain_array_view::<f64>()?.to_owned())
        };
        let values = read().map_err(|e: tract_onnx::prelude::TractError| named(e.to_string()))?;
        Ok(Self { values, integer })
    }

    #[expect(clippy::cast_precision_loss, reason = "shapes are far below 2^53")]
    pub(super) fn from_dims(dims: &[usize]) -> Self {
        Self::from_list(dims.iter().map(|&d| d as f64).collect(), true)
    }

    pub(super) fn from_list(list: Vec<f64>, integer: bool) -> Self {
        Self { values: Array1::from_vec(list).into_dyn(), integer }
    }

    pub(super) fn scalar(value: f64, integer: bool) -> Self {
        Self { values: ArrayD::from_elem(IxDyn(&[]), value), integer }
    }

    /// `ConstantOfShape`: `self` holds the one value.
    pub(super) fn filled(&self, dims: &[usize]) -> Result<Self, String> {
        let value = self.single()?;
        check_size(dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)))?;
        Ok(Self { values: ArrayD::from_elem(IxDyn(dims), value), integer: self.integer })
    }

    pub(super) fn dims(&self) -> Vec<usize> {
        self.values.shape().to_vec()
    }

    /// The values in row-major order.
    pub(super) fn into_list(self) -> Vec<f64> {
        self.values.as_standard_layout().into_owned().into_raw_vec_and_offset().0
    }

    /// The only value.
    pub(super) fn single(&self) -> Result<f64, String> {
        match (self.values.len(), self.values.first()) {
            (1, Some(&value)) => Ok(value),
            (len, _) => Err(format!("one value expected where there are {len}")),
        }
    }

    /// Integers in row-major order, saturated to the range of `i64`.
    #[expect(clippy::cast_possible_truncation, reason = "saturation is what Slice's huge bounds need")]
    pub(super) fn ints(&self) -> Result<Vec<i64>, String> {
        if !self.integer {
            return Err("integers expected where there are floats".into());
        }
        Ok(self.values.iter().map(|&v| v as i64).collect())
    }

    pub(super) fn reshape(&self, dims: &[usize]) -> Result<Self, String> {
        let values = self.values.to_shape(IxDyn(dims)).map_err(|e| e.to_string())?.into_owned();
        Ok(Self { values, integer: self.integer })
    }

    pub(super) fn transpose(&self, perm: Option<&[i64]>) -> Result<Self, String> {
        let rank = self.values.ndim();
        let order: Vec<usize> = match perm {
            None => (0..rank).rev().collect(),
            Some(perm) => perm.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        };
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted != (0..rank).collect::<Vec<_>>() {
            return Err(format!("{perm:?} is not an order of {rank} axes"));
        }
        let values = self.values.view().permuted_axes(IxDyn(&order)).as_standard_layout().into_owned();
        Ok(Self { values, integer: self.integer })
    }

    /// The entries `indices` along `along`, each below that axis's length.
    pub(super) fn pick(&self, along: usize, indices: &[usize]) -> Self {
        Self { values: self.values.select(Axis(along), indices), integer: self.integer }
    }

    /// ONNX Gather: `indices` of any shape replace the axis.
    pub(super) fn gather(&self, along: i64, indices: &Self) -> Result<Self, String> {
        let along = axis(along, self.values.ndim())?;
        let len = self.values.len_of(Axis(along));
        let picked = indices.ints()?.iter().map(|&i| axis(i, len)).collect::<Result<Vec<_>, _>>()?;
        check_size(self.values.len().checked_mul(picked.len()))?;
        let mut dims = self.dims();
        dims.splice(along..=along, indices.dims());
        self.pick(along, &picked).reshape(&dims)
    }

    pub(super) fn concat(parts: &[Self], along: i64) -> Result<Self, String> {
        let rank = parts.first().map_or(0, |p| p.values.ndim());
        check_size(parts.iter().try_fold(0_usize, |n, p| n.checked_add(p.values.len())))?;
        let views: Vec<_> = parts.iter().map(|p| p.values.view()).collect();
        let values = concatenate(Axis(axis(along, rank)?), &views).map_err(|e| e.to_string())?;
        Ok(Self { values, integer: parts.iter().all(|p| p.integer) })
    }

    /// Cast to an ONNX data type, rounded or truncated as that type does.
    #[expect(clippy::cast_possible_truncation, reason = "rounding to float32 is the cast's meaning")]
    pub(super) fn cast(&self, to: i64) -> Result<Self, String> {
        let to = i32::try_from(to).map_err(|_| format!("{to} is no data type"))?;
        let integer = is_integer(to)?;
        let values = match DataType::try_from(to) {
            Ok(DataType::Float) => self.values.mapv(|v| f64::from(v as f32)),
            Ok(DataType::Double | DataType::Int64 | DataType::Int32) => {
                self.values.mapv(|v| if integer { v.trunc() } else { v })
            }
            _ => return Err("constants are cast to float32, float64, int32 and int64 only".into()),
        };
        Ok(Self { values, integer })
    }
}

/// Whether an ONNX data type holds integers; an error for those that cannot be read.
pub(super) fn is_integer(data_type: i32) -> Result<bool, String> {
    match DataType::try_from(data_type) {
        Ok(DataType::Float | DataType::Double | DataType::Float16) => Ok(false),
        Ok(
            DataType::Int64
            | DataType::Int32
            | DataType::Int16
            | DataType::Int8
            | DataType::Uint16
            | DataType::Uint8
            | DataType::Bool,
        ) => Ok(true),
        Ok(other) => Err(format!("data type {} is not supported", other.as_str_name())),
        Err(_) => Err(format!("data type {data_type} is unknown")),
    }
}

/// The entries that ONNX Slice takes from an axis of `len` entries.
pub(super) fn slice_indices(len: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>, String> {
    let size = i64::try_from(len).map_err(|e| e.to_string())?;
    if step == 0 {
        return Err("a step of 0".into());
    }
    if size == 0 {
        return Ok(Vec::new());
    }
    let from_end = |v: i64| if v < 0 { v.saturating_add(size) } else { v };
    let (start, end) = (from_end(start), from_end(end));
    let (mut at, stop) = match step > 0 {
        true => (start.clamp(0, size), end.clamp(0, size)),
        false => (start.clamp(0, size - 1), end.clamp(-1, size - 1)),
    };
    let mut indices = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        indices.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    Ok(indices)
}
