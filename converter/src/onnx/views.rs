//! Nodes that compute nothing on feature maps: constants, shape arithmetic, reshapes, and what inference leaves out.

use std::rc::Rc;

use tract_onnx::pb::tensor_proto::DataType;

use super::constant::{Constant, slice_indices};
use super::lower::{Lowering, MapView, Stop, Value};
use super::node::{Node, axis, extent};
use crate::folded::Shape;
use crate::ir::Op;

fn known<'m>(constant: Constant) -> Value<'m> {
    Value::Constant(Rc::new(constant))
}

impl<'m> Lowering<'m> {
    pub(super) fn constant_node(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        if let Some(tensor) = node.tensor("value")? {
            return Ok(Value::Initializer(tensor));
        }
        if let Some(list) = node.ints("value_ints")? {
            return Ok(known(Constant::from_list(list.iter().map(|&v| as_float(v)).collect(), true)));
        }
        if let Some(list) = node.floats("value_floats")? {
            return Ok(known(Constant::from_list(list.iter().map(|&v| v.into()).collect(), false)));
        }
        if node.has("value_int") {
            return Ok(known(Constant::scalar(as_float(node.int("value_int", 0)?), true)));
        }
        if node.has("value_float") {
            return Ok(known(Constant::scalar(node.float("value_float", 0.0)?.into(), false)));
        }
        Err("its value is neither a tensor nor numbers".into())
    }

    pub(super) fn constant_of_shape(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let value = node.tensor("value")?.map(Constant::from_tensor).transpose()?;
        let dims = self.constant(node, 0)?.ints()?;
        let dims = dims.into_iter().map(extent).collect::<Result<Vec<_>, _>>()?;
        Ok(known(value.unwrap_or(Constant::scalar(0.0, false)).filled(&dims)?))
    }

    pub(super) fn concat(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let along = node.int("axis", 0)?;
        let parts = (0..node.proto.input.len()).map(|i| Ok(Constant::clone(&*self.constant(node, i)?)));
        Ok(known(Constant::concat(&parts.collect::<Result<Vec<_>, Stop>>()?, along)?))
    }

    pub(super) fn gather(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let along = node.int("axis", 0)?;
        Ok(known(self.constant(node, 0)?.gather(along, &*self.constant(node, 1)?)?))
    }

    pub(super) fn transpose(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let perm = node.ints("perm")?;
        Ok(known(self.constant(node, 0)?.transpose(perm)?))
    }

    pub(super) fn shape(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let (start, end) = (node.int("start", 0)?, node.int("end", i64::MAX)?);
        let dims = self.dims(&self.value(node, 0)?)?;
        let indices = slice_indices(dims.len(), start, end, 1)?;
        Ok(known(Constant::from_dims(&dims).pick(0, &indices)))
    }

    pub(super) fn cast(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let to = node.int("to", 0)?;
        match self.value(node, 0)? {
            view @ Value::Map(_) if to == DataType::Float as i64 => Ok(view),
            Value::Map(_) => Err("feature maps stay float32".into()),
            Value::Initializer(_) | Value::Constant(_) => Ok(known(self.constant(node, 0)?.cast(to)?)),
        }
    }

    pub(super) fn dropout(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        if let Some(training) = self.optional_constant(node, 2)?
            && training.single()? != 0.0
        {
            return Err("it is in training mode".into());
        }
        self.value(node, 0)
    }

    /// A last softmax changes no ranking; the logits in front of it become the output.
    pub(super) fn softmax(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let default = if self.opset < 13 { 1 } else { -1 };
        let along = node.int("axis", default)?;
        let view = self.view(node, 0)?;
        let classes = axis(along, view.dims.len())?;
        if view.dims.get(classes) != view.dims.iter().max()
            || view.dims.iter().filter(|&&d| d > 1).count() > 1
        {
            return Err(format!("it does not run over the classes of {:?}", view.dims).into());
        }
        if !self.is_output(node) {
            return Err("it is not the end of the network".into());
        }
        let (op, label) = (node.op(), node.label());
        self.note(format!("{op} `{label}` at the end is left out: the converted network gives the logits"));
        Ok(Value::Map(view))
    }

    /// Any change of shape that keeps the order of the values.
    pub(super) fn reshape(&self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let value = self.value(node, 0)?;
        let old = self.dims(&value)?;
        let dims = match node.op() {
            "Reshape" => {
                let keep_zeros = node.int("allowzero", 0)? != 0;
                reshaped(&old, &self.constant(node, 1)?.ints()?, keep_zeros)?
            }
            "Flatten" => flattened(&old, node.int("axis", 1)?)?,
            "Squeeze" => squeezed(&old, self.axes(node, 1)?)?,
            _ => unsqueezed(&old, &self.axes(node, 1)?.ok_or("axes are missing")?)?,
        };
        match value {
            Value::Map(MapView { tensor, .. }) => Ok(Value::Map(MapView { tensor, dims })),
            Value::Initializer(_) | Value::Constant(_) => Ok(known(self.constant(node, 0)?.reshape(&dims)?)),
        }
    }

    /// Axes given as an attribute (older operator sets) or as the constant at input `index`.
    pub(super) fn axes(&self, node: Node<'m>, index: usize) -> Result<Option<Vec<i64>>, Stop> {
        if let Some(axes) = node.ints("axes")? {
            return Ok(Some(axes.to_vec()));
        }
        let given = self.optional_constant(node, index)?;
        Ok(given.map(|axes| axes.ints()).transpose()?)
    }

    pub(super) fn slice(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let value = self.value(node, 0)?;
        let dims = self.dims(&value)?;
        let ranges = self.ranges(node, &dims)?;
        match value {
            Value::Map(_) => self.subsample(node, &dims, &ranges),
            Value::Initializer(_) | Value::Constant(_) => {
                let mut constant = Constant::clone(&*self.constant(node, 0)?);
                for (along, indices) in ranges {
                    constant = constant.pick(along, &indices);
                }
                Ok(known(constant))
            }
        }
    }

    /// What a Slice takes: axis and entries.
    fn ranges(&self, node: Node<'m>, dims: &[usize]) -> Result<Vec<(usize, Vec<usize>)>, Stop> {
        let by_attributes = self.opset < 10;
        let list = |name: &str, index: usize| -> Result<Option<Vec<i64>>, Stop> {
            match by_attributes {
                true => Ok(node.ints(name)?.map(<[i64]>::to_vec)),
                false => Ok(self.optional_constant(node, index)?.map(|c| c.ints()).transpose()?),
            }
        };
        let starts = list("starts", 1)?.ok_or("starts are missing")?;
        let ends = list("ends", 2)?.ok_or("ends are missing")?;
        let axes = list("axes", 3)?.unwrap_or_else(|| (0_i64..).take(starts.len()).collect());
        let steps = if by_attributes { None } else { list("steps", 4)? };
        let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps differ in length".into());
        }
        let parts = starts.iter().zip(&ends).zip(axes.iter().zip(&steps));
        let ranges = parts.map(|((&start, &end), (&along, &step))| {
            let along = axis(along, dims.len())?;
            Ok((along, slice_indices(dims[along], start, end, step)?))
        });
        Ok(ranges.collect::<Result<_, String>>()?)
    }

    /// A Slice of a feature map: every n-th row or column.
    fn subsample(
        &mut self,
        node: Node<'m>,
        dims: &[usize],
        ranges: &[(usize, Vec<usize>)],
    ) -> Result<Value<'m>, Stop> {
        let mut stride = [1, 1, 1, 1];
        let (input, shape) = self.map(node, 0)?;
        for (along, indices) in ranges {
            let step = indices.get(1).map_or(dims[*along], |&second| second);
            if step == 0 || *indices != (0..dims[*along]).step_by(step).collect::<Vec<_>>() {
                return Err(format!("it does not take every n-th entry of axis {along}").into());
            }
            stride[*along] *= step;
        }
        match stride {
            [1, 1, 1, 1] => self.value(node, 0),
            [1, 1, rows, columns] => {
                let shape = Shape { h: shape.h.div_ceil(rows), w: shape.w.div_ceil(columns), c: shape.c };
                Ok(self.emit_map(node, Op::Subsample { stride: [rows, columns] }, vec![input], shape))
            }
            _ => Err("it cuts channels or the batch".into()),
        }
    }

    pub(super) fn pad(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let mode = node.text("mode", "constant")?;
        if mode != "constant" {
            return Err(format!("it pads by {mode}, not with zeros").into());
        }
        let value = match self.opset < 11 {
            true => node.float("value", 0.0)?.into(),
            false => self.optional_constant(node, 2)?.map_or(Ok(0.0), |c| c.single())?,
        };
        if value != 0.0 {
            return Err(format!("it pads with {value}, not with zeros").into());
        }
        let given = match self.opset < 11 {
            true => node.ints("pads")?.map(<[i64]>::to_vec).ok_or("pads are missing")?,
            false => self.constant(node, 1)?.ints()?,
        };
        let axes = if self.opset < 18 { None } else { self.axes(node, 3)? };
        let (input, shape) = self.map(node, 0)?;
        let [batch, channels, rows, columns] = pads_per_axis(&given, axes)?;
        let pads = [rows[0], columns[0], rows[1], columns[1]];
        let padded = Shape {
            h: shape.h + rows[0] + rows[1],
            w: shape.w + columns[0] + columns[1],
            c: shape.c + channels[0] + channels[1],
        };
        match batch {
            [0, 0] if padded == shape => self.value(node, 0),
            [0, 0] => Ok(self.emit_map(node, Op::Pad { channels, pads }, vec![input], padded)),
            _ => Err("it pads the batch".into()),
        }
    }
}

/// Entries before and after, for each axis of N x C x H x W.
fn pads_per_axis(given: &[i64], axes: Option<Vec<i64>>) -> Result<[[usize; 2]; 4], String> {
    let axes = axes.unwrap_or_else(|| (0..4).collect());
    if given.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", given.len(), axes.len()));
    }
    let (before, after) = given.split_at(axes.len());
    let mut pads = [[0, 0]; 4];
    for ((&along, &before), &after) in axes.iter().zip(before).zip(after) {
        pads[axis(along, 4)?] = [extent(before)?, extent(after)?];
    }
    Ok(pads)
}

#[expect(clippy::cast_precision_loss, reason = "see Constant: huge values are clamped where they are used")]
fn as_float(value: i64) -> f64 {
    value as f64
}

fn reshaped(old: &[usize], target: &[i64], keep_zeros: bool) -> Result<Vec<usize>, String> {
    let mismatch = || format!("{old:?} cannot become {target:?}");
    let known = target.iter().enumerate().map(|(i, &t)| match t {
        -1 => Ok(1),
        0 if !keep_zeros => old.get(i).copied().ok_or_else(mismatch),
        _ => extent(t),
    });
    let mut dims = known.collect::<Result<Vec<_>, _>>()?;
    let (total, product) = (count(old)?, count(&dims)?);
    let mut open = target.iter().enumerate().filter(|(_, t)| **t == -1).map(|(i, _)| i);
    match (open.next(), open.next()) {
        (None, _) if product == total => Ok(dims),
        (Some(free), None) if product > 0 && total.is_multiple_of(product) => {
            dims[free] = total / product;
            Ok(dims)
        }
        _ => Err(mismatch()),
    }
}

fn count(dims: &[usize]) -> Result<usize, String> {
    let product = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
    product.ok_or_else(|| format!("{dims:?} is too large"))
}

fn flattened(old: &[usize], along: i64) -> Result<Vec<usize>, String> {
    let rank = old.len();
    let at = if usize::try_from(along) == Ok(rank) { rank } else { axis(along, rank)? };
    let (before, after) = old.split_at(at);
    Ok(vec![count(before)?, count(after)?])
}

fn squeezed(old: &[usize], axes: Option<Vec<i64>>) -> Result<Vec<usize>, String> {
    let given = axes.map(|axes| axes.iter().map(|&a| axis(a, old.len())).collect::<Result<Vec<_>, _>>());
    let gone = match given.transpose()? {
        Some(axes) => axes,
        None => (0..old.len()).filter(|&i| old[i] == 1).collect(),
    };
    if let Some(wide) = gone.iter().find(|&&i| old[i] != 1) {
        return Err(format!("axis {wide} of {old:?} is not 1"));
    }
    Ok((0..old.len()).filter(|i| !gone.contains(i)).map(|i| old[i]).collect())
}

fn unsqueezed(old: &[usize], axes: &[i64]) -> Result<Vec<usize>, String> {
    let rank = old.len() + axes.len();
    let added = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut rest = old.iter();
    let dims = (0..rank).map(|i| if added.contains(&i) { Some(1) } else { rest.next().copied() });
    let dims: Option<Vec<usize>> = dims.collect();
    dims.filter(|_| rest.next().is_none()).ok_or_else(|| format!("axes {axes:?} repeat"))
}
