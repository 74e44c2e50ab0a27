//! Kernel, stride and padding of convolutions and pools.

use super::node::Node;
use crate::folded::Shape;

/// The window attributes of a node, not yet tied to an input size.
pub(super) struct Window {
    /// Absent in convolutions that leave it to the weights.
    pub(super) kernel: Option<[usize; 2]>,
    pub(super) stride: [usize; 2],
    padding: Padding,
}

#[derive(Clone, Copy)]
enum Padding {
    /// Top, left, bottom, right.
    Explicit([usize; 4]),
    /// As many as make the output `ceil(input / stride)`; the odd one goes to the end or to the start.
    Same { odd_at_end: bool },
}

/// A window laid over an input.
pub(super) struct Placed {
    /// Top, left, bottom, right.
    pub(super) pads: [usize; 4],
    /// Rows and columns of the output.
    pub(super) output: [usize; 2],
    /// Whether windows end exactly at the last padded row and column.
    pub(super) exact: bool,
}

impl Window {
    pub(super) fn read(node: Node<'_>) -> Result<Self, String> {
        let dilations = node.extents::<2>("dilations")?.unwrap_or([1, 1]);
        if dilations != [1, 1] {
            return Err(format!("dilations {dilations:?}"));
        }
        let stride = node.extents::<2>("strides")?.unwrap_or([1, 1]);
        let kernel = node.extents::<2>("kernel_shape")?;
        if stride.contains(&0) || kernel.is_some_and(|k| k.contains(&0)) {
            return Err("a kernel or stride of 0".into());
        }
        let padding = match node.text("auto_pad", "NOTSET")?.as_str() {
            "NOTSET" => Padding::Explicit(node.extents::<4>("pads")?.unwrap_or([0; 4])),
            "VALID" => Padding::Explicit([0; 4]),
            "SAME_UPPER" => Padding::Same { odd_at_end: true },
            "SAME_LOWER" => Padding::Same { odd_at_end: false },
            other => return Err(format!("auto_pad {other} is not known")),
        };
        Ok(Self { kernel, stride, padding })
    }

    pub(super) fn place(&self, kernel: [usize; 2], input: Shape) -> Result<Placed, String> {
        let sizes = [input.h, input.w];
        let pads = match self.padding {
            Padding::Explicit(pads) => pads,
            Padding::Same { odd_at_end } => self.same(kernel, sizes, odd_at_end),
        };
        let mut placed = Placed { pads, output: [0, 0], exact: true };
        for side in 0..2 {
            let padded = sizes[side] + pads[side] + pads[side + 2];
            let Some(travel) = padded.checked_sub(kernel[side]) else {
                let (k, size) = (kernel[side], sizes[side]);
                return Err(format!("a window of {k} on an input of {size} (padded {padded})"));
            };
            placed.output[side] = travel / self.stride[side] + 1;
            placed.exact &= travel.is_multiple_of(self.stride[side]);
        }
        Ok(placed)
    }

    fn same(&self, kernel: [usize; 2], sizes: [usize; 2], odd_at_end: bool) -> [usize; 4] {
        let mut pads = [0; 4];
        for side in 0..2 {
            let output = sizes[side].div_ceil(self.stride[side]);
            let covered = (output - 1) * self.stride[side] + kernel[side];
            let total = covered.saturating_sub(sizes[side]);
            let (small, large) = (total / 2, total.div_ceil(2));
            (pads[side], pads[side + 2]) = if odd_at_end { (small, large) } else { (large, small) };
        }
        pads
    }
}
