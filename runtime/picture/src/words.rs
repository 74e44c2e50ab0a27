//! The preprocessing in plain words.

use resi8::{ChannelOrder, Preprocess, Resize};

/// Says in plain words, several short lines without a final line feed, what happens between a picture and a network
/// whose input is `h` rows of `w` pixels.
#[must_use]
pub fn words(preprocess: &Preprocess, h: usize, w: usize) -> String {
    let resize = match preprocess.resize {
        Resize::None => "none".to_owned(),
        Resize::ShorterSide(n) => {
            format!("shorter side to {n}, aspect ratio kept, antialiased bilinear filter")
        }
        Resize::Stretch => {
            format!("to {w} x {h} (width x height), aspect ratio not kept, antialiased bilinear filter")
        }
    };
    let channels = match preprocess.order {
        ChannelOrder::Gray => "grey (luma)",
        ChannelOrder::Rgb => "red, green, blue",
        ChannelOrder::Bgr => "blue, green, red",
    };
    format!(
        "resize:    {resize}\n\
         crop:      central {w} x {h} (width x height), EXIF orientation not applied\n\
         channels:  {channels}\n\
         normalise: {}\n\
         folded:    the normalisation is inside the first layer, the model takes raw 8-bit pixels",
        normalisation(preprocess)
    )
}

fn normalisation(preprocess: &Preprocess) -> String {
    let channels = preprocess.order.channels();
    let list = |values: &[f32]| {
        let shown: Vec<String> = values.iter().take(channels).map(ToString::to_string).collect();
        shown.join(" ")
    };
    let (mean, std) = (list(&preprocess.mean), list(&preprocess.std));
    let scale = preprocess.pixel_scale;
    let pixel = if (scale * 255.0 - 1.0).abs() < 1e-6 {
        "pixel / 255".to_owned()
    } else if scale.to_bits() == 1.0_f32.to_bits() {
        "pixel".to_owned()
    } else {
        format!("pixel * {scale}")
    };
    format!("({pixel} - mean) / std with mean {mean} and std {std}")
}
