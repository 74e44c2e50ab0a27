//! The memory plan as a picture: time to the right, addresses downward.

use std::fmt::Write;

use resi8::Model;

/// Rows of the picture.
const ROWS: usize = 16;

/// Most columns; longer networks show every second, third, ... layer.
const COLUMNS: usize = 72;

/// Draws which bytes of the arena hold which tensor while each layer runs. A tensor is drawn with the last letter or
/// digit of its number; `.` is free.
pub(crate) fn draw(model: &Model<'_>) -> String {
    let (layers, bytes) = (model.layer_count(), model.activation_bytes());
    let step = layers.div_ceil(COLUMNS);
    let mut text = String::new();
    for row in 0..ROWS {
        let (from, to) = (row * bytes / ROWS, (row + 1) * bytes / ROWS);
        let line: String = (0..layers).step_by(step).map(|layer| cell(model, layer, from..to)).collect();
        let _ = writeln!(text, "{:>9} |{line}|", resi8_run::output::grouped(from as u64));
    }
    let _ = write!(text, "{:>9}  layers 0 to {}", resi8_run::output::grouped(bytes as u64), layers - 1);
    if step > 1 {
        let _ = write!(text, ", one column for {step} layers");
    }
    text
}

/// The tensor that covers most of a range of addresses while a layer runs.
fn cell(model: &Model<'_>, layer: usize, addresses: std::ops::Range<usize>) -> char {
    let live = model.tensors().filter(|t| t.index() <= layer + 1 && layer <= t.last_use());
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
