//! Writes a tiny model, for the tests in C: each kind of layer and shortcut once, a label for every class.
//!
//! ```text
//! cargo run -p resi8-capi --example tiny_model -- tiny.r8
//! ```

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{Builder, SkipSpec, Values, WindowSpec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: tiny_model FILE")?;
    let mut b = Builder::new([6, 5, 1], Values::Random, 1);
    let pool = WindowSpec { kernel: [2, 2], stride: [1, 1], pads: [0; 4] };
    let stem = b.conv_pool(0, 2, WindowSpec::SAME3, pool);
    let inner = b.conv(stem, 3, WindowSpec::SAME3, None);
    let skip = SkipSpec { tensor: stem, stride: 1, channel: 0, in_place: true };
    let block = b.conv(inner, 2, WindowSpec::POINT, Some(skip));
    let small = b.max_pool(block, WindowSpec { stride: [2, 2], ..pool });
    let mean = b.average_pool(small);
    b.dense(mean, 3);
    let mut content = b.finish();
    content.labels = ["cat", "dog", "bird"].map(String::from).to_vec();
    let file = content.to_bytes().ok_or("the model is too large for the format")?;
    Ok(std::fs::write(path, file)?)
}
