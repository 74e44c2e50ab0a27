//! Looking at a run: what layers have computed, and the self-test.

use crate::error::RunError;
use crate::format::{MAX_GROUP, crc32_behind};
use crate::model::Layer;

/// What a layer has computed.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// An activation, NHWC.
    Activations(&'a [i8]),
    /// A row of an activation whose layer runs by rows.
    Row {
        /// Which one, from 0.
        row: usize,
        /// How many there are: the last one is `rows - 1`.
        rows: usize,
        /// Its values, NHWC.
        values: &'a [i8],
    },
    /// The network's output.
    Logits(&'a [i32]),
}

/// Hashes of layers' outputs, whole or by rows: CRC-32 of the values, int32 as little-endian bytes, the same on every CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputHash([u32; MAX_GROUP]);

impl OutputHash {
    /// Takes in what a layer has computed; the hash when that was all of its output.
    pub fn add(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Option<u32> {
        let (row, rows, values) = match output {
            Output::Activations(values) => (0, 1, values),
            Output::Row { row, rows, values } => (row, rows, values),
            Output::Logits(values) => {
                return Some(values.iter().fold(0, |hash, value| crc32_behind(hash, &value.to_le_bytes())));
            }
        };
        // Layers that run together follow each other, so that each has a place of its own.
        let hash = self.0.get_mut(layer.index % MAX_GROUP)?;
        *hash = crc32_behind(if row == 0 { 0 } else { *hash }, bytemuck::cast_slice(values));
        (row + 1 == rows).then_some(*hash)
    }
}

/// Looks at a run, layer by layer: profiling, dumps, hashes.
///
/// Layers that run together by rows are shown row by row, in the order in which the rows are computed: `layer` is then a
/// convolution that computes one row from those that this row sees.
pub trait Observer {
    /// Called before a layer runs.
    fn before(&mut self, layer: &Layer<'_>) {
        let _ = layer;
    }

    /// Called with what it has computed. An error ends the run.
    ///
    /// # Errors
    /// The observer's own.
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError>;
}

/// Looks at nothing.
impl Observer for () {
    fn after(&mut self, _: &Layer<'_>, _: Output<'_>) -> Result<(), RunError> {
        Ok(())
    }
}

/// Compares every layer with the hash in the file.
pub(crate) struct SelfTest<'a> {
    hashes: &'a [[u8; 4]],
    hash: OutputHash,
}

impl<'a> SelfTest<'a> {
    pub(crate) fn new(hashes: &'a [[u8; 4]]) -> Self {
        Self { hashes, hash: OutputHash::default() }
    }
}

impl Observer for SelfTest<'_> {
    fn after(&mut self, layer: &Layer<'_>, output: Output<'_>) -> Result<(), RunError> {
        let expected = self.hashes.get(layer.index).map_or(0, |hash| u32::from_le_bytes(*hash));
        match self.hash.add(layer, output) {
            Some(found) if found != expected => {
                Err(RunError::SelfTest { layer: layer.index, expected, found })
            }
            _ => Ok(()),
        }
    }
}
