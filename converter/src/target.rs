//! Models for one microcontroller: weights in the form that its kernels read fastest, as far as its memory allows.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use resi8::format::write::Content;
use resi8::kernels::transformed::{POINTS, TILES};
use resi8::model::Op;
use resi8::{Isa, Layer, Model, Plan};

use crate::memory::Goal;

/// A processor, by the kernels that run on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// What users call it.
    pub name: &'static str,
    /// Its kernels.
    pub isa: Isa,
}

impl Target {
    /// All that there are.
    pub const ALL: &'static [Self] = &[
        Self { name: "cortex-m0", isa: Isa::Portable },
        Self { name: "cortex-m3", isa: Isa::CortexmV7 },
        Self { name: "cortex-m4", isa: Isa::CortexmDsp },
        Self { name: "cortex-m7", isa: Isa::CortexmDsp },
        Self { name: "cortex-m33", isa: Isa::CortexmDsp },
        Self { name: "cortex-m55", isa: Isa::CortexmMve },
        Self { name: "cortex-m85", isa: Isa::CortexmMve },
        Self { name: "riscv32", isa: Isa::Portable },
    ];

    /// Whether its kernels take transformed weights; the others want the order that every file has.
    #[must_use]
    pub fn transforms(self) -> bool {
        self.isa == Isa::CortexmDsp
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A text that names no [`Target`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no target; there are {names}", names = Target::ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", "))]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let target = Self::ALL.iter().find(|target| target.name == text);
        target.copied().ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

/// The memory of a microcontroller that a model may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Most bytes of the model file, which lies in flash.
    pub flash: usize,
    /// Most bytes of the arena, which lies in RAM.
    pub ram: usize,
}

impl Memory {
    /// As much as there may be.
    pub const UNLIMITED: Self = Self { flash: usize::MAX, ram: usize::MAX };
}

/// A model for a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// The model file.
    pub file: Vec<u8>,
    /// Layers whose weights are transformed.
    pub layers: Vec<usize>,
    /// Bytes of the arena with the target's kernels.
    pub arena_bytes: usize,
}

/// Transforms the weights of the layers that gain by it, those first that save most for the flash that they take, while the memory
/// suffices. Where the goal is little memory, none that makes the arena larger; layers that run by rows keep their weights.
///
/// # Errors
/// The model exceeds the memory even with all weights as they are.
pub fn pack(content: &Content, target: Target, memory: Memory, goal: Goal) -> Result<Packed> {
    let mut packed = with_layers(content, target, Vec::new())?;
    let (file_bytes, arena_bytes) = (packed.file.len(), packed.arena_bytes);
    ensure!(
        file_bytes <= memory.flash,
        "the model takes {file_bytes} bytes and --flash allows {}",
        memory.flash
    );
    ensure!(
        arena_bytes <= memory.ram,
        "the arena takes {arena_bytes} bytes on {target} and --ram allows {}",
        memory.ram
    );
    let ram = if goal == Goal::LowMemory { arena_bytes } else { memory.ram };
    for layer in candidates(&packed.file, target)? {
        let mut layers = packed.layers.clone();
        layers.push(layer);
        layers.sort_unstable();
        // What the loader refuses, an accumulator for one that is too large for the method, stays as it is.
        match with_layers(content, target, layers) {
            Ok(larger) if larger.file.len() <= memory.flash && larger.arena_bytes <= ram => {
                packed = larger;
            }
            _ => {}
        }
    }
    Ok(packed)
}

fn with_layers(content: &Content, target: Target, layers: Vec<usize>) -> Result<Packed> {
    let transformed = content.with_transformed(&layers).context("a layer cannot be transformed")?;
    let file = transformed.to_bytes().context("the model would be larger than 4 GiB")?;
    let arena_bytes = Plan::buffer_lens(&Model::parse(&file)?, target.isa)?.arena_len;
    Ok(Packed { file, layers, arena_bytes })
}

/// The layers that gain by transformed weights, those first that save most multiplications for a byte.
fn candidates(file: &[u8], target: Target) -> Result<Vec<usize>> {
    if !target.transforms() {
        return Ok(Vec::new());
    }
    let model = Model::parse(file)?;
    let mut gains: Vec<(f64, usize)> = model
        .layers()
        .map(|layer| (saved(&layer) / layer.weight_count().max(1) as f64, layer.index))
        .filter(|(saved, _)| *saved > 0.0)
        .collect();
    gains.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    Ok(gains.into_iter().map(|(_, layer)| layer).collect())
}

/// What transforming an input channel of a tile costs, and about what an output channel of a tile costs more than the four outputs of direct
/// convolution, in multiplications with all that belongs to one (0.7 instructions).
const TRANSFORM_COST: usize = 80;

/// Multiplications that a layer saves with transformed weights, if it can have them.
fn saved(layer: &Layer<'_>) -> f64 {
    let Op::Conv(conv) = &layer.op else { return 0.0 };
    if conv.window.kernel() != [3, 3] || conv.window.stride() != [1, 1] {
        return 0.0;
    }
    let tiles = layer.output.h() / 2 * (layer.output.w() / 2).next_multiple_of(TILES);
    let (inputs, outputs) = (layer.input.c(), layer.output.c());
    let of_tile = POINTS * inputs * outputs + TRANSFORM_COST * (inputs + outputs);
    layer.macs() as f64 - tiles as f64 * of_tile as f64
}
