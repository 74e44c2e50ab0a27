//! Models whose layers run together by rows.

use super::{Content, Random, TensorRecord};
use resi8::Model;

/// Bytes of the arena that a tensor occupies.
pub fn bytes(tensor: &TensorRecord) -> u32 {
    let rows = if tensor.kept_rows == 0 { tensor.h } else { tensor.kept_rows.into() };
    let element = if tensor.element == TensorRecord::I32 { 4 } else { 1 };
    u32::from(rows) * u32::from(tensor.w) * u32::from(tensor.c) * element
}

/// Makes a change and keeps it if the loader accepts the model then.
fn try_change(content: &mut Content, change: impl FnOnce(&mut [TensorRecord])) -> bool {
    let before = content.clone();
    change(&mut content.tensors);
    content.graph.activation_bytes =
        content.tensors.iter().map(|tensor| tensor.offset + bytes(tensor)).max().unwrap_or_default();
    let accepted = content.to_bytes().is_some_and(|file| Model::parse(&file).is_ok());
    if !accepted {
        *content = before;
    }
    accepted
}

/// The layers of every group that runs by rows.
pub fn groups(content: &Content) -> Vec<std::ops::Range<usize>> {
    let is_whole = |layer: &usize| content.tensors[layer + 1].kept_rows == 0;
    let ends: Vec<usize> = (0..content.layers.len()).filter(is_whole).map(|layer| layer + 1).collect();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied()).map(|(start, end)| start..end).filter(|group| group.len() > 1).collect()
}

/// Lets random groups of layers run by rows, with the fewest rows between them that the loader accepts, and puts their outputs over
/// what they read, in any place that it accepts: whatever it accepts must run right.
pub fn stream(content: &mut Content, random: &mut Random) {
    let mut first = 0;
    while first + 2 < content.layers.len() {
        let len = random.size(1, 4).min(content.layers.len() - first);
        first += if len > 1 && stream_group(content, first..first + len) { len } else { 1 };
    }
    for group in groups(content) {
        let read: Vec<TensorRecord> = content.tensors[..=group.start].to_vec();
        let over = |tensor: &TensorRecord| {
            let end = (tensor.offset + bytes(tensor)).next_multiple_of(64);
            (tensor.offset.saturating_sub(256)..end).step_by(64)
        };
        let mut places: Vec<u32> = read.iter().flat_map(over).collect();
        places.retain(|&place| try_change(&mut content.clone(), |tensors| tensors[group.end].offset = place));
        if !places.is_empty() {
            let place = random.pick(&places);
            try_change(content, |tensors| tensors[group.end].offset = place);
        }
    }
}

/// Streams the tensors between some layers, if the loader accepts that.
fn stream_group(content: &mut Content, group: std::ops::Range<usize>) -> bool {
    let behind = content.graph.activation_bytes.next_multiple_of(64);
    let between = group.start + 1..group.end;
    let accepted = try_change(content, |tensors| {
        tensors[between.clone()].iter_mut().for_each(|tensor| tensor.kept_rows = tensor.h as u8);
        tensors[group.end].offset = behind;
    });
    for tensor in between.filter(|_| accepted) {
        while content.tensors[tensor].kept_rows > 1
            && try_change(content, |tensors| tensors[tensor].kept_rows -= 1)
        {}
    }
    accepted
}
