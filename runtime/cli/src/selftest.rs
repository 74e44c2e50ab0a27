//! `selftest`: does this machine compute what the converter computed?

use anyhow::Result;
use clap::Args;
use resi8::Isa;

use crate::file::{self, Memory, ModelArgs, ThreadArgs};
use crate::say;

/// Arguments of `selftest`.
#[derive(Debug, Clone, Args)]
pub struct SelfTestArgs {
    /// Model to test; without `--isa`, with every instruction set of this CPU
    #[command(flatten)]
    pub model: ModelArgs,
    /// On how many threads
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// Runs the command.
///
/// # Errors
/// The model cannot be used, or a layer computes something else than at conversion.
pub fn selftest(args: &SelfTestArgs) -> Result<()> {
    let bytes = file::read(&args.model.model)?;
    let model = file::parse(&args.model.model, &bytes)?;
    let isas: Vec<Isa> = args.model.isa.map_or_else(|| Isa::available().collect(), |isa| vec![isa]);
    for isa in isas {
        let plan = args.threads.plan(model, isa)?;
        let mut memory = Memory::new(&plan)?;
        memory.session(plan)?.self_test()?;
        say!("{isa}: all {} layers as at conversion", model.layer_count())?;
    }
    Ok(())
}
