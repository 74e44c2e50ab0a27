//! 3x3 convolution of stride 1 with weights that were transformed at conversion: 16 multiplications for 4 outputs instead of 36, with
//! the same result to the bit. For cores whose flash has room for the weights, which take 32/9 of their bytes.
//!
//! The method is Winograd's F(2x2, 3x3) with the points 0, 1, -1 and infinity, made integer by factors that stay in the weights: a
//! 4x4 tile `d` of the input and a kernel `g` give 2x2 outputs `y`,
//!
//! ```text
//! A [ sum over channels of (G g G^T) * (B d B^T) ] A^T = 4 * y
//!
//!      2  0  0          1  0 -1  0
//! G =  1  1  1     B =  0  1  1  0     A =  1  1  1  0
//!      1 -1  1          0 -1  1  0          0  1 -1  1
//!      0  0  2          0 -1  0  1
//! ```
//!
//! # Why it is exact
//!
//! - With `|g| <= 127`, `|G g G^T| <= 9 * 127`; with `|d| <= 128`, `|B d B^T| <= 4 * 128`: both fit int16.
//! - Everything after that is sums of products, taken modulo 2^32, so what arrives is `4 * y mod 2^32`, however often a sum has wrapped on
//!   the way. The loader proves that four times the accumulator, bias and shortcut included, stays below 2^30.
//! - The accumulator is never divided: its quarter goes into the shift of the requantization, which is the same real number.
//!
//! # Order
//!
//! Points are processed in the order of [`ORDER`], rows and columns alike: those whose products meet in a sum and a difference first, the
//! others are then added to these. Weights are `[output channel][row of points][column of points][input channel]`; the channels of
//! each four in the order 0, 2, 1, 3, as `sxtb16` leaves activations.

use super::Target;

/// The order of the rows of points, and of the columns.
pub const ORDER: [usize; 4] = [1, 2, 0, 3];

/// Tiles that are computed together.
pub const TILES: usize = 4;

/// Elements of a transformed tile or kernel.
pub const POINTS: usize = 16;

/// Input channels come in multiples of this.
pub const CHANNELS: usize = 16;

/// Transformed weights start at a multiple of this many bytes, in memory too: kernels load several words at a time.
pub const WEIGHTS_ALIGN: usize = 4;

/// Where a four of channels has the channel of this number.
pub(crate) const fn place(channel: usize) -> usize {
    match channel % 4 {
        1 => 2,
        2 => 1,
        other => other,
    }
}

/// Four times the accumulator is what arrives.
pub(crate) const SHIFT: u8 = 2;

/// Words of [`Transformed`]'s panel for a number of input channels: the transformed input of the tiles, and behind it their sums,
/// `[output column][row of points][tile]`. `None` when there are more than the address space holds.
#[must_use]
pub fn panel_len(channels: usize) -> Option<usize> {
    (POINTS * TILES / 2).checked_mul(channels)?.checked_add(SUMS)
}

/// Words of the sums.
pub(crate) const SUMS: usize = 2 * ORDER.len() * TILES;

/// Bytes of the transformed weights of an output channel.
#[must_use]
pub const fn weights_len(channels: usize) -> usize {
    POINTS * size_of::<i16>() * channels
}

/// The steps of the method for one instruction set. Both return `None` when a slice is too short.
#[derive(Debug, Clone, Copy)]
pub struct Transformed {
    /// Transforms the input of a row of tiles: `[row of points][column of points][four of channels][tile][two words]`.
    pub transform_input: fn(input: &Input<'_>, panel: &mut [u32]) -> Option<()>,
    /// Computes all channels of these tiles.
    pub conv: fn(tiles: &Tiles<'_>, panel: &mut [u32], out: &mut [i8]) -> Option<()>,
}

impl Transformed {
    /// In a build with the feature, these steps: in any other, nothing refers to them and nothing of them is linked.
    pub(super) const fn if_enabled(self) -> Option<Self> {
        if cfg!(feature = "transformed-weights") { Some(self) } else { None }
    }
}

/// What [`Transformed::transform_input`] reads: four rows of pixels.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Values, from the first pixel on.
    pub values: &'a [i8],
    /// Distance between rows.
    pub row: usize,
    /// Channels, a multiple of [`CHANNELS`]: the distance between the pixels of a row.
    pub channels: usize,
    /// Tiles, 1 to [`TILES`]: each begins two pixels behind the one before.
    pub tiles: usize,
}

/// What [`Transformed::conv`] computes: two rows of outputs.
#[derive(Debug, Clone, Copy)]
pub struct Tiles<'a> {
    /// All transformed weights of the layer; they start at a multiple of [`WEIGHTS_ALIGN`] bytes.
    pub weights: &'a [i8],
    /// Input channels.
    pub channels: usize,
    /// Their number, as in [`Input`].
    pub tiles: usize,
    /// Where results go, from channel 0 on: two rows of twice as many pixels as there are tiles.
    pub target: Target<'a>,
}

/// The points of a kernel, in the order of [`ORDER`].
#[must_use]
pub fn transform(kernel: &[i8; 9]) -> [i16; POINTS] {
    let line = |[a, b, c]: [i16; 3]| [a + b + c, a - b + c, 2 * a, 2 * c];
    let [a, b, c, d, e, f, g, h, i] = kernel.map(i16::from);
    let [[a, d, g, j], [b, e, h, k], [c, f, i, l]] = [[a, d, g], [b, e, h], [c, f, i]].map(line);
    bytemuck::cast([[a, b, c], [d, e, f], [g, h, i], [j, k, l]].map(line))
}

/// Sum of the magnitudes of an output channel's weights, of which these are the transformed ones; `None` when no weights from -127 to
/// 127 are transformed to these.
pub(crate) fn magnitude(transformed: &[i8]) -> Option<u64> {
    let values = transformed.as_chunks::<2>().0;
    let channels = values.len() / POINTS;
    let mut sum = 0;
    for channel in 0..channels {
        let mut points = [[0; 4]; 4];
        let of_channel = values.iter().skip(channel).step_by(channels.max(1));
        for (point, [low, high]) in points.iter_mut().flatten().zip(of_channel) {
            *point = i16::from_le_bytes([low.cast_unsigned(), high.cast_unsigned()]);
        }
        sum += u64::from(kernel_magnitude(&mut points)?);
    }
    Some(sum)
}

/// That of the kernel that has these points, which it replaces by its taps.
#[inline(never)]
fn kernel_magnitude(points: &mut [[i16; 4]; 4]) -> Option<u32> {
    points.iter_mut().try_for_each(to_taps)?;
    let mut sum = 0;
    for column in 0..3 {
        let mut line = [0; 4];
        for (value, row) in line.iter_mut().zip(points.iter()) {
            *value = *row.get(column)?;
        }
        to_taps(&mut line)?;
        for weight in line.iter().take(3).map(|weight| weight.unsigned_abs()) {
            sum += u32::from(weight);
            if weight > 127 {
                return None;
            }
        }
    }
    Some(sum)
}

/// Replaces the points of a line of taps by these: the points are the sum of the taps, the sum with the middle one negated, and twice the
/// outer ones. `None` when no line has such points.
#[inline(never)]
fn to_taps(line: &mut [i16; 4]) -> Option<()> {
    let [sum, other_sum, first, last] = line.map(i32::from);
    let exist = sum + other_sum == first + last && (first | last) & 1 == 0;
    let middle = i16::try_from((sum - other_sum) / 2).ok().filter(|_| exist)?;
    let [_, _, first, last] = *line;
    *line = [first / 2, middle, last / 2, 0];
    Some(())
}
