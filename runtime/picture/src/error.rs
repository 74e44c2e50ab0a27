//! What can be wrong with one picture.

use std::path::{Path, PathBuf};

use crate::decode::MAX_PIXELS;

/// What can be wrong with one picture. Every message is one line that says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Another error of this type, and the file it happened in.
    #[error("{}: {cause}", path.display())]
    InFile {
        /// The picture file.
        path: PathBuf,
        /// What is wrong with it; part of the message, so not repeated as a source.
        cause: Box<PictureError>,
    },
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}; check the path and the permissions")]
    Read(std::io::Error),
    /// The first bytes are neither those of a JPEG nor of a PNG file.
    #[error(
        "neither a JPEG nor a PNG picture, whatever its name says; convert it to one of these or take it away"
    )]
    NotAPicture,
    /// The file begins like a picture, but cannot be decoded.
    #[error(
        "damaged or unusual {format} picture ({detail}); save it again from an image editor or take it away"
    )]
    Decode {
        /// `JPEG` or `PNG`.
        format: &'static str,
        /// The decoder's words.
        detail: String,
    },
    /// More pixels than [`MAX_PIXELS`].
    #[error(
        "the picture has {width} x {height} pixels, more than the limit of {} million; scale it down",
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// After resizing, the picture is smaller than the crop.
    #[error(
        "the picture is {width} x {height} pixels where the model takes {need_width} x {need_height} (width x \
         height); use a larger picture or a preprocessing that resizes to at least the input size"
    )]
    TooSmall {
        /// Columns after resizing.
        width: u64,
        /// Rows after resizing.
        height: u64,
        /// Columns of the model's input.
        need_width: usize,
        /// Rows of the model's input.
        need_height: usize,
    },
    /// A raw frame whose length does not fit its size.
    #[error(
        "{actual} bytes given for {width} x {height} RGB pixels; give exactly width * height * 3 and at least 3"
    )]
    WrongLength {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes given.
        actual: usize,
    },
    /// The resampler refused its arguments.
    #[error("cannot be resized: {0}; try another size")]
    Resize(String),
}

impl PictureError {
    /// The same error with the file's name in front.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), cause: Box::new(self) }
    }
}
