//! The epilogue of tiles whose height the compiler does not know. What is the same for all tiles of a block is checked once, and
//! pixels are finished four at a time.
#![allow(unsafe_code, reason = "places that are checked once for all tiles of a block")]

use core::slice;

use crate::kernels::simd::{LANES, Parameters, Place, Simd, complete, finish, has_all_lanes};
use crate::kernels::{SkipValues, Target};

/// Where the outputs of a panel go, and the values of the shortcut come from.
pub(super) struct Outputs<'a> {
    target: Target<'a>,
    parameters: &'a Parameters,
    /// Length of the output in which the places of all pixels have been seen to lie, and those of the shortcut in its values; `None` when
    /// some lanes have no channels, and every pixel is checked by itself.
    checked: Option<usize>,
}

impl<'a> Outputs<'a> {
    /// Of a block of so many pixels. `None` when one of them lies outside.
    #[inline(always)]
    pub(super) fn new(
        target: Target<'a>,
        parameters: &'a Parameters,
        pixels: usize,
        out: &[i8],
    ) -> Option<Self> {
        if !has_all_lanes(&target) {
            return Some(Self { target, parameters, checked: None });
        }
        let first = target.first_channel;
        let end = target.grid.highest_place(pixels)?.checked_add(first)?.checked_add(LANES)?;
        if let Some(SkipValues { values: Some(values), grid, channel, .. }) = target.skip {
            let own = first.checked_sub(channel)?;
            values.get(own..)?.get(grid.highest_place(pixels)?..)?.get(..LANES)?;
        }
        (end <= out.len()).then_some(Self { target, parameters, checked: Some(out.len()) })
    }

    /// Bias, shortcut, requantization, clamp and store of some pixels, whose sums have the bias in them. `None` for another output.
    ///
    /// # Safety
    /// The places, of outputs and of shortcuts, must be those of pixels of the block.
    #[inline(always)]
    pub(super) unsafe fn finish<S: Simd>(
        &self,
        s: S,
        acc: &[S::I32],
        outs: &[usize],
        skips: &[usize],
        out: &mut [i8],
    ) -> Option<()> {
        let target = &self.target;
        let Some(len) = self.checked else {
            for ((acc, &out_place), &skip) in acc.iter().zip(outs).zip(skips) {
                finish::<S, false>(s, *acc, self.parameters, target, Place { out: out_place, skip }, out)?;
            }
            return Some(());
        };
        let out: *mut [i8; LANES] =
            (out.len() == len).then_some(out.as_mut_ptr().wrapping_add(target.first_channel))?.cast();
        let skip = target.skip.map(|skip| match skip.values {
            None => (out.cast_const(), outs, skip.shift),
            Some(values) => {
                let own = target.first_channel - skip.channel;
                (values.as_ptr().wrapping_add(own).cast::<[i8; LANES]>(), skips, skip.shift)
            }
        });
        let (groups, rest) = acc.as_chunks::<4>();
        let (out_groups, rest_outs) = outs.as_chunks::<4>();
        for (index, (acc, outs)) in groups.iter().zip(out_groups).enumerate() {
            let skip = match skip {
                Some((values, places, shift)) => Some((values, places.as_chunks::<4>().0.get(index)?, shift)),
                None => None,
            };
            // SAFETY: `new` has seen that `LANES` values at the places of all pixels lie in an output of this length, and in the values of
            // the shortcut; the caller promises that these are such places.
            unsafe { self.finish_at(s, *acc, skip, out, outs) };
        }
        for (index, (acc, out_place)) in rest.iter().zip(rest_outs).enumerate() {
            let skip = match skip {
                Some((values, places, shift)) => Some((
                    values,
                    slice::from_ref(places.get(4 * groups.len() + index)?).first_chunk()?,
                    shift,
                )),
                None => None,
            };
            // SAFETY: as above.
            unsafe { self.finish_at(s, [*acc], skip, out, core::array::from_ref(out_place)) };
        }
        Some(())
    }

    /// The same of a number of pixels that is known.
    ///
    /// # Safety
    /// There must be `LANES` values at each place, behind its pointer.
    #[inline(always)]
    unsafe fn finish_at<S: Simd, const PIXELS: usize>(
        &self,
        s: S,
        acc: [S::I32; PIXELS],
        skip: Option<(*const [i8; LANES], &[usize; PIXELS], u8)>,
        out: *mut [i8; LANES],
        outs: &[usize; PIXELS],
    ) {
        let mut values = [[0; LANES]; PIXELS];
        let skip = match skip {
            Some((source, places, shift)) => {
                for (values, place) in values.iter_mut().zip(places) {
                    // SAFETY: the caller's promise.
                    *values = unsafe { source.byte_add(*place).read() };
                }
                Some((values, shift))
            }
            None => None,
        };
        let acc = complete::<S, false, PIXELS>(s, acc, self.parameters, skip);
        let (zero_point, clamp) = (self.target.epilogue.zero_point, self.target.epilogue.clamp);
        match *acc.as_slice() {
            [a, b, c, d] => values.copy_from_slice(&s.narrow_four([a, b, c, d], zero_point, clamp)),
            _ => {
                for (values, acc) in values.iter_mut().zip(acc) {
                    *values = s.narrow(acc, zero_point, clamp);
                }
            }
        }
        for (values, place) in values.into_iter().zip(outs) {
            // SAFETY: the caller's promise.
            unsafe { out.byte_add(*place).write(values) };
        }
    }
}
