//! Nodes that compute something on feature maps.

use std::rc::Rc;

use super::constant::Constant;
use super::lower::{Lowering, MapView, Stop, Value};
use super::node::{Node, axis};
use super::window::Window;
use crate::folded::{Activation, Conv, Dense, Shape, TensorId};
use crate::ir::{Op, clamp};

impl<'m> Lowering<'m> {
    /// Constant floats, all finite.
    fn weights(&self, node: Node<'m>, index: usize) -> Result<Constant, Stop> {
        let constant = Rc::unwrap_or_clone(self.constant(node, index)?);
        let name = node.input(index).unwrap_or_default();
        if constant.integer {
            return Err(format!("`{name}` holds integers, not floats").into());
        }
        match constant.values.iter().filter(|v| !v.is_finite()).count() {
            0 => Ok(constant),
            bad => Err(format!("`{name}` holds {bad} values that are infinite or not a number").into()),
        }
    }

    /// One float per channel.
    fn per_channel(&self, node: Node<'m>, index: usize, channels: usize) -> Result<Vec<f64>, Stop> {
        let list = self.weights(node, index)?.into_list();
        if list.len() != channels {
            let name = node.input(index).unwrap_or_default();
            return Err(format!("`{name}` holds {} values for {channels} channels", list.len()).into());
        }
        Ok(list)
    }

    pub(super) fn conv(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let group = node.int("group", 1)?;
        if group != 1 {
            return Err(format!("{group} groups").into());
        }
        let window = Window::read(node)?;
        let weights = self.weights(node, 1)?;
        let [out, inner, rows, columns] = weights.dims()[..] else {
            return Err(format!("weights of shape {:?}, not a 2-D convolution", weights.dims()).into());
        };
        let kernel = [rows, columns];
        if window.kernel.is_some_and(|k| k != kernel) || [out, inner, rows, columns].contains(&0) {
            return Err(format!("weights of shape {:?} do not fit the kernel", weights.dims()).into());
        }
        let bias = node.input(2).map(|_| self.per_channel(node, 2, out)).transpose()?;
        let (input, shape) = self.map(node, 0)?;
        if shape.c != inner {
            return Err(format!("weights for {inner} channels on an input of {}", shape.c).into());
        }
        let placed = window.place(kernel, shape)?;
        let conv = Conv {
            kernel,
            stride: window.stride,
            pads: placed.pads,
            weights: weights.into_list(),
            bias: bias.unwrap_or_else(|| vec![0.0; out]),
            skip: None,
            activation: Activation::None,
            pool: None,
        };
        let [h, w] = placed.output;
        Ok(self.emit_map(node, Op::Conv(conv), vec![input], Shape { h, w, c: out }))
    }

    /// The map's channels, if ONNX sees them on axis 1 as per-channel operators need.
    fn channels(&self, view: &MapView) -> Result<usize, Stop> {
        let shape = self.shape_of(view.tensor);
        match view.dims[..] {
            [1, c, h, w] if (Shape { h, w, c }) == shape => Ok(c),
            [1, c] if c == shape.c && shape.len() == c => Ok(c),
            _ => Err(format!("its input of shape {:?} has no channels on axis 1", view.dims).into()),
        }
    }

    /// Adds an operator that works value by value: the shape stays, whatever it is.
    fn emit_same(&mut self, node: Node<'m>, op: Op, view: MapView) -> Value<'m> {
        let shape = self.shape_of(view.tensor);
        let tensor = self.emit(node, op, vec![view.tensor], shape);
        Value::Map(MapView { tensor, dims: view.dims })
    }

    pub(super) fn batch_norm(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        if node.int("training_mode", 0)? != 0 {
            return Err("it is in training mode: export the network in inference mode".into());
        }
        if self.opset < 14 && node.proto.output.iter().skip(1).any(|name| !name.is_empty()) {
            return Err(
                "its extra outputs put it in training mode: export the network in inference mode".into()
            );
        }
        if node.int("spatial", 1)? != 1 {
            return Err("it normalizes every pixel by itself".into());
        }
        let epsilon = f64::from(node.float("epsilon", 1e-5)?);
        let view = self.view(node, 0)?;
        let channels = self.channels(&view)?;
        let [gamma, beta, mean, variance] = [
            self.per_channel(node, 1, channels)?,
            self.per_channel(node, 2, channels)?,
            self.per_channel(node, 3, channels)?,
            self.per_channel(node, 4, channels)?,
        ];
        if let Some(bad) = variance.iter().find(|&&v| v + epsilon <= 0.0 || !epsilon.is_finite()) {
            return Err(format!("variance {bad} with epsilon {epsilon} is not positive").into());
        }
        let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
        let shift = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Ok(self.emit_same(node, Op::Affine { scale, shift }, view))
    }

    pub(super) fn activation(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let (low, high) = match node.op() {
            "Relu" => (0.0, f32::MAX),
            _ => self.clip_bounds(node)?,
        };
        let view = self.view(node, 0)?;
        if !(low <= 0.0 && high >= 0.0 && low < high) {
            return Err(format!("bounds {low} to {high} do not include 0").into());
        }
        match clamp(low, high) {
            Activation::None => Ok(Value::Map(view)),
            activation => Ok(self.emit_same(node, Op::Activation(activation), view)),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "bounds are float32 in the network")]
    fn clip_bounds(&self, node: Node<'m>) -> Result<(f32, f32), Stop> {
        if self.opset < 11 {
            return Ok((node.float("min", f32::MIN)?, node.float("max", f32::MAX)?));
        }
        let bound = |index: usize, default: f32| -> Result<f32, Stop> {
            Ok(self.optional_constant(node, index)?.map_or(Ok(default), |c| c.single().map(|v| v as f32))?)
        };
        Ok((bound(1, f32::MIN)?, bound(2, f32::MAX)?))
    }

    pub(super) fn add(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        if node.proto.input.len() != 2 {
            return Err(format!("{} inputs", node.proto.input.len()).into());
        }
        match (self.value(node, 0)?, self.value(node, 1)?) {
            (Value::Map(_), Value::Map(_)) => self.add_maps(node),
            (Value::Map(view), _) => self.add_bias(node, view, 1),
            (_, Value::Map(view)) => self.add_bias(node, view, 0),
            _ => Err("both inputs are constants".into()),
        }
    }

    fn add_maps(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let (left, left_shape) = self.map(node, 0)?;
        let (right, right_shape) = self.map(node, 1)?;
        if left_shape != right_shape {
            return Err(format!("maps of different shapes, {left_shape:?} and {right_shape:?}").into());
        }
        Ok(self.emit_map(node, Op::Add, vec![left, right], left_shape))
    }

    /// A constant addend, broadcast as ONNX does: one value, or one per channel.
    fn add_bias(&mut self, node: Node<'m>, view: MapView, index: usize) -> Result<Value<'m>, Stop> {
        let channels = self.channels(&view)?;
        let bias = self.weights(node, index)?;
        let dims = bias.dims();
        let from_end = view.dims.len() - 1;
        let on_channels = dims.len() >= from_end && dims[dims.len() - from_end] == channels;
        let shift = match bias.values.len() {
            _ if dims.len() > view.dims.len() => return Err("the constant has more axes than the map".into()),
            1 => vec![bias.single()?; channels],
            len if len == channels && on_channels => bias.into_list(),
            _ => return Err(format!("a constant of shape {dims:?} is not a bias per channel").into()),
        };
        Ok(self.emit_same(node, Op::Affine { scale: vec![1.0; channels], shift }, view))
    }

    pub(super) fn max_pool(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let window = Window::read(node)?;
        let kernel = window.kernel.ok_or("kernel_shape is missing")?;
        let (input, shape) = self.map(node, 0)?;
        let placed = window.place(kernel, shape)?;
        if node.int("ceil_mode", 0)? != 0 && !placed.exact {
            return Err("ceil_mode 1 adds windows that reach over the edge".into());
        }
        check_pool_pads(kernel, placed.pads)?;
        let [h, w] = placed.output;
        let op = Op::MaxPool { kernel, stride: window.stride, pads: placed.pads };
        Ok(self.emit_map(node, op, vec![input], Shape { h, w, c: shape.c }))
    }

    pub(super) fn global_average(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let keep_dims = match node.op() {
            "ReduceMean" => self.reduces_rows_and_columns(node)?,
            "AveragePool" => self.covers_the_map(node)?,
            _ => true,
        };
        let (input, shape) = self.map(node, 0)?;
        let shape = Shape { h: 1, w: 1, c: shape.c };
        match self.emit_map(node, Op::GlobalAveragePool, vec![input], shape) {
            Value::Map(view) if !keep_dims => Ok(Value::Map(MapView { dims: vec![1, shape.c], ..view })),
            value => Ok(value),
        }
    }

    /// Whether a ReduceMean keeps the axes it reduces; an error if those are not rows and columns.
    fn reduces_rows_and_columns(&self, node: Node<'m>) -> Result<bool, Stop> {
        let keep_dims = node.int("keepdims", 1)? != 0;
        let axes = self.axes(node, 1)?.unwrap_or_default();
        let mut axes = axes.iter().map(|&a| axis(a, 4)).collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        if axes == [2, 3] { Ok(keep_dims) } else { Err(format!("it reduces the axes {axes:?}").into()) }
    }

    /// Always `true` (the axes stay), or an error.
    fn covers_the_map(&self, node: Node<'m>) -> Result<bool, Stop> {
        let window = Window::read(node)?;
        let kernel = window.kernel.ok_or("kernel_shape is missing")?;
        let (_, shape) = self.map(node, 0)?;
        let placed = window.place(kernel, shape)?;
        if kernel != [shape.h, shape.w] || placed.pads != [0; 4] {
            let Shape { h, w, .. } = shape;
            return Err(format!("a window of {kernel:?} on a map of [{h}, {w}]").into());
        }
        Ok(true)
    }

    pub(super) fn gemm(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        if node.int("transA", 0)? != 0 {
            return Err("transA".into());
        }
        let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
        let transposed = node.int("transB", 0)? != 0;
        let mut weights = self.classifier_weights(node, transposed)?;
        weights.values *= f64::from(alpha);
        let outputs = weights.values.shape()[0];
        let bias = match node.input(2) {
            Some(_) => self.gemm_bias(node, outputs)?.iter().map(|b| b * f64::from(beta)).collect(),
            None => vec![0.0; outputs],
        };
        self.dense(node, weights, bias)
    }

    fn gemm_bias(&self, node: Node<'m>, outputs: usize) -> Result<Vec<f64>, Stop> {
        let bias = self.weights(node, 2)?;
        match bias.dims()[..] {
            [] | [1] | [1, 1] => Ok(vec![bias.single()?; outputs]),
            [n] | [1, n] if n == outputs => Ok(bias.into_list()),
            _ => Err(format!("a bias of shape {:?} for {outputs} outputs", bias.dims()).into()),
        }
    }

    pub(super) fn mat_mul(&mut self, node: Node<'m>) -> Result<Value<'m>, Stop> {
        let weights = self.classifier_weights(node, false)?;
        let bias = vec![0.0; weights.values.shape()[0]];
        self.dense(node, weights, bias)
    }

    /// Weights as outputs x inputs; `transposed` says that they are stored so.
    fn classifier_weights(&self, node: Node<'m>, transposed: bool) -> Result<Constant, Stop> {
        let weights = self.weights(node, 1)?;
        match weights.dims()[..] {
            [rows, columns] if rows > 0 && columns > 0 => {
                Ok(if transposed { weights } else { weights.transpose(None)? })
            }
            _ => Err(format!("weights of shape {:?}, not a matrix", weights.dims()).into()),
        }
    }

    fn dense(&mut self, node: Node<'m>, weights: Constant, bias: Vec<f64>) -> Result<Value<'m>, Stop> {
        let view = self.view(node, 0)?;
        let inputs = weights.values.shape()[1];
        if view.dims != [1, inputs] {
            let dims = view.dims;
            return Err(format!("its input has the shape {dims:?}, the weights need [1, {inputs}]").into());
        }
        let shape = Shape { h: 1, w: 1, c: bias.len() };
        let dims = vec![1, shape.c];
        let op = Op::Dense(Dense { weights: weights.into_list(), bias });
        let tensor: TensorId = self.emit(node, op, vec![view.tensor], shape);
        Ok(Value::Map(MapView { tensor, dims }))
    }
}

/// Every window must hold at least one pixel of the map.
pub(crate) fn check_pool_pads(kernel: [usize; 2], pads: [usize; 4]) -> Result<(), String> {
    let widest = [pads[0].max(pads[2]), pads[1].max(pads[3])];
    if widest[0] < kernel[0] && widest[1] < kernel[1] {
        return Ok(());
    }
    Err(format!("padding {pads:?} is not smaller than the window {kernel:?}"))
}
