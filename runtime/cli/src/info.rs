//! `info`: what this machine and this model are.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use resi8::{Isa, Model, Plan};
use serde::Serialize;

use crate::file;
use crate::{output, say};

/// Arguments of `info`.
#[derive(Debug, Clone, Args)]
pub struct InfoArgs {
    /// Model file; without one, only the machine is described
    pub model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Sizes of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Bytes of the arena with the instruction set that was asked for.
    pub arena_bytes: usize,
    /// Bytes of packed weights with it.
    pub packed_bytes: usize,
    /// Bytes of the model file.
    pub file_bytes: usize,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Weights and biases.
    pub parameters: u64,
}

impl Sizes {
    /// Sizes of a model for an instruction set.
    ///
    /// # Errors
    /// The instruction set is not available, or the buffers exceed the address space.
    pub fn new(model: &Model<'_>, isa: Isa) -> Result<Self> {
        let lens = Plan::buffer_lens(model, isa).map_err(file::plan_error)?;
        Ok(Self {
            arena_bytes: lens.arena_len,
            packed_bytes: lens.packed_len,
            file_bytes: model.file_len(),
            macs: model.macs(),
            parameters: model.parameters(),
        })
    }

    /// The sizes in words, one a line.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "arena   {} ({} bytes, exact)\npacked  {}\nfile    {}\nwork    {} MACs, {} parameters",
            output::bytes(self.arena_bytes),
            output::grouped(self.arena_bytes as u64),
            if self.packed_bytes == 0 {
                "none: weights are read in place".into()
            } else {
                output::bytes(self.packed_bytes)
            },
            output::bytes(self.file_bytes),
            output::count(self.macs),
            output::grouped(self.parameters)
        )
    }
}

/// What `info --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Info {
    version: &'static str,
    format_version: u16,
    isas: Vec<&'static str>,
    isa: &'static str,
    /// What the sizes are for: a model that is converted for a microcontroller has the sizes of its kernels.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
    #[serde(flatten)]
    sizes: Option<Sizes>,
}

/// Runs the command.
///
/// # Errors
/// The model cannot be used.
pub fn info(args: &InfoArgs) -> Result<()> {
    let bytes = args.model.as_deref().map(file::read).transpose()?;
    let model = match (&args.model, &bytes) {
        (Some(path), Some(bytes)) => Some(file::parse(path, bytes)?),
        _ => None,
    };
    let isa = model.and_then(|model| model.target()).unwrap_or_else(Isa::best);
    let sizes = model.as_ref().map(|model| Sizes::new(model, isa)).transpose()?;
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        format_version: resi8::format::FORMAT_VERSION,
        isas: Isa::available().map(Isa::name).collect(),
        isa: Isa::best().name(),
        target: model.and_then(|model| model.target()).map(Isa::name),
        sizes,
    };
    if args.json {
        return output::print_json(&info);
    }
    say!("resi8 {}, model format {}", info.version, info.format_version)?;
    say!("instruction sets here: {} (best: {})", info.isas.join(", "), Isa::best())?;
    if let (Some(model), Some(sizes)) = (model, info.sizes) {
        let input = model.input();
        if let Some(target) = model.target() {
            say!("weights transformed for {target}")?;
        }
        say!("\n{}", sizes.words())?;
        say!("\n{}", resi8_picture::words(&model.preprocess(), input.h(), input.w()))?;
        if !model.info().is_empty() {
            say!("\n{}", model.info())?;
        }
    }
    Ok(())
}
