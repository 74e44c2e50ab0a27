//! From a picture file, a raw frame or a labelled dataset to the raw 8-bit input of a resi8 model.
//!
//! The output is always height x width x channels, one byte each, at the model's input size and in the model's
//! channel order: what [`resi8::Preprocess`] leaves to be done outside the network. Everything here reproduces what
//! a network trained in Python saw, as far as it was measured:
//!
//! - **JPEG** through `libjpeg-turbo-rs`, whose pixels are those of libjpeg-turbo and so of Pillow: no difference in
//!   1,257 photos. The two other pure Rust decoders tried differ by up to 5 levels, and that moves the top-1 class
//!   of a ResNet-18 on 4 and 13 of 1,000 photos.
//! - **PNG** through `png`: palette expanded, alpha dropped, of 16 bits the upper 8 kept.
//! - **Resize** with the antialiased bilinear filter of Pillow and torchvision: equal but for rounding ties, see
//!   [`from_decoded`].
//!
//! EXIF orientation is *not* applied and colour profiles are ignored, because Pillow and torchvision do neither
//! unless told to: a photo stored sideways is classified sideways, here and in the float reference alike.

mod dataset;
mod decode;
mod error;
mod geometry;
pub mod labels;
mod words;

pub use dataset::{Dataset, DatasetError, DatasetOptions, Sample, pictures_below};
pub use decode::{MAX_PIXELS, RgbPicture};
pub use error::PictureError;
pub use geometry::from_decoded;
pub use words::words;

use std::path::Path;

use resi8::Preprocess;

/// Reads a JPEG or PNG file and turns it into the model's input: `h * w * channels` bytes, row by row.
///
/// # Errors
/// The file cannot be read, is not a JPEG or PNG picture, is damaged or has more than [`MAX_PIXELS`] pixels, or the
/// picture is too small for the crop. The message names the file.
pub fn load(path: &Path, preprocess: &Preprocess, h: usize, w: usize) -> Result<Vec<u8>, PictureError> {
    let picture = RgbPicture::open(path)?;
    from_decoded(&picture, preprocess, h, w).map_err(|e| e.in_file(path))
}
