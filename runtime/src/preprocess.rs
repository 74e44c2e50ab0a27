//! How a picture becomes the model's input, as stored in the model file.
//!
//! The network itself takes raw 8-bit pixels: mean, standard deviation and the division by 255 are folded into the
//! first layer at conversion. What remains to be done outside is geometry (resize, centre crop) and the channel
//! order. The float description is kept so that tools can say in words what was folded, and so that a float
//! reference can be fed the same picture.

/// Most channels an input picture can have.
pub const MAX_INPUT_CHANNELS: usize = 4;

/// The order of the channels of one pixel in the model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// One channel: luma.
    Gray,
    /// Three channels: red, green, blue.
    Rgb,
    /// Three channels: blue, green, red.
    Bgr,
}

impl ChannelOrder {
    /// Channels of one pixel.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb | Self::Bgr => 3,
        }
    }
}

/// How the picture is scaled before the centre crop to the input size.
///
/// The filter is the antialiased bilinear (triangle) filter: a support of one source pixel when enlarging, widened
/// by the scale when reducing, which is what torchvision does with PIL pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// Not scaled: the picture is cropped as it is and must be at least as large as the input.
    None,
    /// The shorter side becomes this many pixels, the aspect ratio is kept: `torchvision.transforms.Resize(n)`.
    ShorterSide(u16),
    /// Stretched to the input size, the aspect ratio is not kept.
    Stretch,
}

/// Everything between a decoded picture and the network: `x[c] = (pixel[c] * pixel_scale - mean[c]) / std[c]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// Channel order the network was trained with.
    pub order: ChannelOrder,
    /// Scaling before the centre crop to the input's height and width.
    pub resize: Resize,
    /// Factor on the 8-bit pixel: 1/255 for networks trained on [0, 1], 1 for raw pixels. Finite, above 0.
    pub pixel_scale: f32,
    /// Per channel, in the order of `order`; finite. Entries past the channel count are 0.
    pub mean: [f32; MAX_INPUT_CHANNELS],
    /// Per channel, in the order of `order`; finite, above 0. Entries past the channel count are 1.
    pub std: [f32; MAX_INPUT_CHANNELS],
}

impl Preprocess {
    /// The network's float input for one raw pixel value of channel `channel`; `0.0` for a channel that is not there.
    #[must_use]
    pub fn normalize(&self, channel: usize, pixel: u8) -> f32 {
        match (self.mean.get(channel), self.std.get(channel)) {
            (Some(mean), Some(std)) => (f32::from(pixel) * self.pixel_scale - mean) / std,
            _ => 0.0,
        }
    }
}
