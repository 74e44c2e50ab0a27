//! The whole call sequence in static memory, without a heap: where firmware starts from.
//!
//! ```text
//! cargo run --release -p resi8 --example static_buffers -- model.r8 pixels.rgb
//! ```
//!
//! `pixels.rgb` holds the raw 8-bit input: height x width x channels values, row by row, channels innermost. Firmware
//! has the model in flash (`include_bytes!`) and the pixels from its camera; `main` reads both from files instead.
//! [`classify`] is what firmware does; the rest is this program's stand-in for a board.

use std::fs::File;
use std::io::Read;
use std::process::ExitCode;

use resi8::{Buffers, Isa, LoadError, Model, Plan, PlanError, RunError, Session};
use static_cell::ConstStaticCell;

/// Room for the activations of a ResNet-8 or a ResNet-20 on 32 x 32 pixels. The converter prints what a model needs.
const ARENA_LEN: usize = 64 * 1024;

/// Static memory with the alignment that every kernel is content with.
#[repr(align(64))]
struct Aligned<const N: usize>([u8; N]);

static ARENA: ConstStaticCell<Aligned<ARENA_LEN>> = ConstStaticCell::new(Aligned([0; ARENA_LEN]));

/// These two stand for a board's flash and its camera.
static FLASH: ConstStaticCell<[u8; 1 << 20]> = ConstStaticCell::new([0; 1 << 20]);
static CAMERA: ConstStaticCell<[u8; 1 << 18]> = ConstStaticCell::new([0; 1 << 18]);

/// What can go wrong, a stage each. No variant owns memory.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Checks the model, checks this device with the model's self-test, and classifies one picture.
fn classify(file: &'static [u8], arena: &'static mut [u8], pixels: &[u8]) -> Result<usize, Failure> {
    // Once, at boot. Every check of the file happens here; the weights stay where they are.
    let model = Model::parse(file)?;
    // The portable kernels read weights in place, so that nothing is packed into RAM. `Isa::best()` picks the fastest
    // kernels of the CPU instead; `plan.packed_len()` then says how large `packed` has to be.
    let plan = Plan::new(model, Isa::Portable)?;
    let mut session = Session::new(plan, Buffers { arena, packed: &mut [] })?;
    session.self_test()?;

    // For every frame. A driver that can subtract 128 itself writes to `session.input_mut()` and calls `session.run()`.
    let logits = session.classify(pixels)?;
    let mut best = [(0, 0)];
    Ok(resi8::top_k(logits, &mut best).first().map_or(0, |(class, _)| *class))
}

/// Fills the front of `memory` with a file.
fn load(path: &str, memory: &'static mut [u8]) -> std::io::Result<&'static [u8]> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let place = memory.get_mut(..length).ok_or(std::io::ErrorKind::StorageFull)?;
    file.read_exact(place)?;
    Ok(place)
}

fn run(model: &str, picture: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let file = load(model, FLASH.take()).map_err(|error| format!("{model}: {error}"))?;
    let pixels = load(picture, CAMERA.take()).map_err(|error| format!("{picture}: {error}"))?;
    Ok(classify(file, &mut ARENA.take().0, pixels)?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, picture] = arguments.as_slice() else {
        eprintln!("usage: static_buffers model.r8 pixels.rgb");
        return ExitCode::from(2);
    };
    match run(model, picture) {
        Ok(class) => {
            println!("class {class}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
