//! Layers that run together by rows: of what is between them the arena holds some rows at a time.
//!
//! The last layer of such a group computes one row after the other, and each layer before it the rows that are missing for the next
//! one. A row of a layer is a layer itself: a convolution of the rows that it sees (see `Layer::restrict`). When it has run, the rows
//! that are still needed of a streamed tensor move to where those were that are not.

use core::ops::Range;

use crate::format::MAX_GROUP;
use crate::format::records::{LayerRecord, WindowRecord};
use crate::format::sections::Sections;
use crate::model::Model;

/// The rows of a tensor that a layer reads for its output row `r`: `rows` of them from `r * stride - before` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) rows: u8,
    pub(crate) stride: u8,
    pub(crate) before: u8,
    /// As its shortcut, not as its input.
    pub(crate) as_skip: bool,
}

impl Reading {
    /// How layer `index` reads a tensor, if it does, and not both as its input and as its shortcut.
    #[inline(never)]
    pub(crate) fn new(sections: &Sections<'_>, index: usize, tensor: usize) -> Option<Self> {
        let LayerRecord { window, input, skip, skip_stride, .. } =
            LayerRecord::read(sections.layers().get(index)?);
        let WindowRecord { kernel: [rows, _], stride: [stride, _], pads: [before, ..] } = window;
        if usize::from(input) == tensor {
            return Some(Self { rows, stride, before, as_skip: false });
        }
        (usize::from(skip) == tensor).then_some(Self {
            rows: 1,
            stride: skip_stride,
            before: 0,
            as_skip: true,
        })
    }
}

/// What runs at a time: a layer, or a row of one that runs by rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Piece {
    pub(crate) layer: u16,
    /// Which row of its output.
    pub(crate) row: u16,
    /// Rows of its output; 0 if it does not run by rows.
    pub(crate) rows: u16,
    /// If the output is streamed, how many rows behind its start the row lies.
    pub(crate) place: usize,
}

impl Piece {
    /// Row `row` of a layer of a group, or all of it if no other layer is in the group. What it needs does not depend on where the row
    /// lies.
    #[inline(never)]
    #[expect(clippy::cast_possible_truncation, reason = "a file has at most 4096 layers")]
    pub(crate) fn new(model: &Model<'_>, group: &Range<usize>, layer: usize, row: u16) -> Self {
        let output = model.tensor(layer + 1).filter(|_| group.len() > 1);
        let rows = output.map_or(0, |output| output.h() as u16);
        Self { layer: layer as u16, row, rows, place: 0 }
    }
}

/// How many rows of each layer of a group have been computed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowsDone([u16; MAX_GROUP]);

impl RowsDone {
    /// Those of a layer.
    fn of(&self, group: &Range<usize>, layer: usize) -> u16 {
        self.0.get(layer - group.start).copied().unwrap_or_default()
    }

    /// Counts one more of a layer.
    pub(crate) fn count(&mut self, group: &Range<usize>, layer: usize) {
        if let Some(rows) = self.0.get_mut(layer - group.start) {
            *rows += 1;
        }
    }

    /// What runs next: the next row of the last layer, unless that lacks a row of another one, and so on.
    #[inline(never)]
    pub(crate) fn next(&self, model: &Model<'_>, group: &Range<usize>) -> Piece {
        let mut writer = group.end - 1;
        let mut piece = Piece::new(model, group, writer, self.of(group, writer));
        // Every tensor between two layers of a group has one reader, behind the layer that writes it.
        while writer > group.start {
            let tensor = model.tensor(writer);
            let reading = Reading::new(&model.sections, piece.layer.into(), writer);
            writer -= 1;
            let (Some(tensor), Some(Reading { rows, stride, before, .. })) = (tensor, reading) else {
                continue;
            };
            let start = usize::from(piece.row) * usize::from(stride);
            let end = (start + usize::from(rows)).saturating_sub(before.into()).min(tensor.h());
            let done = usize::from(self.of(group, writer));
            if done < end {
                // What the reader does not need lies anywhere.
                let place = done.saturating_sub(start.saturating_sub(before.into()));
                piece = Piece { place, ..Piece::new(model, group, writer, self.of(group, writer)) };
            }
        }
        piece
    }
}
