//! `resi8 export`: a model file becomes source code.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{ArgGroup, Args};
use resi8::{Isa, Plan};
use resi8_converter::export::Export;
use resi8_run::file::{self, parse_isa};
use resi8_run::{output, say};
use serde::Serialize;

use super::NewFile;

/// The end of `export --help`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  resi8 export net.r8 --c firmware/src/                 model.h and model.c, C11 or C++17
  resi8 export net.r8 --rust firmware/src/              model.rs, for no_std, and model.r8, which it includes
  resi8 export net.r8 --c src/ --isa cortexm-dsp        with the arena that the kernels for Cortex-M4, M7 and M33 need
  resi8 export net.r8 --c . --name digits               digits.h and digits.c, with digits_file and DIGITS_ARENA_LEN

Files of an earlier export are replaced. C compilers take about 2 s for each MB of the model.";

/// Arguments of `export`.
#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("languages").args(["c", "rust"]).required(true).multiple(true)))]
pub(crate) struct ExportArgs {
    /// Model file, made by `resi8 convert`
    model: PathBuf,
    /// Write NAME.h and NAME.c into this folder
    #[arg(long, value_name = "FOLDER")]
    c: Option<PathBuf>,
    /// Write NAME.rs and NAME.r8 into this folder
    #[arg(long, value_name = "FOLDER")]
    rust: Option<PathBuf>,
    /// What the files are called and the identifiers of C begin with
    #[arg(long, default_value = "model")]
    name: String,
    /// Instruction set whose buffer sizes are stated; for Cortex-M3 cortexm-v7, M4, M7 and M33 cortexm-dsp, M55 cortexm-mve. By default
    /// portable, or the one that the model was converted for
    #[arg(long, value_name = "NAME", value_parser = parse_isa)]
    isa: Option<Isa>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `export --json` prints.
#[derive(Debug, Serialize)]
struct Exported {
    files: Vec<String>,
    isa: &'static str,
    arena_bytes: usize,
    packed_bytes: usize,
    file_bytes: usize,
}

/// Runs the command.
pub(crate) fn export(args: &ExportArgs) -> Result<()> {
    let bytes = file::read(&args.model)?;
    let model = file::parse(&args.model, &bytes)?;
    let isa = args.isa.or(model.target()).unwrap_or(Isa::Portable);
    let lens = Plan::buffer_lens(&model, isa).map_err(file::plan_error)?;
    let export = Export::new(&model, &bytes, isa, lens, &args.name).with_context(|| {
        format!("`{}` is no name: --name takes a letter, then up to 23 letters, digits and _", args.name)
    })?;
    let files = files(args, &export, &bytes);
    // Nothing gets its name before it is known that every place can be written to.
    let places =
        files.iter().map(|file| NewFile::create(&file.path, file.option)).collect::<Result<Vec<_>>>()?;
    for (place, file) in places.into_iter().zip(&files) {
        place.finish(&file.content)?;
    }
    let exported = Exported {
        files: files.iter().map(|file| file.path.display().to_string()).collect(),
        isa: isa.name(),
        arena_bytes: lens.arena_len,
        packed_bytes: lens.packed_len,
        file_bytes: bytes.len(),
    };
    if args.json {
        return output::print_json(&exported);
    }
    exported.files.iter().try_for_each(|file| say!("wrote {file}"))?;
    say!("arena   {} bytes with {}", output::grouped(exported.arena_bytes as u64), exported.isa)
}

/// One file to write.
struct File {
    path: PathBuf,
    option: &'static str,
    content: Vec<u8>,
}

fn files(args: &ExportArgs, export: &Export<'_>, model: &[u8]) -> Vec<File> {
    let file = |folder: &Path, option, extension: &str, content| File {
        path: folder.join(format!("{}.{extension}", args.name)),
        option,
        content,
    };
    let mut files = Vec::new();
    if let Some(folder) = &args.c {
        files.push(file(folder, "--c", "h", export.c_header().into_bytes()));
        files.push(file(folder, "--c", "c", export.c_source().into_bytes()));
    }
    if let Some(folder) = &args.rust {
        files.push(file(folder, "--rust", "rs", export.rust_module().into_bytes()));
        files.push(file(folder, "--rust", "r8", model.to_vec()));
    }
    files
}
