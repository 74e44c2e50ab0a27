//! resi8 runs trained residual networks in int8: `no_std`, without a heap, the same bytes on every CPU.
//!
//! One type per stage, data flows one way:
//!
//! ```text
//! &[u8] -> Model (checked once) -> Plan (kernels, exact sizes) -> Session (+ your buffers) -> run
//! ```
//!
//! Kernels of large processors pack weights into the second buffer. Where an operating system has the file, a `ModelFile` keeps these from being in
//! memory twice.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use resi8::{Buffers, Isa, Model, Plan, Session};
//!
//! let file = std::fs::read("model.r8")?;
//! let plan = Plan::new(Model::parse(&file)?, Isa::best())?;
//! let mut arena = resi8::AlignedBuf::new(plan.arena_len())?;
//! let mut packed = resi8::AlignedBuf::new(plan.packed_len())?;
//! let mut session = Session::new(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() })?;
//! let pixels = vec![0; plan.model().input().len()]; // height x width x channels, raw 8-bit
//! let logits = session.classify(&pixels)?;
//! let mut best = [(0, 0); 5];
//! for (class, logit) in resi8::top_k(logits, &mut best) {
//!     println!("{class} {logit}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The arithmetic is normative and lives in [`arith`]; the file format in [`mod@format`]; the kernel interface in
//! [`kernels`].
#![no_std]
#![warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "write")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod arith;
#[cfg(feature = "std")]
mod buffer;
mod error;
#[cfg(feature = "std")]
mod file;
pub mod format;
mod group;
mod isa;
pub mod kernels;
mod logits;
pub mod model;
mod observe;
mod ops;
mod packing;
mod plan;
pub mod preprocess;
mod session;
mod threads;

#[cfg(feature = "std")]
pub use buffer::AlignedBuf;
pub use error::{LoadError, PlanError, RunError};
#[cfg(feature = "std")]
pub use file::{FileError, ModelFile};
pub use format::{problem::Problem, sections::SectionKind};
pub use isa::Isa;
#[cfg(feature = "std")]
pub use logits::softmax;
pub use logits::{ranked, top_k};
pub use model::{Layer, Model};
pub use observe::{Observer, Output, OutputHash};
pub use plan::{BufferLens, Plan};
pub use preprocess::{ChannelOrder, Preprocess, Resize};
pub use session::{ARENA_ALIGN, Buffers, PACKED_ALIGN, Session};
