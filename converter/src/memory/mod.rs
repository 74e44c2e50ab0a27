//! The memory plan: where every activation lives in the arena, and which layers run together by rows.

mod groups;

use resi8::format::TENSOR_ALIGN;

use self::groups::{Groups, candidates, distance};
use crate::quantize::{Quantized, QuantizedOp};

/// Places and lifetimes of all tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Start of each tensor in the arena, in bytes; a multiple of [`resi8::format::TENSOR_ALIGN`].
    pub offsets: Vec<usize>,
    /// Index of the last layer that reads each tensor; the number of layers for the logits.
    pub last_use: Vec<usize>,
    /// Rows of each tensor that the arena holds at a time; 0 for all.
    pub kept_rows: Vec<usize>,
    /// End of the furthest tensor.
    pub activation_bytes: usize,
    /// No plan with these groups of layers can need less: the most bytes that are in use while one runs.
    pub lower_bound: usize,
}

/// What a plan is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Goal {
    /// Every layer for itself, as fast as it can.
    #[default]
    Speed,
    /// Layers run together by rows where less memory is in use then.
    LowMemory,
}

/// Plans the arena.
///
/// A residual output takes the place of its shortcut when nothing else reads the shortcut afterwards, and the output of a group that
/// runs by rows the place of what the group reads. The buffers that remain are placed at the lowest free offset, in several orders, of
/// which the best is kept.
#[must_use]
pub fn plan(network: &Quantized, goal: Goal) -> MemoryPlan {
    let last_use = last_uses(network);
    let mut planner = Planner { network, last_use, groups: Groups::single(network.layers.len()) };
    if goal == Goal::LowMemory {
        planner.group_layers();
    }
    planner.plan()
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

/// Tensors that share one place because each overwrites the one before it: a chain of residual blocks.
struct Buffer {
    /// Each with its offset in the buffer.
    tensors: Vec<(usize, usize)>,
    len: usize,
}

impl Buffer {
    /// Adds a tensor that begins `distance` bytes before the last one.
    fn overwrite(&mut self, tensor: usize, distance: usize, len: usize) {
        let last = self.tensors.last().map_or(0, |(_, offset)| *offset);
        let before = distance.saturating_sub(last);
        self.tensors.iter_mut().for_each(|(_, offset)| *offset += before);
        let offset = last + before - distance;
        self.tensors.push((tensor, offset));
        self.len = (self.len + before).max(offset + len);
    }
}

struct Planner<'a> {
    network: &'a Quantized,
    last_use: Vec<usize>,
    groups: Groups,
}

impl Planner<'_> {
    /// Lets layers run together as long as that lowers the most bytes that are in use at a time, or else the sum over all layers, which
    /// leaves room for scratch.
    fn group_layers(&mut self) {
        let candidates = candidates(self.network);
        let mut cost = self.cost();
        loop {
            let tried = candidates.iter().filter_map(|group| {
                let groups = self.groups.with(group)?;
                let planner = Planner { groups, last_use: self.last_use.clone(), ..*self };
                Some((planner.cost(), planner.groups))
            });
            match tried.min_by_key(|(cost, _)| *cost) {
                Some((lower, groups)) if lower < cost => (cost, self.groups) = (lower, groups),
                _ => return,
            }
        }
    }

    /// The most bytes that are in use while a layer runs, and the sum over all layers.
    fn cost(&self) -> (usize, usize) {
        let in_use = self.bytes_in_use(&self.buffers());
        (in_use.iter().copied().max().unwrap_or(0), in_use.iter().sum())
    }

    fn plan(self) -> MemoryPlan {
        let buffers = self.buffers();
        let mut by_size: Vec<&Buffer> = buffers.iter().collect();
        by_size.sort_by_key(|buffer| (core::cmp::Reverse(buffer.len), buffer.tensors[0]));
        let by_time: Vec<&Buffer> = buffers.iter().collect();
        let mut by_lifetime = by_time.clone();
        by_lifetime.sort_by_key(|buffer| {
            let lifetime: usize = buffer.tensors.iter().map(|&(t, _)| self.last_use[t] + 1 - t).sum();
            (core::cmp::Reverse(lifetime * buffer.len), buffer.tensors[0])
        });
        let plans = [by_size, by_time, by_lifetime].map(|order| self.place(&order));
        let (offsets, activation_bytes) =
            plans.into_iter().min_by_key(|(_, end)| *end).expect("three orders were tried");
        let lower_bound = self.bytes_in_use(&buffers).into_iter().max().unwrap_or(0);
        let kept_rows = (0..offsets.len()).map(|t| self.groups.kept_rows(self.network, t)).collect();
        MemoryPlan { offsets, last_use: self.last_use, kept_rows, activation_bytes, lower_bound }
    }

    /// Bytes of the arena that a tensor takes: int8 activations, int32 logits for the last one.
    fn bytes(&self, tensor: usize) -> usize {
        let shape = self.network.tensors[tensor].shape;
        let rows = match self.groups.kept_rows(self.network, tensor) {
            0 => shape.h,
            kept => kept,
        };
        let element = if tensor + 1 == self.network.tensors.len() { 4 } else { 1 };
        rows * shape.w * shape.c * element
    }

    fn buffers(&self) -> Vec<Buffer> {
        let mut buffers: Vec<Buffer> = Vec::new();
        for tensor in 0..self.network.tensors.len() {
            let (len, overwritten) = (self.bytes(tensor), self.overwritten(tensor));
            let chain = overwritten.and_then(|(earlier, distance)| {
                let last = |buffer: &&mut Buffer| buffer.tensors.last().is_some_and(|(t, _)| *t == earlier);
                Some((buffers.iter_mut().find(last)?, distance))
            });
            match chain {
                Some((buffer, distance)) => buffer.overwrite(tensor, distance, len),
                None => buffers.push(Buffer { tensors: vec![(tensor, 0)], len }),
            }
        }
        buffers
    }

    /// The largest tensor that the output of a layer may overwrite, and how many bytes before it the output begins then.
    fn overwritten(&self, output: usize) -> Option<(usize, usize)> {
        let group = self.groups.of(output.checked_sub(1)?);
        if group.end != output {
            return None;
        }
        if group.len() == 1 {
            return self.overwritten_shortcut(group.start).map(|shortcut| (shortcut, 0));
        }
        let read = (0..=group.start).filter(|&tensor| group.contains(&self.last_use[tensor]));
        let over = read.filter_map(|tensor| Some((tensor, distance(self.network, group, tensor)?)));
        over.max_by_key(|&(tensor, distance)| (self.bytes(tensor), core::cmp::Reverse(distance)))
    }

    /// The shortcut of a layer whose output may overwrite it, value by value.
    fn overwritten_shortcut(&self, layer: usize) -> Option<usize> {
        let QuantizedOp::Conv { skip: Some((skip, _)), .. } = self.network.layers[layer].op else {
            return None;
        };
        let (tensor, tensors) = (skip.tensor.0, &self.network.tensors);
        let fits = skip.stride == 1 && tensors[tensor].shape == tensors[layer + 1].shape;
        let consumed = self.last_use[tensor] == layer && self.network.layers[layer].input != skip.tensor;
        (fits && consumed).then_some(tensor)
    }

    /// The first and the last layer during which a tensor is in use: while the whole group of a layer runs.
    fn life(&self, tensor: usize) -> [usize; 2] {
        let from = tensor.checked_sub(1).map_or(0, |writer| self.groups.of(writer).start);
        let last_use = self.last_use[tensor];
        let until =
            if last_use < self.network.layers.len() { self.groups.of(last_use).end - 1 } else { last_use };
        [from, until]
    }

    /// Whether two tensors are in use while the same layer runs.
    fn live_together(&self, a: usize, b: usize) -> bool {
        let ([a_from, a_until], [b_from, b_until]) = (self.life(a), self.life(b));
        a_from <= b_until && b_from <= a_until
    }

    /// Offsets of all tensors, and the end of the furthest.
    fn place(&self, order: &[&Buffer]) -> (Vec<usize>, usize) {
        let mut offsets = vec![0; self.network.tensors.len()];
        let mut placed: Vec<usize> = Vec::new();
        let mut end = 0;
        for buffer in order {
            let conflicts =
                |other: &&usize| buffer.tensors.iter().any(|&(t, _)| self.live_together(t, **other));
            let mut taken: Vec<_> =
                placed.iter().filter(conflicts).map(|&t| (offsets[t], offsets[t] + self.bytes(t))).collect();
            taken.sort_unstable();
            let mut offset = 0;
            for (start, end) in taken {
                if offset + buffer.len <= start {
                    break;
                }
                offset = offset.max(end.next_multiple_of(TENSOR_ALIGN));
            }
            for &(tensor, within) in &buffer.tensors {
                offsets[tensor] = offset + within;
                placed.push(tensor);
            }
            end = end.max(offset + buffer.len);
        }
        (offsets, end)
    }

    /// Bytes of the arena that are in use while each layer runs.
    fn bytes_in_use(&self, buffers: &[Buffer]) -> Vec<usize> {
        let in_use = |buffer: &Buffer, layer: usize| {
            let live = |&&(tensor, _): &&(usize, usize)| {
                let [from, until] = self.life(tensor);
                (from..=until).contains(&layer)
            };
            let live = buffer.tensors.iter().filter(live);
            let bounds = live.map(|&(tensor, offset)| (offset, offset + self.bytes(tensor)));
            let union = bounds.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
            union.map_or(0, |(start, end)| end - start)
        };
        (0..self.network.layers.len())
            .map(|layer| buffers.iter().map(|buffer| in_use(buffer, layer)).sum())
            .collect()
    }
}
