//! Layers that run together by rows: which can, and how far their output may lie over what they read. The loader proves it again
//! (`docs/format.md`, Memory).

use std::ops::Range;

use resi8::format::{MAX_GROUP, TENSOR_ALIGN};

use crate::quantize::{Quantized, QuantizedOp};

/// The layers in the groups in which they run, most of them alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Groups {
    /// The group of every layer.
    of_layer: Vec<Range<usize>>,
}

impl Groups {
    /// Every layer alone.
    pub(super) fn single(layers: usize) -> Self {
        Self { of_layer: (0..layers).map(|layer| layer..layer + 1).collect() }
    }

    /// With one group more, if its layers are alone now.
    pub(super) fn with(&self, group: &Range<usize>) -> Option<Self> {
        let mut of_layer = self.of_layer.clone();
        let own = &mut of_layer[group.clone()];
        let alone = own.iter().all(|group| group.len() == 1);
        own.fill(group.clone());
        alone.then_some(Self { of_layer })
    }

    pub(super) fn of(&self, layer: usize) -> &Range<usize> {
        &self.of_layer[layer]
    }

    /// Rows of a tensor that the arena holds at a time; 0 for all.
    pub(super) fn kept_rows(&self, network: &Quantized, tensor: usize) -> usize {
        let writer = tensor.checked_sub(1).map(|layer| (layer, self.of(layer)));
        let between = writer.filter(|(layer, group)| layer + 1 < group.end);
        between.map_or(0, |(_, group)| {
            group.clone().filter_map(|layer| Reading::new(network, layer, tensor)).map(|r| r.rows).sum()
        })
    }
}

/// The rows of a tensor that a layer reads for its output row `r`: `rows` of them from `r * stride - before` on.
#[derive(Debug, Clone, Copy)]
struct Reading {
    rows: usize,
    stride: usize,
    before: usize,
    as_skip: bool,
}

impl Reading {
    /// How a layer reads a tensor, if it does; as its input, if it is the shortcut too.
    fn new(network: &Quantized, layer: usize, tensor: usize) -> Option<Self> {
        let layer = &network.layers[layer];
        let QuantizedOp::Conv { window, skip, .. } = &layer.op else { return None };
        if layer.input.0 == tensor {
            let (rows, stride, before) = (window.kernel[0], window.stride[0], window.pads[0]);
            return Some(Self { rows, stride, before, as_skip: false });
        }
        let (skip, _) = skip.as_ref().filter(|(skip, _)| skip.tensor.0 == tensor)?;
        Some(Self { rows: 1, stride: skip.stride, before: 0, as_skip: true })
    }
}

/// All groups that could run by rows.
pub(super) fn candidates(network: &Quantized) -> Vec<Range<usize>> {
    let layers = network.layers.len();
    let ranges =
        (0..layers).flat_map(|start| (start + 2..=layers.min(start + MAX_GROUP)).map(move |end| start..end));
    ranges.filter(|group| can_run_by_rows(network, group)).collect()
}

fn can_run_by_rows(network: &Quantized, group: &Range<usize>) -> bool {
    let convolutions = group.clone().all(|layer| {
        let layer = &network.layers[layer];
        matches!(&layer.op, QuantizedOp::Conv { skip, pool: None, .. }
            if skip.as_ref().is_none_or(|(skip, _)| skip.tensor != layer.input))
    });
    convolutions && (group.start + 1..group.end).all(|tensor| is_read_once(network, group, tensor))
}

/// Whether a tensor has one reader, in the group, that reads it to its last row.
fn is_read_once(network: &Quantized, group: &Range<usize>, tensor: usize) -> bool {
    let reads = |layer: &usize| {
        let layer = &network.layers[*layer];
        let skip = match &layer.op {
            QuantizedOp::Conv { skip: Some((skip, _)), .. } => Some(skip.tensor.0),
            _ => None,
        };
        layer.input.0 == tensor || skip == Some(tensor)
    };
    let readers: Vec<usize> = (0..network.layers.len()).filter(reads).collect();
    let [reader] = readers[..] else { return false };
    let Some(reading) = Reading::new(network, reader, tensor).filter(|_| group.contains(&reader)) else {
        return false;
    };
    let last_row = network.tensors[reader + 1].shape.h - 1;
    last_row * reading.stride + reading.rows >= network.tensors[tensor].shape.h + reading.before
}

/// The fewest bytes that the output of a group must begin before a tensor `a` that the group reads for the last time, to overwrite
/// only what has been read; `None` if it may not lie over it.
pub(super) fn distance(network: &Quantized, group: &Range<usize>, a: usize) -> Option<usize> {
    let row = |tensor: usize| network.tensors[tensor].shape.w * network.tensors[tensor].shape.c;
    let (read, written) = (row(a), row(group.end));
    let same_shape = network.tensors[a].shape == network.tensors[group.end].shape;
    let (mut distance, mut in_place) = (0, false);
    for layer in group.clone() {
        let Some(reading) = Reading::new(network, layer, a) else { continue };
        if layer + 1 == group.end && reading.as_skip && reading.stride == 1 && same_shape {
            in_place = true;
            continue;
        }
        let Ahead { scale, done } = Ahead::new(network, group, layer)?;
        let first = (done * reading.stride).checked_sub(reading.before)?;
        if written > scale * reading.stride * read {
            return None;
        }
        distance = distance.max(written.saturating_sub(first * read));
    }
    if in_place && distance > 0 {
        distance = distance.max(written);
    }
    Some(distance.next_multiple_of(TENSOR_ALIGN))
}

/// How many rows a layer has computed when the last one of its group writes its row `r`: `scale * r + done`.
struct Ahead {
    scale: usize,
    done: usize,
}

impl Ahead {
    /// Goes from a layer to the one that reads its output, and on to the last one.
    fn new(network: &Quantized, group: &Range<usize>, layer: usize) -> Option<Self> {
        let mut ahead = Self { scale: 1, done: usize::from(layer + 1 < group.end) };
        let mut tensor = layer + 1;
        while tensor < group.end {
            let reads = |reader: usize| Some((reader, Reading::new(network, reader, tensor)?));
            let (reader, reading) = group.clone().find_map(reads)?;
            ahead.done += ahead.scale * reading.rows.checked_sub(reading.before + 1)?;
            ahead.scale *= reading.stride;
            tensor = reader + 1;
        }
        Some(ahead)
    }
}
