//! JPEG and PNG bytes to 8-bit RGB.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use libjpeg_turbo_rs::{DecodeLimits, Decoder as JpegDecoder, PixelFormat};
use png::{ColorType, Transformations};

use crate::error::PictureError;

/// Most pixels a picture can have: 64 million, about 200 MB as RGB.
pub const MAX_PIXELS: usize = 64_000_000;

/// Most scans of a progressive JPEG; encoders write about ten, a file with thousands is made to keep a decoder busy.
const MAX_JPEG_SCANS: usize = 500;

const JPEG_MAGIC: &[u8] = &[0xFF, 0xD8, 0xFF];
const PNG_MAGIC: &[u8] = &[0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n'];

/// A decoded picture: `height * width` pixels, row by row, red, green and blue, one byte each.
///
/// At least one pixel, at most [`MAX_PIXELS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbPicture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl RgbPicture {
    /// A raw frame, `width * height * 3` bytes.
    ///
    /// # Errors
    /// The length does not fit the size, there is no pixel, or there are more than [`MAX_PIXELS`].
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, PictureError> {
        let expected = pixel_count(width, height)? * 3;
        if expected == 0 || pixels.len() != expected {
            return Err(PictureError::WrongLength { width, height, actual: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Reads and decodes a JPEG or PNG file; which of them is told from the first bytes, not from the name.
    ///
    /// # Errors
    /// The file cannot be read, is not a JPEG or PNG picture, is damaged or too large. The message names the file.
    pub fn open(path: &Path) -> Result<Self, PictureError> {
        let read = || {
            let mut file = File::open(path).map_err(PictureError::Read)?;
            let mut bytes = Vec::new();
            // A large file that is no picture is found out before it is read.
            file.by_ref().take(PNG_MAGIC.len() as u64).read_to_end(&mut bytes).map_err(PictureError::Read)?;
            if Format::of(&bytes).is_none() {
                return Err(PictureError::NotAPicture);
            }
            file.read_to_end(&mut bytes).map_err(PictureError::Read)?;
            Self::decode(&bytes)
        };
        read().map_err(|e| e.in_file(path))
    }

    /// Decodes a JPEG or PNG file held in memory.
    ///
    /// Grey becomes equal red, green and blue; CMYK is converted as Pillow does (`255 * (1-C) * (1-K)`); a palette
    /// is expanded; alpha is dropped, not blended; of 16 bits the upper 8 are kept. EXIF orientation, gamma and
    /// colour profiles are ignored.
    ///
    /// # Errors
    /// The bytes are not a JPEG or PNG picture, are damaged, or hold more than [`MAX_PIXELS`] pixels.
    pub fn decode(bytes: &[u8]) -> Result<Self, PictureError> {
        match Format::of(bytes) {
            Some(Format::Jpeg) => decode_jpeg(bytes),
            Some(Format::Png) => decode_png(bytes),
            None => Err(PictureError::NotAPicture),
        }
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels, row by row, three bytes each.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Gives the pixel buffer back, so that a stream of frames can use it again.
    #[must_use]
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

/// The formats that can be read.
enum Format {
    Jpeg,
    Png,
}

impl Format {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b if b.starts_with(JPEG_MAGIC) => Some(Self::Jpeg),
            b if b.starts_with(PNG_MAGIC) => Some(Self::Png),
            _ => None,
        }
    }
}

/// `width * height`, at most [`MAX_PIXELS`].
fn pixel_count(width: usize, height: usize) -> Result<usize, PictureError> {
    let count = width.checked_mul(height).filter(|&n| n <= MAX_PIXELS);
    count.ok_or(PictureError::TooLarge { width, height })
}

fn jpeg_error(detail: impl ToString) -> PictureError {
    PictureError::Decode { format: "JPEG", detail: detail.to_string() }
}

fn decode_jpeg(bytes: &[u8]) -> Result<RgbPicture, PictureError> {
    let limits =
        DecodeLimits { max_pixels: MAX_PIXELS as u64, max_scans: MAX_JPEG_SCANS, ..DecodeLimits::default() };
    let mut decoder = JpegDecoder::new_with_limits(bytes, limits).map_err(jpeg_error)?;
    let (width, height) = (decoder.header().width(), decoder.header().height());
    pixel_count(width, height)?;
    check_jpeg_frame(&decoder)?;
    let cmyk = decoder.header().components.len() == 4;
    decoder.set_output_format(if cmyk { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let image = decoder.decode_image().map_err(jpeg_error)?;
    let pixels = if cmyk { inverted_cmyk_to_rgb(&image.data) } else { image.data };
    RgbPicture::new(image.width, image.height, pixels)
}

/// Refuses the frames that libjpeg refuses too (no height, 12 bits, sampling factors that do not divide) and, of the
/// four-component ones, those that the decoder would index out of bounds on (found by mutating files).
fn check_jpeg_frame(decoder: &JpegDecoder<'_>) -> Result<(), PictureError> {
    let header = decoder.header();
    let factors: Vec<(u8, u8)> =
        header.components.iter().map(|c| (c.horizontal_sampling, c.vertical_sampling)).collect();
    let largest = factors.iter().fold((0, 0), |m, f| (m.0.max(f.0), m.1.max(f.1)));
    let divides = |of: u8, by: u8| of.checked_rem(by) == Some(0);
    if header.width() == 0 || header.height() == 0 {
        return Err(jpeg_error("no width or no height in its header"));
    }
    if header.precision != 8 {
        return Err(jpeg_error(format_args!("{} bits a sample instead of 8", header.precision)));
    }
    if !factors.iter().all(|f| divides(largest.0, f.0) && divides(largest.1, f.1)) {
        return Err(jpeg_error("fractional chroma sampling"));
    }
    if let [first, second, third, fourth] = factors[..]
        && (first != largest || fourth != largest || second != third)
    {
        return Err(jpeg_error("unusual sampling of the CMYK components"));
    }
    Ok(())
}

/// CMYK as JPEG files hold it, inverted (255 is no ink), to RGB.
fn inverted_cmyk_to_rgb(cmyk: &[u8]) -> Vec<u8> {
    let (pixels, _) = cmyk.as_chunks::<4>();
    pixels.iter().flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| scale_by(ink, k))).collect()
}

/// `round(a * b / 255)`.
fn scale_by(a: u8, b: u8) -> u8 {
    let product = u16::from(a) * u16::from(b) + 127;
    u8::try_from(product / 255).unwrap_or(u8::MAX)
}

fn png_error(detail: impl ToString) -> PictureError {
    PictureError::Decode { format: "PNG", detail: detail.to_string() }
}

fn decode_png(bytes: &[u8]) -> Result<RgbPicture, PictureError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let size = decoder.read_header_info().map_err(png_error)?;
    let (width, height) = (size.width as usize, size.height as usize);
    pixel_count(width, height)?;
    let mut reader = decoder.read_info().map_err(png_error)?;
    let length = reader.output_buffer_size().ok_or(PictureError::TooLarge { width, height })?;
    let mut data = vec![0; length];
    let info = reader.next_frame(&mut data).map_err(png_error)?;
    data.truncate(info.buffer_size());
    let pixels = match info.color_type {
        ColorType::Rgb => data,
        ColorType::Rgba => data.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
        ColorType::Grayscale => data.iter().flat_map(|&v| [v; 3]).collect(),
        ColorType::GrayscaleAlpha => data.as_chunks::<2>().0.iter().flat_map(|&[v, _]| [v; 3]).collect(),
        ColorType::Indexed => return Err(png_error("palette not expanded")),
    };
    RgbPicture::new(width, height, pixels)
}
