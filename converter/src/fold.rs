//! Folding: batch norms into convolutions, activations into clamps, residual additions into the epilogue of one of the
//! two branches, max poolings into the convolution before them. All in f64.

use crate::folded::{Activation, Conv, Dense, Folded, Layer, Op, Pool, Shape, Skip, Tensor, TensorId};
use crate::ir::{self, Ir, bounds, clamp};
use crate::onnx::{ImportError, Origin, Unsupported, check_pool_pads};

/// What an [`Ir`] tensor is in the folded network.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A feature map of its own.
    Map(TensorId),
    /// Rows, columns and channels of a map as a shortcut reads them; exists only inside an addition.
    Shortcut { base: TensorId, stride: [usize; 2], channel_offset: usize },
    /// A map with zeros around it; exists only inside a convolution or pool.
    Padded { base: TensorId, pads: [usize; 4] },
    /// Follows from a node that has been reported.
    Unknown,
}

/// Why a node cannot be folded.
enum Stop {
    Unsupported(String),
    Downstream,
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Unsupported(reason)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Unsupported(reason.into())
    }
}

struct Fold {
    /// All tensors of the [`Ir`].
    tensors: Vec<Tensor>,
    /// For each of them, the names of the nodes that read it; the network's output counts as one more.
    readers: Vec<Vec<String>>,
    /// What each of them became; unknown until its node has been reached.
    sources: Vec<Source>,
    /// The folded network so far; layer `i` writes tensor `i + 1`.
    folded: Folded,
    /// The [`Ir`] node that each layer started from.
    origins: Vec<Origin>,
    /// Indices of the layers in execution order.
    order: Vec<usize>,
    unsupported: Vec<Unsupported>,
}

/// Folds a network; weights are moved, not copied.
///
/// Of the two convolutions that may take in a residual addition, the one with more multiply-accumulates does, and runs
/// after the other branch; the other one becomes a feature map of its own.
///
/// # Errors
/// [`ImportError::Unsupported`] with every node that cannot be converted, those found by [`Ir::from_onnx`] included.
pub fn fold(ir: Ir) -> Result<Folded, ImportError> {
    let output = ir.output;
    let mut fold = Fold::new(&ir);
    fold.unsupported = ir.unsupported;
    for mut node in ir.nodes {
        let op = std::mem::replace(&mut node.op, ir::Op::Opaque);
        fold.sources[node.output.0] = fold.node(op, &node).unwrap_or_else(|stop| {
            if let Stop::Unsupported(reason) = stop {
                fold.unsupported.push(Unsupported { node: node.origin.clone(), reason });
            }
            Source::Unknown
        });
    }
    fold.check_classifier(output)?;
    fold.finish()
}

impl Fold {
    fn new(ir: &Ir) -> Self {
        let mut readers = vec![Vec::new(); ir.tensors.len()];
        for node in &ir.nodes {
            for input in &node.inputs {
                readers[input.0].push(node.origin.name.clone());
            }
        }
        readers[ir.output.0].push("the network's output".into());
        let mut sources = vec![Source::Unknown; ir.tensors.len()];
        sources[0] = Source::Map(TensorId(0));
        Self {
            tensors: ir.tensors.clone(),
            readers,
            sources,
            folded: Folded { tensors: vec![ir.tensors[0].clone()], layers: Vec::new() },
            origins: Vec::new(),
            order: Vec::new(),
            unsupported: Vec::new(),
        }
    }

    fn node(&mut self, op: ir::Op, node: &ir::Node) -> Result<Source, Stop> {
        match op {
            ir::Op::Conv(conv) => self.conv(node, conv),
            ir::Op::Affine { scale, shift } => self.affine(node, &scale, &shift),
            ir::Op::Activation(activation) => self.activation(node, activation),
            ir::Op::Add => self.add(node),
            ir::Op::Subsample { stride } => self.subsample(node, stride),
            ir::Op::Pad { channels, pads } => self.pad(node, channels, pads),
            ir::Op::MaxPool { kernel, stride, pads } => self.max_pool(node, kernel, stride, pads),
            ir::Op::GlobalAveragePool => self.on_plain_map(node, Op::GlobalAveragePool),
            ir::Op::Dense(dense) => self.on_plain_map(node, Op::Dense(dense)),
            ir::Op::Opaque => Err(Stop::Downstream),
        }
    }

    fn source(&self, node: &ir::Node, index: usize) -> Result<Source, Stop> {
        match node.inputs.get(index).map(|input| self.sources[input.0]) {
            Some(Source::Unknown) | None => Err(Stop::Downstream),
            Some(source) => Ok(source),
        }
    }

    /// A node that reads a map as it is.
    fn on_plain_map(&mut self, node: &ir::Node, op: Op) -> Result<Source, Stop> {
        match self.source(node, 0)? {
            Source::Map(input) => Ok(self.push(node, op, input)),
            _ => Err("its input is a part of a map or a padded one".into()),
        }
    }

    fn push(&mut self, node: &ir::Node, op: Op, input: TensorId) -> Source {
        let output = TensorId(self.folded.tensors.len());
        self.folded.tensors.push(self.tensors[node.output.0].clone());
        self.order.push(self.folded.layers.len());
        self.folded.layers.push(Layer { name: node.origin.name.clone(), op, input, output });
        self.origins.push(node.origin.clone());
        Source::Map(output)
    }

    /// The layer that writes a map, if it is not the network's input.
    fn writer(&mut self, map: TensorId) -> Option<&mut Layer> {
        self.folded.layers.get_mut(map.0.checked_sub(1)?)
    }

    /// After a node was taken into the layer that writes `map`, the map holds that node's result.
    fn absorbed(&mut self, map: TensorId, node: &ir::Node) -> Source {
        self.folded.tensors[map.0].name.clone_from(&self.tensors[node.output.0].name);
        Source::Map(map)
    }

    /// An error if anything but `node` reads its input: then the value in front of `node` must stay as it is.
    fn check_only_reader(&self, node: &ir::Node) -> Result<(), Stop> {
        let tensor = node.inputs[0].0;
        match self.readers[tensor].as_slice() {
            [_] => Ok(()),
            readers => {
                let others: Vec<String> =
                    readers.iter().filter(|r| **r != node.origin.name).map(|r| format!("`{r}`")).collect();
                let (name, others) = (&self.tensors[tensor].name, others.join(", "));
                Err(format!("`{name}` is also read without it, by {others}").into())
            }
        }
    }

    fn conv(&mut self, node: &ir::Node, mut conv: Conv) -> Result<Source, Stop> {
        match self.source(node, 0)? {
            Source::Map(input) => Ok(self.push(node, Op::Conv(conv), input)),
            Source::Padded { base, pads } => {
                conv.pads = sum(conv.pads, pads);
                Ok(self.push(node, Op::Conv(conv), base))
            }
            _ => Err("its input is a part of a map, which only an Add can read".into()),
        }
    }

    fn affine(&mut self, node: &ir::Node, scale: &[f64], shift: &[f64]) -> Result<Source, Stop> {
        let Source::Map(map) = self.source(node, 0)? else {
            return Err("its input is a part of a map or a padded one".into());
        };
        let only_reader = self.check_only_reader(node);
        let writer = self.writer(map);
        let (weights, bias) = match writer.map(|layer| &mut layer.op) {
            Some(Op::Conv(Conv { weights, bias, skip: None, activation: Activation::None, .. })) => {
                (weights, bias)
            }
            Some(Op::Dense(Dense { weights, bias })) => (weights, bias),
            Some(Op::Conv(_)) => {
                return Err("it follows an activation or an addition, not a convolution directly".into());
            }
            _ => return Err("it does not follow a convolution".into()),
        };
        only_reader?;
        scale_rows(weights, bias, scale, shift);
        if weights.iter().chain(&*bias).any(|v| !v.is_finite()) {
            return Err("folding it gives weights that are infinite or not a number".into());
        }
        Ok(self.absorbed(map, node))
    }

    fn activation(&mut self, node: &ir::Node, activation: Activation) -> Result<Source, Stop> {
        let Source::Map(map) = self.source(node, 0)? else {
            return Err("its input is a part of a map or a padded one".into());
        };
        let only_reader = self.check_only_reader(node);
        match self.writer(map).map(|layer| &mut layer.op) {
            Some(Op::Conv(conv)) => {
                only_reader?;
                conv.activation = both(conv.activation, activation)?;
                Ok(self.absorbed(map, node))
            }
            Some(Op::Dense(_)) => {
                Err("it follows a fully connected layer, which can only be the classifier at the end".into())
            }
            _ => Err("it follows neither a convolution nor an addition".into()),
        }
    }

    fn subsample(&mut self, node: &ir::Node, stride: [usize; 2]) -> Result<Source, Stop> {
        match self.source(node, 0)? {
            Source::Map(base) => Ok(Source::Shortcut { base, stride, channel_offset: 0 }),
            Source::Shortcut { base, stride: inner, channel_offset } => {
                let stride = [inner[0] * stride[0], inner[1] * stride[1]];
                Ok(Source::Shortcut { base, stride, channel_offset })
            }
            _ => Err("it cuts a padded map".into()),
        }
    }

    fn pad(&mut self, node: &ir::Node, channels: [usize; 2], pads: [usize; 4]) -> Result<Source, Stop> {
        match (self.source(node, 0)?, channels == [0, 0], pads == [0; 4]) {
            (Source::Map(base), true, _) => Ok(Source::Padded { base, pads }),
            (Source::Padded { base, pads: inner }, true, _) => {
                Ok(Source::Padded { base, pads: sum(inner, pads) })
            }
            (Source::Map(base), _, true) => {
                Ok(Source::Shortcut { base, stride: [1, 1], channel_offset: channels[0] })
            }
            (Source::Shortcut { base, stride, channel_offset }, _, true) => {
                Ok(Source::Shortcut { base, stride, channel_offset: channel_offset + channels[0] })
            }
            _ => Err("it pads channels together with rows and columns".into()),
        }
    }

    fn max_pool(
        &mut self,
        node: &ir::Node,
        kernel: [usize; 2],
        stride: [usize; 2],
        mut pads: [usize; 4],
    ) -> Result<Source, Stop> {
        let input = match self.source(node, 0)? {
            Source::Map(input) => input,
            Source::Padded { base, pads: zeros } => {
                // A zero wins against negative values and against nothing else.
                let writer = self.writer(base).map(|layer| &layer.op);
                if !matches!(writer, Some(Op::Conv(conv)) if bounds(conv.activation).0 >= 0.0) {
                    return Err("it may find its maximum in the zeros of the Pad in front of it".into());
                }
                pads = sum(pads, zeros);
                check_pool_pads(kernel, pads)?;
                base
            }
            _ => return Err("its input is a part of a map, which only an Add can read".into()),
        };
        Ok(self.push(node, Op::MaxPool { kernel, stride, pads }, input))
    }

    fn add(&mut self, node: &ir::Node) -> Result<Source, Stop> {
        let sources = [self.source(node, 0)?, self.source(node, 1)?];
        let candidates = [0, 1].into_iter().filter_map(|side| {
            let (macs, map) = self.absorbing_macs(node.inputs[side], sources[side])?;
            Some((macs, map, side))
        });
        let Some((_, map, side)) = candidates.max() else {
            return Err("neither input is a convolution without activation that only this node reads".into());
        };
        let skip = shortcut(sources[1 - side])?;
        if let Some(Op::Conv(conv)) = self.writer(map).map(|layer| &mut layer.op) {
            conv.skip = Some(skip);
        }
        // Only this addition reads the layer, so it may run as late as here, when the shortcut is there.
        let layer = map.0 - 1;
        self.order.retain(|&l| l != layer);
        self.order.push(layer);
        Ok(self.absorbed(map, node))
    }

    /// Multiply-accumulates of the convolution that writes `tensor`, and its map, if it can take in an addition.
    fn absorbing_macs(&mut self, tensor: TensorId, source: Source) -> Option<(usize, TensorId)> {
        let Source::Map(map) = source else { return None };
        let Shape { h, w, .. } = self.tensors[tensor.0].shape;
        let unshared = self.readers[tensor.0].len() == 1;
        match &self.writer(map)?.op {
            Op::Conv(Conv { skip: None, activation: Activation::None, weights, .. }) if unshared => {
                Some((weights.len().saturating_mul(h * w), map))
            }
            _ => None,
        }
    }

    /// The output must come from the only fully connected layer.
    fn check_classifier(&mut self, output: TensorId) -> Result<(), ImportError> {
        let last = match self.sources[output.0] {
            Source::Map(TensorId(map)) => map.checked_sub(1),
            _ => None,
        };
        let layers = &self.folded.layers;
        for (index, layer) in layers.iter().enumerate() {
            let reason = match layer.op {
                Op::Dense(_) if layers.iter().any(|l| l.input == layer.output) => "it is not the last layer",
                Op::Dense(_) => continue,
                _ if Some(index) == last => {
                    "the network ends here, a classifier (Gemm or MatMul) must be last"
                }
                _ => continue,
            };
            self.unsupported.push(Unsupported { node: self.origins[index].clone(), reason: reason.into() });
        }
        if last.is_none() && self.unsupported.is_empty() {
            let name = &self.tensors[output.0].name;
            return Err(ImportError::Interface(format!(
                "output `{name}` does not come from a classifier (Gemm or MatMul), which must be the last layer"
            )));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Folded, ImportError> {
        if !self.unsupported.is_empty() {
            self.unsupported.sort_by_key(|u| u.node.position);
            return Err(ImportError::Unsupported(self.unsupported));
        }
        fuse_pools(&mut self.folded, &mut self.order);
        Ok(in_order(self.folded, &self.order))
    }
}

/// Makes a max pooling part of the convolution in front of it, whose map then never exists as a whole, unless
/// something else reads that map or a shortcut joins in it. The pooling's layer and the map's tensor stay behind,
/// unused, until [`in_order`] leaves them out.
fn fuse_pools(folded: &mut Folded, order: &mut Vec<usize>) {
    for index in 0..folded.layers.len() {
        let Layer { op: Op::MaxPool { kernel, stride, pads }, input, output, .. } = folded.layers[index]
        else {
            continue;
        };
        let readers = folded.layers.iter().map(|layer| reads(layer, input)).sum::<usize>();
        let map = folded.tensors[input.0].clone();
        let writer = input.0.checked_sub(1).map(|writer| &mut folded.layers[writer]);
        let Some(Layer { op: Op::Conv(conv), output: written, .. }) = writer else { continue };
        if readers == 1 && conv.skip.is_none() {
            conv.pool = Some(Pool { kernel, stride, pads, map });
            *written = output;
            order.retain(|&layer| layer != index);
        }
    }
}

/// How often a layer reads a tensor.
fn reads(layer: &Layer, tensor: TensorId) -> usize {
    let skip = match &layer.op {
        Op::Conv(Conv { skip: Some(skip), .. }) => skip.tensor == tensor,
        _ => false,
    };
    usize::from(layer.input == tensor) + usize::from(skip)
}

/// The layers in execution order, tensors renumbered so that layer `i` writes tensor `i + 1`.
fn in_order(folded: Folded, order: &[usize]) -> Folded {
    let mut layers: Vec<Option<Layer>> = folded.layers.into_iter().map(Some).collect();
    let mut layers: Vec<Layer> = order.iter().filter_map(|&index| layers[index].take()).collect();
    let mut renumbered = vec![TensorId(0); folded.tensors.len()];
    let mut tensors = vec![folded.tensors[0].clone()];
    for layer in &layers {
        renumbered[layer.output.0] = TensorId(tensors.len());
        tensors.push(folded.tensors[layer.output.0].clone());
    }
    for layer in &mut layers {
        layer.input = renumbered[layer.input.0];
        layer.output = renumbered[layer.output.0];
        if let Op::Conv(Conv { skip: Some(skip), .. }) = &mut layer.op {
            skip.tensor = renumbered[skip.tensor.0];
        }
    }
    Folded { tensors, layers }
}

/// How an addition reads its other input.
fn shortcut(source: Source) -> Result<Skip, Stop> {
    match source {
        Source::Map(tensor) => Ok(Skip { tensor, stride: 1, channel_offset: 0 }),
        Source::Shortcut { base, stride: [rows, columns], channel_offset } => {
            match (rows, columns) {
                (1, 1) | (2, 2) => Ok(Skip { tensor: base, stride: rows, channel_offset }),
                _ => Err(format!("the shortcut takes every {rows}. row and {columns}. column, not every 2.")
                    .into()),
            }
        }
        Source::Padded { .. } => Err("the shortcut has zeros around it".into()),
        Source::Unknown => Err(Stop::Downstream),
    }
}

fn sum(a: [usize; 4], b: [usize; 4]) -> [usize; 4] {
    std::array::from_fn(|side| a[side] + b[side])
}

/// One clamp after the other; both include 0, so their intersection is the same function.
fn both(first: Activation, second: Activation) -> Result<Activation, Stop> {
    let ((low, high), (then_low, then_high)) = (bounds(first), bounds(second));
    let (low, high) = (low.max(then_low), high.min(then_high));
    if low < high {
        Ok(clamp(low, high))
    } else {
        Err("after the activation before it only 0 is left".into())
    }
}

/// `y * scale + shift` for the outputs `y` of a convolution or fully connected layer; weights are output-major.
fn scale_rows(weights: &mut [f64], bias: &mut [f64], scale: &[f64], shift: &[f64]) {
    let row = weights.len() / bias.len().max(1);
    for (row, factor) in weights.chunks_exact_mut(row.max(1)).zip(scale) {
        row.iter_mut().for_each(|w| *w *= factor);
    }
    for ((b, factor), summand) in bias.iter_mut().zip(scale).zip(shift) {
        *b = *b * factor + summand;
    }
}
