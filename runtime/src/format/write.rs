//! The assembly of a model file from its records; the counterpart of [`super::sections`].

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::records::{ChannelRecord, GraphRecord, LayerRecord, PreprocessRecord, TensorRecord};
use super::sections::{CHECKSUM_START, ENTRY_LEN, HEADER_LEN, SECTION_COUNT, SectionKind, TABLE_END};
use super::{FORMAT_VERSION, MAGIC, crc32};
use crate::kernels::transformed;
use crate::preprocess::Preprocess;

/// The content of a model file. Nothing is checked here: [`crate::Model::parse`] judges the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The graph section.
    pub graph: GraphRecord,
    /// Tensor 0 is the input, tensor `i + 1` the output of layer `i`.
    pub tensors: Vec<TensorRecord>,
    /// In execution order.
    pub layers: Vec<LayerRecord>,
    /// All layers' channel records.
    pub channels: Vec<ChannelRecord>,
    /// All layers' weights.
    pub weights: Vec<i8>,
    /// How a picture becomes the input.
    pub preprocess: Preprocess,
    /// Seed of the self-test's input; not 0.
    pub self_test_seed: u32,
    /// CRC-32 of each layer's output on it.
    pub self_test_hashes: Vec<u32>,
    /// One a layer, without line breaks, or none.
    pub names: Vec<String>,
    /// One a class, without line breaks, or none.
    pub labels: Vec<String>,
    /// `key: value` lines.
    pub info: String,
}

impl Content {
    /// The bytes of the file, or `None` when they would exceed 4 GiB.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut file = Vec::new();
        file.extend(MAGIC);
        file.extend(FORMAT_VERSION.to_le_bytes());
        file.extend(SECTION_COUNT.to_le_bytes());
        file.resize(TABLE_END, 0);
        for (index, kind) in SectionKind::ALL.into_iter().enumerate() {
            self.append_section(&mut file, index, kind)?;
        }
        let length = u32::try_from(file.len()).ok()?;
        put_u32(&mut file, 12, length);
        seal(&mut file);
        Some(file)
    }

    fn append_section(&self, file: &mut Vec<u8>, index: usize, kind: SectionKind) -> Option<()> {
        file.resize(file.len().next_multiple_of(kind.align()), 0);
        let offset = file.len();
        self.append_content(file, kind);
        let length = u32::try_from(file.len() - offset).ok()?;
        let entry = HEADER_LEN + index * ENTRY_LEN;
        put_u32(file, entry, kind as u32);
        put_u32(file, entry + 4, u32::try_from(offset).ok()?);
        put_u32(file, entry + 8, length);
        Some(())
    }

    fn append_content(&self, file: &mut Vec<u8>, kind: SectionKind) {
        match kind {
            SectionKind::Graph => file.extend(self.graph.write()),
            SectionKind::Tensors => file.extend(self.tensors.iter().flat_map(TensorRecord::write)),
            SectionKind::Layers => file.extend(self.layers.iter().flat_map(LayerRecord::write)),
            SectionKind::Channels => file.extend(self.channels.iter().flat_map(ChannelRecord::write)),
            SectionKind::Weights => file.extend_from_slice(bytemuck::cast_slice(&self.weights)),
            SectionKind::Preprocess => file.extend(PreprocessRecord::new(&self.preprocess).write()),
            SectionKind::SelfTest => {
                file.extend(self.self_test_seed.to_le_bytes());
                file.extend(self.self_test_hashes.iter().flat_map(|hash| hash.to_le_bytes()));
            }
            SectionKind::Names => file.extend(self.names.join("\n").bytes()),
            SectionKind::Labels => file.extend(self.labels.join("\n").bytes()),
            SectionKind::Info => file.extend(self.info.bytes()),
        }
    }
}

/// A layer's weights start at a multiple of this within the weights section.
pub const LAYER_WEIGHTS_ALIGN: usize = 16;

impl Content {
    /// The same network with the weights of these convolutions transformed. `None` when one of them is no convolution, its kernel is
    /// not 3x3, its number of input channels is no multiple of 4, or the records do not fit each other; all else is for
    /// [`crate::Model::parse`] to judge.
    #[must_use]
    pub fn with_transformed(&self, layers: &[usize]) -> Option<Self> {
        let mut changed = Self { weights: Vec::new(), ..self.clone() };
        for (index, layer) in changed.layers.iter_mut().enumerate() {
            changed.weights.resize(changed.weights.len().next_multiple_of(LAYER_WEIGHTS_ALIGN), 0);
            let neutral = self.weights.get(layer.weights as usize..)?.get(..self.weight_count(index)?)?;
            layer.weights = u32::try_from(changed.weights.len()).ok()?;
            if layers.contains(&index) {
                let channels = usize::from(self.tensors.get(usize::from(layer.input))?.c);
                let whole = layer.window.kernel == [3, 3] && channels.is_multiple_of(4) && channels > 0;
                if layer.op != LayerRecord::CONV || !whole {
                    return None;
                }
                layer.op = LayerRecord::TRANSFORMED_CONV;
                for kernels in neutral.chunks_exact(9 * channels) {
                    changed.weights.extend(transform_channel(kernels, channels));
                }
            } else {
                changed.weights.extend_from_slice(neutral);
            }
        }
        Some(changed)
    }

    /// How many weights a layer of neutral weights has.
    fn weight_count(&self, index: usize) -> Option<usize> {
        let layer = self.layers.get(index)?;
        let (input, output) =
            (self.tensors.get(usize::from(layer.input))?, self.tensors.get(index.checked_add(1)?)?);
        let area = match layer.op {
            LayerRecord::CONV => layer.window.kernel.map(usize::from),
            LayerRecord::DENSE => [input.h, input.w].map(usize::from),
            _ => [0, 0],
        };
        area.iter()
            .chain(&[input.c, output.c].map(usize::from))
            .try_fold(1usize, |all, len| all.checked_mul(*len))
    }
}

/// The transformed weights of one output channel, of which `kernels` are the neutral ones.
fn transform_channel(kernels: &[i8], channels: usize) -> Vec<i8> {
    let mut transformed = vec![0; transformed::weights_len(channels)];
    for channel in 0..channels {
        let mut kernel = [0; 9];
        for (weight, neutral) in kernel.iter_mut().zip(kernels.iter().skip(channel).step_by(channels)) {
            *weight = *neutral;
        }
        let place = channel / 4 * 4 + transformed::place(channel);
        let places = transformed.as_chunks_mut::<2>().0.iter_mut().skip(place).step_by(channels);
        for (bytes, point) in places.zip(transformed::transform(&kernel)) {
            *bytes = point.to_le_bytes().map(u8::cast_signed);
        }
    }
    transformed
}

/// Computes the checksum of a whole file anew and stores it, as after a change by hand.
pub fn seal(file: &mut [u8]) {
    let checksum = crc32(file.get(CHECKSUM_START..).unwrap_or_default());
    put_u32(file, 16, checksum);
}

fn put_u32(file: &mut [u8], at: usize, value: u32) {
    if let Some(place) = file.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_le_bytes();
    }
}
