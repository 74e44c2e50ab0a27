//! How the network wants its pictures, from the command line. Nothing is guessed: without a preset or mean and
//! standard deviation there is no conversion.

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use resi8::{ChannelOrder, Preprocess, Resize};

/// Preprocessing options.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Preprocessing (as in training)")]
pub(crate) struct PreprocessArgs {
    /// Preprocessing of a well-known kind; single values can be overridden below
    #[arg(long, value_name = "KIND")]
    pub(crate) preprocess: Option<Preset>,
    /// Mean per channel in units of pixel / 255, for example 0.485,0.456,0.406
    #[arg(long, value_delimiter = ',', value_name = "M,M,M", allow_negative_numbers = true)]
    pub(crate) mean: Option<Vec<f32>>,
    /// Standard deviation per channel in units of pixel / 255, for example 0.229,0.224,0.225
    #[arg(long, value_delimiter = ',', value_name = "S,S,S")]
    pub(crate) std: Option<Vec<f32>>,
    /// How a picture is scaled before the centre crop: a number (its shorter side), stretch, or none
    #[arg(long, value_name = "HOW", value_parser = parse_resize)]
    pub(crate) resize: Option<Resize>,
    /// Side of the centre crop in pixels: the network's input; needed only where the ONNX file leaves it open
    #[arg(long, value_name = "N")]
    pub(crate) crop: Option<usize>,
    /// Order of the channels that the network was trained with
    #[arg(long, value_name = "ORDER", default_value = "rgb")]
    pub(crate) channel_order: Order,
}

/// Well-known preprocessings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// torchvision's ImageNet: shorter side to 8/7 of the input, centre crop, mean and deviation of ImageNet
    Imagenet,
    /// Mean and deviation of CIFAR-10; shorter side to the input's
    Cifar,
    /// Pixels from 0 to 255 as they are; shorter side to the input's
    Raw,
}

/// Channel orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// One channel
    Gray,
    /// Red, green, blue
    Rgb,
    /// Blue, green, red (OpenCV, Caffe)
    Bgr,
}

/// Reads `--resize`.
pub(crate) fn parse_resize(text: &str) -> Result<Resize, String> {
    match text {
        "none" => Ok(Resize::None),
        "stretch" => Ok(Resize::Stretch),
        _ => match text.parse() {
            Ok(pixels @ 1..) => Ok(Resize::ShorterSide(pixels)),
            _ => Err("give a number of pixels for the shorter side, stretch, or none".into()),
        },
    }
}

/// Side of the shorter side before a centre crop to `side`, as torchvision's 256 for 224.
fn eight_sevenths(side: usize) -> usize {
    (side * 8).div_ceil(7)
}

impl PreprocessArgs {
    /// The preprocessing for an input of `h` x `w` pixels.
    pub(crate) fn build(&self, h: usize, w: usize) -> Result<Preprocess> {
        if let Some(crop) = self.crop {
            ensure!(
                [h, w] == [crop; 2],
                "--crop is {crop} and the network's input is {h} x {w}: they must be the same"
            );
        }
        let order = match self.channel_order {
            Order::Gray => ChannelOrder::Gray,
            Order::Rgb => ChannelOrder::Rgb,
            Order::Bgr => ChannelOrder::Bgr,
        };
        let mean_and_std = self.mean_and_std(order)?;
        let side = h.min(w);
        let shorter = if self.preprocess == Some(Preset::Imagenet) { eight_sevenths(side) } else { side };
        let resize = match (self.resize, u16::try_from(shorter)) {
            (Some(resize), _) => resize,
            (None, Ok(shorter)) => Resize::ShorterSide(shorter),
            (None, Err(_)) => bail!("the network's input of {h} x {w} pixels is too large"),
        };
        let raw = self.preprocess == Some(Preset::Raw);
        Ok(Preprocess {
            order,
            resize,
            pixel_scale: if raw { 1.0 } else { 1.0 / 255.0 },
            mean: mean_and_std[0],
            std: mean_and_std[1],
        })
    }

    /// Four entries each, those behind the channels 0 and 1.
    fn mean_and_std(&self, order: ChannelOrder) -> Result<[[f32; 4]; 2]> {
        let [mut mean, mut std] = match self.preprocess {
            Some(Preset::Imagenet) => [vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]],
            Some(Preset::Cifar) => [vec![0.4914, 0.4822, 0.4465], vec![0.2470, 0.2435, 0.2616]],
            Some(Preset::Raw) => {
                ensure!(
                    self.mean.is_none() && self.std.is_none(),
                    "--preprocess raw has no mean and no standard deviation: leave out --mean and --std"
                );
                return Ok([[0.0; 4], [1.0; 4]]);
            }
            None => match (&self.mean, &self.std) {
                (Some(mean), Some(std)) => [mean.clone(), std.clone()],
                _ => bail!(
                    "say how the network's pictures were normalised in training: --preprocess imagenet, cifar or raw, \
                     or --mean and --std together"
                ),
            },
        };
        if self.preprocess.is_some() && order == ChannelOrder::Bgr {
            (mean, std) = (mean.into_iter().rev().collect(), std.into_iter().rev().collect());
        }
        let mean = self.mean.clone().unwrap_or(mean);
        let std = self.std.clone().unwrap_or(std);
        ensure!(std.iter().all(|&s| s > 0.0 && s.is_finite()), "--std must be above 0");
        ensure!(mean.iter().all(|m| m.is_finite()), "--mean must be numbers");
        Ok([padded("--mean", &mean, order, 0.0)?, padded("--std", &std, order, 1.0)?])
    }
}

fn padded(option: &str, values: &[f32], order: ChannelOrder, rest: f32) -> Result<[f32; 4]> {
    let channels = order.channels();
    ensure!(
        values.len() == channels,
        "{option} has {} values and the channel order {channels} channels: give one value a channel",
        values.len()
    );
    Ok([0, 1, 2, 3].map(|c| values.get(c).copied().unwrap_or(rest)))
}
