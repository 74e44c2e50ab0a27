//! Places the linker script of the board, the model and a sample picture where `main.rs` and the linker find them.

use std::path::{Path, PathBuf};
use std::{env, fs};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// The network that comes with the runtime's tests.
const DEFAULT_MODEL: &str = "../../runtime/tests/models/resnet8-low-memory.r8";

/// Pictures in the form of CIFAR-10: a label, then planes of 32 x 32 values.
const PICTURES: &str = "../../converter/models/calibration/drawn_128.bin";

fn main() -> Result {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let board = env::var("BOARD").unwrap_or_else(|_| "mps2".to_owned());
    copy(Path::new(&format!("memory/{board}.x")), &out.join("memory.x"))?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rerun-if-env-changed=BOARD");

    let model = env::var("MODEL").unwrap_or_else(|_| DEFAULT_MODEL.to_owned());
    copy(Path::new(&model), &out.join("model.r8"))?;
    println!("cargo:rerun-if-env-changed=MODEL");

    let record = fs::read(PICTURES)?;
    let planes = record.get(1..).ok_or("no picture")?;
    let pixels: Vec<u8> =
        (0..1024).flat_map(|pixel| [planes[pixel], planes[1024 + pixel], planes[2048 + pixel]]).collect();
    fs::write(out.join("picture.rgb"), pixels)?;
    println!("cargo:rerun-if-changed={PICTURES}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()))?;
    println!("cargo:rerun-if-changed={}", from.display());
    Ok(())
}
