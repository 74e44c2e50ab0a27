//! Packing the weights of all layers, wherever these come from.

use core::ops::Range;

use crate::error::RunError;
use crate::group::Piece;
use crate::model::{Layer, Op};
use crate::plan::Plan;

/// No table of a microcontroller packs weights, so that nothing of it is linked there.
pub(crate) const PACKS: bool =
    !cfg!(all(target_os = "none", any(target_arch = "arm", target_arch = "riscv32")));

/// Where weights come from.
pub(crate) trait Weights {
    /// Why they do not come.
    type Error: From<RunError>;

    /// Those of a convolution. All convolutions are asked for, in the order of the layers.
    fn of<'w>(&'w mut self, layer: &Layer<'w>) -> Result<&'w [i8], Self::Error>;
}

/// The model has them.
pub(crate) struct InModel;

impl Weights for InModel {
    type Error = RunError;

    fn of<'w>(&'w mut self, layer: &Layer<'w>) -> Result<&'w [i8], RunError> {
        match &layer.op {
            Op::Conv(conv) => Ok(conv.weights),
            _ => Err(RunError::Internal { layer: layer.index }),
        }
    }
}

/// Packs the weights of every convolution, one layer after the other.
#[inline(never)]
pub(crate) fn pack_weights<W: Weights>(
    plan: &Plan<'_>,
    weights: &mut W,
    packed: &mut [i8],
) -> Result<(), W::Error> {
    let mut rest = packed;
    let pieces = |group: Range<usize>| group.clone().map(move |index| (group.clone(), index));
    for (group, index) in plan.model().sections.groups().flat_map(pieces) {
        let broken = RunError::Internal { layer: index };
        let mut layer = plan.model().layer(index).ok_or(broken)?;
        if !matches!(layer.op, Op::Conv(_)) {
            continue;
        }
        let weights = weights.of(&layer)?;
        layer.restrict(&Piece::new(plan.model(), &group, index, 0));
        let conv_plan = plan.conv(&layer).ok_or(broken)?;
        let (own, behind) = rest.split_at_mut_checked(conv_plan.packed_len()).ok_or(broken)?;
        conv_plan.pack(&layer, weights, plan.kernels(), own).ok_or(broken)?;
        rest = behind;
    }
    Ok(())
}

/// Bytes of the packed weights of the layers before this one, of the group that begins with layer `first`.
#[inline(never)]
pub(crate) fn packed_before(plan: &Plan<'_>, first: usize, layer: usize) -> Option<usize> {
    let mut len = 0;
    if PACKS && plan.packed_len() > 0 {
        let model = plan.model();
        let group = &model.sections.group(first);
        for index in group.start..layer {
            let mut earlier = model.layer(index)?;
            earlier.restrict(&Piece::new(model, group, index, 0));
            len += plan.conv(&earlier)?.packed_len();
        }
    }
    Some(len)
}
