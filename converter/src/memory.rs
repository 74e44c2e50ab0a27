//! The memory plan: where every activation lives in the arena.

use crate::quantize::{Quantized, QuantizedOp};

/// Places and lifetimes of all tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Start of each tensor in the arena, in bytes; a multiple of [`resi8::format::TENSOR_ALIGN`].
    pub offsets: Vec<usize>,
    /// Index of the last layer that reads each tensor; the number of layers for the logits.
    pub last_use: Vec<usize>,
    /// End of the furthest tensor.
    pub activation_bytes: usize,
    /// No plan can need less: the most bytes that are in use while one layer runs.
    pub lower_bound: usize,
}

/// Tensors that share one place because each overwrites the one before it: a chain of residual blocks.
struct Buffer {
    tensors: Vec<usize>,
    len: usize,
}

/// Plans the arena.
///
/// A residual output takes the place of its shortcut when nothing else reads the shortcut afterwards. The buffers
/// that remain are placed at the lowest free offset, in several orders, of which the best is kept.
#[must_use]
pub fn plan(network: &Quantized) -> MemoryPlan {
    let last_use = last_uses(network);
    let buffers = share_in_place(network, &last_use);
    let mut by_size: Vec<&Buffer> = buffers.iter().collect();
    by_size.sort_by_key(|buffer| (core::cmp::Reverse(buffer.len), buffer.tensors[0]));
    let by_time: Vec<&Buffer> = buffers.iter().collect();
    let mut by_lifetime = by_time.clone();
    by_lifetime.sort_by_key(|buffer| {
        let lifetime: usize = buffer.tensors.iter().map(|&t| last_use[t] + 1 - t).sum();
        (core::cmp::Reverse(lifetime * buffer.len), buffer.tensors[0])
    });
    let plans = [by_size, by_time, by_lifetime].map(|order| place(&order, &last_use, network.tensors.len()));
    let (offsets, activation_bytes) =
        plans.into_iter().min_by_key(|(_, end)| *end).expect("three orders were tried");
    let lower_bound = lower_bound(network, &buffers, &last_use);
    MemoryPlan { offsets, last_use, activation_bytes, lower_bound }
}

/// Bytes of a tensor: int8 activations, int32 logits for the last one.
fn tensor_bytes(network: &Quantized, tensor: usize) -> usize {
    let element = if tensor + 1 == network.tensors.len() { 4 } else { 1 };
    network.tensors[tensor].shape.len() * element
}

fn last_uses(network: &Quantized) -> Vec<usize> {
    let mut last_use: Vec<usize> = (0..network.tensors.len()).collect();
    for (index, layer) in network.layers.iter().enumerate() {
        last_use[layer.input.0] = index;
        if let QuantizedOp::Conv { skip: Some((skip, _)), .. } = layer.op {
            last_use[skip.tensor.0] = index;
        }
    }
    *last_use.last_mut().expect("a network has an input") = network.layers.len();
    last_use
}

fn share_in_place(network: &Quantized, last_use: &[usize]) -> Vec<Buffer> {
    let mut buffers: Vec<Buffer> = Vec::new();
    for tensor in 0..network.tensors.len() {
        let shortcut = tensor.checked_sub(1).and_then(|layer| overwritten_shortcut(network, last_use, layer));
        let chain = shortcut.and_then(|skip| buffers.iter_mut().find(|b| b.tensors.last() == Some(&skip)));
        match chain {
            Some(buffer) => buffer.tensors.push(tensor),
            None => buffers.push(Buffer { tensors: vec![tensor], len: tensor_bytes(network, tensor) }),
        }
    }
    buffers
}

/// The shortcut of a layer whose output may overwrite it, value by value.
fn overwritten_shortcut(network: &Quantized, last_use: &[usize], layer: usize) -> Option<usize> {
    let QuantizedOp::Conv { skip: Some((skip, _)), .. } = network.layers[layer].op else { return None };
    let tensor = skip.tensor.0;
    let fits = skip.stride == 1 && network.tensors[tensor].shape == network.tensors[layer + 1].shape;
    let consumed = last_use[tensor] == layer && network.layers[layer].input != skip.tensor;
    (fits && consumed).then_some(tensor)
}

/// Whether two tensors are in use while the same layer runs. Tensor `t` is in use from layer `t - 1`, which writes it.
fn live_together(a: usize, b: usize, last_use: &[usize]) -> bool {
    a <= last_use[b] + 1 && b <= last_use[a] + 1
}

fn place(order: &[&Buffer], last_use: &[usize], tensors: usize) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; tensors];
    let mut placed: Vec<(usize, &Buffer)> = Vec::new();
    for buffer in order {
        let conflicts = |other: &Buffer| {
            buffer.tensors.iter().any(|&a| other.tensors.iter().any(|&b| live_together(a, b, last_use)))
        };
        let mut offset = 0;
        for (start, other) in placed.iter().filter(|(_, other)| conflicts(other)) {
            if offset + buffer.len <= *start {
                break;
            }
            offset = offset.max((start + other.len).next_multiple_of(resi8::format::TENSOR_ALIGN));
        }
        buffer.tensors.iter().for_each(|&tensor| offsets[tensor] = offset);
        let at = placed.partition_point(|(start, _)| *start <= offset);
        placed.insert(at, (offset, buffer));
    }
    let end = placed.iter().map(|(start, buffer)| start + buffer.len).max().unwrap_or(0);
    (offsets, end)
}

fn lower_bound(network: &Quantized, buffers: &[Buffer], last_use: &[usize]) -> usize {
    let live = |buffer: &Buffer, layer: usize| {
        buffer.tensors.iter().any(|&t| t <= layer + 1 && layer <= last_use[t])
    };
    (0..network.layers.len())
        .map(|layer| buffers.iter().filter(|buffer| live(buffer, layer)).map(|buffer| buffer.len).sum())
        .max()
        .unwrap_or(0)
}
