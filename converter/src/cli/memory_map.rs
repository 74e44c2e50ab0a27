//! The memory plan as a picture: time to the right, addresses downward.

use std::fmt::Write;
use std::ops::Range;

use resi8::Model;

/// Rows of the picture.
const ROWS: usize = 16;

/// Most columns; longer networks show every second, third, ... layer.
const COLUMNS: usize = 72;

/// Draws which bytes of the arena hold which tensor while each layer runs. A tensor is drawn with the last letter or
/// digit of its number; `.` is free. Layers that run together by rows are named below.
pub(crate) fn draw(model: &Model<'_>) -> String {
    let (layers, bytes) = (model.layer_count(), model.activation_bytes());
    let step = layers.div_ceil(COLUMNS);
    let groups = groups(model);
    let mut text = String::new();
    for row in 0..ROWS {
        let (from, to) = (row * bytes / ROWS, (row + 1) * bytes / ROWS);
        let cells = groups.iter().flat_map(|group| group.clone().map(|_| cell(model, group, from..to)));
        let line: String = cells.step_by(step).collect();
        let _ = writeln!(text, "{:>9} |{line}|", resi8_run::output::grouped(from as u64));
    }
    let _ = write!(text, "{:>9}  layers 0 to {}", resi8_run::output::grouped(bytes as u64), layers - 1);
    if step > 1 {
        let _ = write!(text, ", one column for {step} layers");
    }
    for (index, group) in groups.iter().filter(|group| group.len() > 1).enumerate() {
        let before = if index == 0 { "; by rows together: " } else { ", " };
        let _ = write!(text, "{before}{} to {}", group.start, group.end - 1);
    }
    text
}

/// The layers that run together, most of them alone: a group ends with a layer whose output the arena holds as a whole.
fn groups(model: &Model<'_>) -> Vec<Range<usize>> {
    let mut start = 0;
    let whole = model.layers().filter(|layer| !layer.output.is_streamed());
    whole.map(|layer| std::mem::replace(&mut start, layer.index + 1)..layer.index + 1).collect()
}

/// The tensor that covers most of a range of addresses while a group of layers runs.
fn cell(model: &Model<'_>, group: &Range<usize>, addresses: Range<usize>) -> char {
    let live = model.tensors().filter(|t| t.index() <= group.end && group.start <= t.last_use());
    let covered = live.map(|tensor| {
        let range = tensor.range();
        let bytes = range.end.min(addresses.end).saturating_sub(range.start.max(addresses.start));
        (bytes, tensor.index())
    });
    match covered.max() {
        Some((bytes, tensor)) if bytes > 0 => SYMBOLS[tensor % SYMBOLS.len()].into(),
        _ => '.',
    }
}

const SYMBOLS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
