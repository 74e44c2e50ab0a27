//! A model file, and a session in memory of the right size.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use resi8::{AlignedBuf, Buffers, FileError, Isa, Model, ModelFile, Plan, PlanError, RunError, Session};

use crate::cpus::CpuList;
use crate::pages::Pages;

/// The model and how to run it.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Model file, made by `resi8 convert`
    pub model: PathBuf,
    /// Instruction set to use instead of the best one: see `resi8-run info`
    #[arg(long, value_name = "NAME", value_parser = parse_isa)]
    pub isa: Option<Isa>,
}

impl ModelArgs {
    /// The instruction set that was asked for, or the best one here.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa.unwrap_or_else(Isa::best)
    }
}

/// On how many threads a model runs.
#[derive(Debug, Clone, Args)]
pub struct ThreadArgs {
    /// Threads; by default one per CPU of --cpu-list, or all processors. The results do not depend on it
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<NonZeroUsize>,
    /// CPUs to run on, such as 4-7 or 0,2-3 (Linux). All threads share the set, none is tied to one CPU of it
    #[arg(long, value_name = "LIST", value_parser = CpuList::parse)]
    pub cpu_list: Option<CpuList>,
}

/// Most threads that can be asked for; every one has memory of its own.
pub const MAX_THREADS: usize = 256;

/// Reads `--threads`.
///
/// # Errors
/// It is not a number in range; the message says which.
pub fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MAX_THREADS);
    threads.ok_or_else(|| format!("give a number from 1 to {MAX_THREADS}"))
}

/// As many threads as there are processors to run them.
#[must_use]
pub fn default_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl ThreadArgs {
    /// Plans a model for an instruction set and this many threads, after the calling thread was confined to the CPUs
    /// that were asked for: the threads that it starts inherit that.
    ///
    /// # Errors
    /// The process may not use one of the CPUs, the instruction set is not available, or the buffers exceed the address
    /// space.
    pub fn plan<'m>(&self, model: Model<'m>, isa: Isa) -> Result<Plan<'m>> {
        if let Some(cpus) = &self.cpu_list {
            cpus.confine()?;
        }
        Ok(plan(model, isa)?.with_threads(self.count())?)
    }

    fn count(&self) -> NonZeroUsize {
        let one_per_cpu = || self.cpu_list.as_ref().map(CpuList::threads);
        self.threads.or_else(one_per_cpu).unwrap_or_else(default_threads)
    }
}

/// Reads the name of an instruction set.
///
/// # Errors
/// No instruction set has that name; the message lists those that exist.
pub fn parse_isa(name: &str) -> Result<Isa, String> {
    let names: Vec<&str> = Isa::ALL.iter().map(|isa| isa.name()).collect();
    Isa::from_name(name)
        .ok_or_else(|| format!("no instruction set is called {name}; there are: {}", names.join(", ")))
}

/// What a run is timed with. Time depends on the values a little: some kernels are faster on small ones.
#[derive(Debug, Clone, Args)]
pub struct TimedInputArgs {
    /// Picture to time with, instead of the self-test's noise
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
}

/// The input of timed runs.
#[derive(Debug, Clone)]
pub enum TimedInput {
    /// The self-test's.
    Noise,
    /// A picture as the model wants it.
    Pixels(Vec<u8>),
}

impl TimedInputArgs {
    /// Loads the picture, if one was named.
    ///
    /// # Errors
    /// It cannot be read; the message names it.
    pub fn load(&self, model: &Model<'_>) -> Result<TimedInput> {
        let Some(picture) = &self.picture else { return Ok(TimedInput::Noise) };
        let input = model.input();
        Ok(TimedInput::Pixels(resi8_picture::load(picture, &model.preprocess(), input.h(), input.w())?))
    }
}

impl TimedInput {
    /// Puts it into a session.
    ///
    /// # Errors
    /// The session is that of another model.
    pub fn set(&self, session: &mut Session<'_, '_>) -> Result<()> {
        match self {
            Self::Noise => session.set_self_test_input(),
            Self::Pixels(pixels) => session.set_pixels(pixels)?,
        }
        Ok(())
    }
}

/// Plans a model for an instruction set.
///
/// # Errors
/// It is not available, or the buffers exceed the address space.
pub fn plan(model: Model<'_>, isa: Isa) -> Result<Plan<'_>> {
    Plan::new(model, isa).map_err(plan_error)
}

/// A plan's error, with what the user can do about it.
#[must_use]
pub fn plan_error(error: PlanError) -> anyhow::Error {
    match error {
        PlanError::IsaUnavailable(_) => anyhow!("{error}; `resi8-run info` lists those that are"),
        PlanError::OtherTarget { .. } => anyhow!("{error}, or try it with `--isa portable`"),
        _ => error.into(),
    }
}

/// Reads a model file, all of it: for commands that need its weights, or several sessions.
///
/// # Errors
/// It cannot be read; the message names it.
pub fn read(path: &Path) -> Result<Pages> {
    Pages::read(path).with_context(|| unreadable(path))
}

fn unreadable(path: &Path) -> String {
    format!("cannot read the model {}; check the path", path.display())
}

/// Checks a model file.
///
/// # Errors
/// What is wrong with it; the message names the file.
pub fn parse<'m>(path: &Path, bytes: &'m [u8]) -> Result<Model<'m>> {
    Model::parse(bytes).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// A model file that is open, for [`Memory::load`].
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    bytes: Box<dyn ReadSeek>,
}

trait ReadSeek: Read + Seek + Debug {}

impl<T: Read + Seek + Debug> ReadSeek for T {}

/// Reads what it takes to plan a model for an instruction set; [`Memory::load`] reads the rest. What cannot be read twice, such as a
/// pipe, is kept in memory.
///
/// # Errors
/// It cannot be read, or what is wrong with it; the message names the file.
pub fn open(path: &Path, isa: Isa) -> Result<(ModelFile, Source)> {
    let mut file = File::open(path).with_context(|| unreadable(path))?;
    let metadata = file.metadata().with_context(|| unreadable(path))?;
    // The kernel's files have a length of 0, whatever they hold.
    let bytes: Box<dyn ReadSeek> = if metadata.is_file() && metadata.len() > 0 {
        Box::new(file)
    } else {
        Box::new(Cursor::new(Pages::of(&mut file).with_context(|| unreadable(path))?))
    };
    let mut source = Source { path: path.to_owned(), bytes };
    let file = ModelFile::read(&mut source.bytes, isa).map_err(|error| source.error(error))?;
    Ok((file, source))
}

impl Source {
    /// An error in words.
    fn error(&self, error: FileError) -> anyhow::Error {
        match error {
            FileError::Io(error) => anyhow::Error::new(error).context(unreadable(&self.path)),
            FileError::Load(error) => anyhow!("{}: {error}", self.path.display()),
            _ => error.into(),
        }
    }
}

/// The buffers of one session.
#[derive(Debug)]
pub struct Memory {
    /// Provided when it is touched: a short file can ask for a long one.
    arena: AlignedBuf,
    packed: Pages,
}

impl Memory {
    /// Buffers of exactly the sizes that the plan names.
    ///
    /// # Errors
    /// There is not that much memory.
    pub fn new(plan: &Plan<'_>) -> Result<Self> {
        let needed = plan.packed_len();
        let packed = Pages::new(needed).map_err(|_| RunError::OutOfMemory { needed })?;
        Ok(Self { arena: AlignedBuf::new(plan.arena_len())?, packed })
    }

    /// A session in these buffers, of a model that is in memory.
    ///
    /// # Errors
    /// The buffers are those of another plan.
    pub fn session<'m>(&mut self, plan: Plan<'m>) -> Result<Session<'m, '_>> {
        Ok(Session::new(plan, self.buffers())?)
    }

    /// A session in these buffers, of a model that [`open`] has opened: reads the weights that are still missing.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong with it; the message names the file. Or the buffers are those of another plan.
    pub fn load<'m>(&mut self, plan: Plan<'m>, source: &mut Source) -> Result<Session<'m, '_>> {
        Session::load(plan, self.buffers(), &mut source.bytes).map_err(|error| source.error(error))
    }

    fn buffers(&mut self) -> Buffers<'_> {
        Buffers { arena: self.arena.as_mut(), packed: &mut self.packed }
    }
}
