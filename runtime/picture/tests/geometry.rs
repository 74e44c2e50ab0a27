//! Resize, crop and channel order against Pillow's numbers.
//!
//! The numbers were written once by Pillow 13.0.0 and NumPy 2.4.6:
//!
//! ```python
//! y, x = np.mgrid[0:5, 0:7]
//! picture = Image.fromarray(np.stack([x*40, y*60, (x*37 + y*91) % 256], 2).astype(np.uint8))
//! np.asarray(picture.resize(size, Image.BILINEAR)).ravel()
//! ```

mod common;

use common::preprocess;
use resi8::{ChannelOrder, Resize};
use resi8_picture::{PictureError, RgbPicture, from_decoded, words};

/// The picture above: 7 columns, 5 rows.
fn picture() -> RgbPicture {
    let pixel = |y: usize, x: usize| [x * 40, y * 60, (x * 37 + y * 91) % 256];
    let values = (0..5).flat_map(|y| (0..7).flat_map(move |x| pixel(y, x)));
    RgbPicture::new(7, 5, values.map(|v| u8::try_from(v).unwrap()).collect()).unwrap()
}

/// A picture whose red is the row and whose green is the column.
fn coordinates(width: usize, height: usize) -> RgbPicture {
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [y % 256, x % 256, 7]));
    RgbPicture::new(width, height, pixels.map(|v| u8::try_from(v).unwrap()).collect()).unwrap()
}

fn stretched(h: usize, w: usize) -> Vec<u8> {
    from_decoded(&picture(), &preprocess(ChannelOrder::Rgb, Resize::Stretch), h, w).unwrap()
}

#[test]
fn reducing_is_antialiased_as_in_pillow() {
    let pillow = [
        21, 26, 58, 83, 26, 116, 157, 26, 162, 219, 26, 137, 21, 120, 137, 83, 120, 88, 157, 120, 117, 219,
        120, 132, 21, 214, 88, 83, 214, 146, 157, 214, 109, 219, 214, 126,
    ];
    assert_eq!(stretched(3, 4), pillow);
}

#[test]
fn one_direction_alone_is_scaled_as_in_pillow() {
    let across = [
        13, 0, 12, 62, 0, 58, 120, 0, 111, 178, 0, 164, 227, 0, 210, 13, 60, 103, 62, 60, 149, 120, 60, 202,
        178, 60, 142, 227, 60, 45, 13, 120, 194, 62, 120, 97, 120, 120, 37, 178, 120, 90, 227, 120, 136, 13,
        180, 29, 62, 180, 75, 120, 180, 128, 178, 180, 181, 227, 180, 227, 13, 240, 120, 62, 240, 166, 120,
        240, 172, 178, 240, 16, 227, 240, 62,
    ];
    assert_eq!(stretched(5, 5), across);
    let down = [
        0, 26, 39, 40, 26, 76, 80, 26, 113, 120, 26, 150, 160, 26, 187, 200, 26, 114, 240, 26, 151, 0, 120,
        125, 40, 120, 162, 80, 120, 57, 120, 120, 94, 160, 120, 131, 200, 120, 111, 240, 120, 148, 0, 214,
        69, 40, 214, 106, 80, 214, 143, 120, 214, 180, 160, 214, 71, 200, 214, 108, 240, 214, 145,
    ];
    assert_eq!(stretched(3, 7), down);
}

#[test]
fn enlarging_interpolates_as_in_pillow() {
    let first_two_rows = [
        0, 0, 0, 22, 0, 20, 50, 0, 46, 78, 0, 72, 106, 0, 98, 134, 0, 124, 162, 0, 150, 190, 0, 176, 218, 0,
        202, 240, 0, 222, 0, 26, 40, 22, 26, 60, 50, 26, 86, 78, 26, 112, 106, 26, 138, 134, 26, 164, 162,
        26, 184, 190, 26, 132, 218, 26, 130, 240, 26, 150,
    ];
    assert_eq!(stretched(8, 10)[..60], first_two_rows);
}

/// 7 x 5, shorter side 4: 5 x 4 (4 * 7 / 5 = 5.6, truncated); of it the 3 x 3 from row 0 and column 1.
#[test]
fn shorter_side_then_centre_crop() {
    let resize = Resize::ShorterSide(4);
    let rgb = from_decoded(&picture(), &preprocess(ChannelOrder::Rgb, resize), 3, 3).unwrap();
    let pillow = [
        62, 15, 81, 120, 15, 134, 178, 15, 159, 62, 85, 127, 120, 85, 133, 178, 85, 120, 62, 155, 84, 120,
        155, 90, 178, 155, 143,
    ];
    assert_eq!(rgb, pillow);
    let bgr = from_decoded(&picture(), &preprocess(ChannelOrder::Bgr, resize), 3, 3).unwrap();
    let turned: Vec<u8> = bgr.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    assert_eq!(turned, pillow);
    // picture.convert("L") before the resize; the middle lies exactly between 116 and 117, Pillow says 117.
    let grey = from_decoded(&picture(), &preprocess(ChannelOrder::Gray, resize), 3, 3).unwrap();
    assert_eq!(grey, [37, 60, 80, 83, 101, 116, 119, 137, 160]);
}

#[test]
fn a_fitting_shorter_side_leaves_the_pixels_alone() {
    let all = from_decoded(&picture(), &preprocess(ChannelOrder::Rgb, Resize::ShorterSide(5)), 5, 7).unwrap();
    assert_eq!(all, picture().pixels());
}

/// An odd margin is split with the smaller half first: 227 to 224 begins at row and column 1, 8 to 5 as well.
#[test]
fn the_crop_begins_at_half_the_margin_rounded_down() {
    for (size, crop, first) in [(227, 224, 1), (8, 5, 1), (6, 5, 0), (7, 5, 1), (5, 5, 0)] {
        let pixels =
            from_decoded(&coordinates(size, size), &preprocess(ChannelOrder::Rgb, Resize::None), crop, crop)
                .unwrap();
        assert_eq!(pixels[..3], [first, first, 7], "{size} to {crop}");
        assert_eq!(pixels.len(), crop * crop * 3);
    }
}

#[test]
fn a_picture_smaller_than_the_crop_is_refused() {
    let none = preprocess(ChannelOrder::Rgb, Resize::None);
    let error = from_decoded(&picture(), &none, 6, 7).unwrap_err();
    assert!(matches!(error, PictureError::TooSmall { width: 7, height: 5, need_width: 7, need_height: 6 }));
    assert!(
        error.to_string().starts_with("the picture is 7 x 5 pixels where the model takes 7 x 6"),
        "{error}"
    );
    let short = preprocess(ChannelOrder::Rgb, Resize::ShorterSide(4));
    assert!(from_decoded(&picture(), &short, 5, 5).is_err());
}

#[test]
fn odd_sizes_work() {
    for (width, height) in [(1, 1), (1, 5000), (5000, 1), (3, 2), (60_000, 2), (1, 1_000_000)] {
        for resize in [Resize::ShorterSide(256), Resize::Stretch, Resize::ShorterSide(u16::MAX)] {
            for order in [ChannelOrder::Rgb, ChannelOrder::Gray] {
                let frame = RgbPicture::new(width, height, vec![200; width * height * 3]).unwrap();
                let pixels = from_decoded(&frame, &preprocess(order, resize), 224, 32).unwrap();
                assert_eq!(pixels.len(), 224 * 32 * order.channels());
                assert!(pixels.iter().all(|&v| v == 200), "{width} x {height} {resize:?}");
            }
        }
    }
    let empty = preprocess(ChannelOrder::Rgb, Resize::Stretch);
    assert!(from_decoded(&picture(), &empty, 0, 5).unwrap().is_empty());
    assert!(from_decoded(&picture(), &empty, 5, 0).unwrap().is_empty());
    assert!(from_decoded(&picture(), &preprocess(ChannelOrder::Rgb, Resize::ShorterSide(0)), 1, 1).is_err());
}

#[test]
fn the_words_say_everything() {
    let imagenet = words(&preprocess(ChannelOrder::Rgb, Resize::ShorterSide(256)), 224, 224);
    assert_eq!(
        imagenet,
        "resize:    shorter side to 256, aspect ratio kept, antialiased bilinear filter\n\
         crop:      central 224 x 224 (width x height), EXIF orientation not applied\n\
         channels:  red, green, blue\n\
         normalise: (pixel / 255 - mean) / std with mean 0.485 0.456 0.406 and std 0.229 0.224 0.225\n\
         folded:    the normalisation is inside the first layer, the model takes raw 8-bit pixels"
    );
    let mut raw = preprocess(ChannelOrder::Gray, Resize::None);
    (raw.pixel_scale, raw.mean, raw.std) = (1.0, [0.0; 4], [1.0; 4]);
    let text = words(&raw, 8, 16);
    assert!(text.contains("resize:    none\ncrop:      central 16 x 8"), "{text}");
    assert!(
        text.contains("channels:  grey (luma)\nnormalise: (pixel - mean) / std with mean 0 and std 1\n"),
        "{text}"
    );
    let mut other = preprocess(ChannelOrder::Bgr, Resize::Stretch);
    other.pixel_scale = 0.5;
    let text = words(&other, 8, 16);
    assert!(text.contains("to 16 x 8 (width x height), aspect ratio not kept"), "{text}");
    assert!(text.contains("blue, green, red") && text.contains("pixel * 0.5 - mean"), "{text}");
}
