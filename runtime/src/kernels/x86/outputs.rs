//! The epilogue of tiles whose height the compiler does not know. What is the same for all tiles of a block is checked once, and
//! pixels are finished four at a time.
#![allow(unsafe_code, reason = "places that are checked once for all tiles of a block")]

use core::slice;

use crate::kernels::simd::{LANES, Parameters, Place, Simd, complete, finish};
use crate::kernels::{SkipValues, Target};

/// Where the outputs of a panel go, and the values of the shortcut come from.
pub(super) struct Outputs<'a> {
    /// Without a shortcut when none of its channels joins the panel's.
    target: Target<'a>,
    parameters: &'a Parameters,
    /// Length of the output in which the places of all pixels have been seen to lie; `None` when some lanes have no channels, and every
    /// pixel is checked by itself.
    checked: Option<usize>,
}

impl<'a> Outputs<'a> {
    /// Of a block of so many pixels. `None` when one of them lies outside.
    #[inline(always)]
    pub(super) fn new(
        mut target: Target<'a>,
        parameters: &'a Parameters,
        pixels: usize,
        out: &[i8],
    ) -> Option<Self> {
        let first = target.first_channel;
        let joins = |skip: &SkipValues<'_>| {
            skip.values.is_none() || skip.channel < first + LANES && first < skip.channel + skip.channel_count
        };
        target.skip = target.skip.filter(joins);
        if let Some(skip) = &target.skip {
            skip.grid.highest_place(pixels)?;
        }
        let end = target.grid.highest_place(pixels)?.checked_add(first)?.checked_add(LANES)?;
        let checked = if target.channels.len() < first + LANES { None } else { Some(out.len()) };
        (checked.is_none() || end <= out.len()).then_some(Self { target, parameters, checked })
    }

    /// Where the values of a shortcut are, for the lanes of the panel: its own, or the output's. Lanes beyond its channels have a multiplier
    /// of 0, so it does not matter what they read. `None` when they would read what is not there.
    #[inline(always)]
    fn skip_source<'p>(
        &self,
        skip: &SkipValues<'a>,
        out: *const [i8; LANES],
        [outs, skips]: [&'p [usize]; 2],
    ) -> Option<(*const [i8; LANES], &'p [usize], u8)> {
        let Some(values) = skip.values else { return Some((out, outs, skip.shift)) };
        let (mut lowest, mut highest) = (usize::MAX, 0);
        for place in skips {
            (lowest, highest) = (lowest.min(*place), highest.max(*place));
        }
        let own = self.target.first_channel.wrapping_sub(skip.channel).cast_signed();
        lowest.checked_add_signed(own)?;
        let end = highest.checked_add_signed(own)?.checked_add(LANES)?;
        (end <= values.len()).then_some((values.as_ptr().wrapping_offset(own).cast(), skips, skip.shift))
    }

    /// Bias, shortcut, requantization, clamp and store of some pixels, whose sums have the bias in them. `None` when one lies outside of the
    /// output.
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
        let start = out.as_mut_ptr().wrapping_add(self.target.first_channel).cast::<[i8; LANES]>();
        let skip = match &self.target.skip {
            _ if self.checked != Some(out.len()) => None,
            None => Some(None),
            Some(skip) => self.skip_source(skip, start, [outs, skips]).map(Some),
        };
        let Some(skip) = skip else { return self.finish_each(s, acc, [outs, skips], out) };
        let (groups, rest) = acc.as_chunks::<4>();
        let (out_groups, rest_outs) = outs.as_chunks::<4>();
        for (index, (acc, outs)) in groups.iter().zip(out_groups).enumerate() {
            let skip = match skip {
                Some((values, places, shift)) => Some((values, places.as_chunks::<4>().0.get(index)?, shift)),
                None => None,
            };
            // SAFETY: `new` has seen that `LANES` values at the places of all pixels lie in an output of this length, and the caller promises
            // that these are such places; `skip_source` has seen those of the shortcut.
            unsafe { self.finish_at(s, *acc, skip, start, outs) };
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
            unsafe { self.finish_at(s, [*acc], skip, start, core::array::from_ref(out_place)) };
        }
        Some(())
    }

    /// The same with every pixel checked by itself.
    #[inline(always)]
    fn finish_each<S: Simd>(
        &self,
        s: S,
        acc: &[S::I32],
        [outs, skips]: [&[usize]; 2],
        out: &mut [i8],
    ) -> Option<()> {
        for ((acc, &out_place), &skip) in acc.iter().zip(outs).zip(skips) {
            finish::<S, false>(s, *acc, self.parameters, &self.target, Place { out: out_place, skip }, out)?;
        }
        Some(())
    }

    /// [`Self::finish`] of a number of pixels that is known.
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
                    *values = unsafe { source.wrapping_byte_add(*place).read() };
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
