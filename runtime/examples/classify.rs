//! Classifies one picture on a host: model file and raw pixels in, the five best classes out.
//!
//! ```text
//! cargo run --release -p resi8 --example classify -- model.r8 pixels.rgb
//! ffmpeg -i cat.jpg -vf scale=32:32 -f rawvideo -pix_fmt rgb24 - | cargo run --release -p resi8 --example classify -- model.r8
//! ```
//!
//! Pixels are height x width x channels 8-bit values, row by row, channels innermost, in the model's channel order;
//! from standard input when no file is named. `resi8-run run` does the same from JPEG and PNG files.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::process::ExitCode;

use resi8::{AlignedBuf, Buffers, Isa, ModelFile, Plan, Session, softmax, top_k};

fn classify(model: &str, pixels: &[u8]) -> Result<(), Box<dyn Error>> {
    // Weights that the kernels pack are read when the session begins, and are not in memory twice.
    let mut source = File::open(model).map_err(|error| format!("{model}: {error}"))?;
    let file = ModelFile::read(&mut source, Isa::best())?;
    let plan = Plan::new(file.model(), Isa::best())?;

    // A session works in the caller's memory; any number of pictures can go through one session.
    let mut arena = AlignedBuf::new(plan.arena_len())?;
    let mut packed = AlignedBuf::new(plan.packed_len())?;
    let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
    let mut session = Session::load(plan, buffers, &mut source)?;

    // The ranking is exact; the probabilities are floats, for people.
    let scale = session.logits_scale();
    let logits = session.classify(pixels)?;
    let probabilities = softmax(logits.iter().map(|&logit| logit as f32 * scale));
    let mut best = [(0, 0); 5];
    for (class, _) in top_k(logits, &mut best) {
        let label = plan.model().label(*class).unwrap_or("(no label)");
        println!("{:6.2} % class {class} {label}", 100.0 * probabilities[*class]);
    }
    Ok(())
}

fn read_pixels(path: Option<&String>) -> Result<Vec<u8>, Box<dyn Error>> {
    let Some(path) = path else {
        let mut pixels = Vec::new();
        std::io::stdin().read_to_end(&mut pixels)?;
        return Ok(pixels);
    };
    Ok(std::fs::read(path).map_err(|error| format!("{path}: {error}"))?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(model) = arguments.first() else {
        eprintln!("usage: classify model.r8 [pixels.rgb]");
        return ExitCode::from(2);
    };
    match read_pixels(arguments.get(1)).and_then(|pixels| classify(model, &pixels)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
