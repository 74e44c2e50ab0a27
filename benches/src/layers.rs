//! Single convolutions.

use std::fmt;

use resi8::Model;
use resi8::model::{Conv, Layer, Op, Window};

use crate::SEED;
use crate::common::{Builder, SkipSpec, Values, WindowSpec};
use crate::file;

/// Everything about a convolution that its speed depends on, but the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Rows, columns and channels of the input.
    input: [usize; 3],
    /// Whether that is the network's own input.
    pixels: bool,
    /// Output channels.
    channels: usize,
    window: WindowSpec,
    skip: Option<SkipShape>,
    pool: Option<WindowSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SkipShape {
    stride: usize,
    first_channel: usize,
    channels: usize,
}

impl LayerShape {
    /// The shapes of a network's convolutions, each once.
    #[must_use]
    pub fn of_network(model: &Model<'_>) -> Vec<Self> {
        let mut shapes = Vec::new();
        for layer in model.layers() {
            if let Op::Conv(conv) = &layer.op {
                let shape = Self::new(&layer, conv);
                if !shapes.contains(&shape) {
                    shapes.push(shape);
                }
            }
        }
        shapes
    }

    fn new(layer: &Layer<'_>, conv: &Conv<'_>) -> Self {
        let skip = conv.skip.map(|skip| SkipShape {
            stride: skip.stride(),
            first_channel: skip.channel(),
            channels: skip.tensor.c(),
        });
        Self {
            input: [layer.input.h(), layer.input.w(), layer.input.c()],
            pixels: layer.input.index() == 0,
            channels: layer.output.c(),
            window: spec(conv.window),
            skip,
            pool: conv.pool.map(spec),
        }
    }

    /// A model with this layer: 1x1 convolutions that make its inputs of pixels, the layer, mean and classifier.
    ///
    /// # Panics
    /// The model builder is broken.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let [h, w, c] = self.input;
        let scale = self.skip.map_or(1, |skip| skip.stride);
        let mut builder = Builder::new([h * scale, w * scale, 3], Values::Bell, SEED);
        let skip = self.skip.map(|skip| SkipSpec {
            tensor: builder.conv(0, skip.channels, WindowSpec::POINT, None),
            stride: skip.stride,
            channel: skip.first_channel,
            in_place: skip.stride == 1 && skip.channels == self.channels,
        });
        let point = WindowSpec { stride: [scale; 2], ..WindowSpec::POINT };
        let input = if self.pixels { 0 } else { builder.conv(0, c, point, None) };
        let map = match self.pool {
            Some(pool) => builder.conv_pool(input, self.channels, self.window, pool),
            None => builder.conv(input, self.channels, self.window, skip),
        };
        let mean = builder.average_pool(map);
        builder.dense(mean, 1);
        file::finish(builder)
    }

    /// The index of the layer in that model.
    #[must_use]
    pub fn layer_index(&self) -> usize {
        usize::from(!self.pixels) + usize::from(self.skip.is_some())
    }
}

fn spec(window: Window) -> WindowSpec {
    WindowSpec { kernel: window.kernel(), stride: window.stride(), pads: window.pads() }
}

/// `3x3/2 56x56x64 to 128 + shortcut`: kernel and stride, input, output channels, what else is part of it.
impl fmt::Display for LayerShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([rows, columns], [stride, _], [h, w, c]) = (self.window.kernel, self.window.stride, self.input);
        write!(f, "{rows}x{columns}")?;
        if stride > 1 {
            write!(f, " stride {stride}")?;
        }
        write!(f, ", {h}x{w}x{c} to {}", self.channels)?;
        match self.skip {
            Some(skip) if skip.stride > 1 => f.write_str(" + every second pixel")?,
            Some(_) => f.write_str(" + shortcut")?,
            None => {}
        }
        f.write_str(if self.pool.is_some() { " + pooling" } else { "" })
    }
}
