//! A model file that is read in parts, so that weights are not in memory twice.
//!
//! Kernels that pack weights read them once, when a session begins. [`ModelFile::read`] leaves out what they will pack, and
//! [`Session::load`](crate::Session::load) reads it layer by layer. All checks are made all the same, and find the same errors as
//! [`Model::parse`] does.

use core::ops::Range;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use thiserror::Error;

use crate::format::products::check_weights;
use crate::format::records::LayerRecord;
use crate::format::sections::{
    CHECKSUM_START, SectionKind, Sections, TABLE_END, check_header, compare_checksum,
};
use crate::format::{WEIGHTS_ALIGN, crc32, crc32_behind};
use crate::kernels::Kernels;
use crate::model::{Conv, Op};
use crate::packing::Weights;
use crate::plan::Plan;
use crate::{AlignedBuf, Isa, LoadError, Model, Preprocess, RunError};

/// Why a model file, or a session of one, cannot be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no model that can be trusted.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is not enough memory, or the session cannot start.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A checked model file in memory, with or without the weights that will be packed.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use resi8::{AlignedBuf, Buffers, Isa, ModelFile, Plan, Session};
///
/// let mut source = std::fs::File::open("model.r8")?;
/// let file = ModelFile::read(&mut source, Isa::best())?;
/// let plan = Plan::new(file.model(), Isa::best())?;
/// let [mut arena, mut packed] = [AlignedBuf::new(plan.arena_len())?, AlignedBuf::new(plan.packed_len())?];
/// let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
/// let mut session = Session::load(plan, buffers, &mut source)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ModelFile {
    /// As long as the file; where weights were left out, zeros that nobody has touched.
    bytes: AlignedBuf,
    left_out: usize,
    preprocess: Preprocess,
}

impl ModelFile {
    /// Reads a file, but not the weights that the kernels of an instruction set pack. Its model is to be planned for that instruction
    /// set and its session made by [`Session::load`](crate::Session::load), from the same file. When these kernels read weights in place,
    /// this machine lacks them, or the converter has transformed weights, all of the file is read.
    ///
    /// The source is the file and nothing else, from its first byte to its last.
    ///
    /// # Errors
    /// It cannot be read, there is no memory for it, or what [`Model::parse`] says of it; what is wrong with nothing but the weights that
    /// are left out, or the checksum, is an error of [`Session::load`](crate::Session::load).
    pub fn read(source: &mut (impl Read + Seek), isa: Isa) -> Result<Self, FileError> {
        let mut bytes = header_and_table(source)?;
        let packs = Kernels::for_isa(isa).is_some_and(|kernels| kernels.direct.packing.is_some());
        let left_out = if packs { read_without_weights(source, bytes.as_mut())? } else { 0 };
        if left_out > 0 {
            let sections = Sections::unchecked(bytes.as_ref()).without_weights(left_out);
            if let Ok(model) = sections.check_table().and_then(|()| Model::of(sections)) {
                let preprocess = model.preprocess();
                return Ok(Self { bytes, left_out, preprocess });
            }
        }
        // If something is wrong, it may be the checksum, which comes first.
        read_part(source, bytes.as_mut(), TABLE_END..usize::MAX)?;
        let preprocess = Model::parse(bytes.as_ref())?.preprocess();
        Ok(Self { bytes, left_out: 0, preprocess })
    }

    /// The model. Weights that were left out are 0 in it, and their sums are not proved yet.
    #[must_use]
    pub fn model(&self) -> Model<'_> {
        let sections = Sections::unchecked(self.bytes.as_ref()).without_weights(self.left_out);
        Model::of_checked(sections, self.preprocess)
    }
}

/// Memory for a file, with its header, which is checked, and its section table.
fn header_and_table(source: &mut (impl Read + Seek)) -> Result<AlignedBuf, FileError> {
    let len = source.seek(SeekFrom::End(0))?;
    // A model states its length in 32 bits.
    let len = u32::try_from(len).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))? as usize;
    let mut start = [0; TABLE_END];
    let start = start.split_at_mut(len.min(TABLE_END)).0;
    source.rewind()?;
    read_exactly(source, start, len)?;
    check_header(start, len)?;
    let mut bytes = AlignedBuf::new(len)?;
    bytes.as_mut().iter_mut().zip(start).for_each(|(byte, read)| *byte = *read);
    Ok(bytes)
}

/// Reads what is behind the table, but for the weights of convolutions; returns how many bytes of weights that leaves out.
fn read_without_weights(source: &mut (impl Read + Seek), bytes: &mut [u8]) -> Result<usize, FileError> {
    let weights = Sections::unchecked(bytes).range(SectionKind::Weights).unwrap_or_default();
    let start = weights.start.max(TABLE_END);
    read_part(source, bytes, TABLE_END..start)?;
    let left_out = packed_weights(&Sections::unchecked(bytes)).unwrap_or_default();
    if left_out > 0 {
        read_part(source, bytes, start.saturating_add(left_out)..usize::MAX)?;
    }
    Ok(left_out)
}

/// How many of the first bytes of the weights are packed, of a file that may be wrong: those of convolutions, unless the converter has
/// transformed some, which no kernels do that pack.
fn packed_weights(sections: &Sections<'_>) -> Option<usize> {
    let len = sections.range(SectionKind::Weights)?.len();
    let mut layers = sections.layers().iter().map(LayerRecord::read);
    let first =
        layers.find(|layer| [LayerRecord::DENSE, LayerRecord::TRANSFORMED_CONV].contains(&layer.op))?;
    Some(first.weights as usize).filter(|start| first.op == LayerRecord::DENSE && *start <= len)
}

/// Reads what the file has of these bytes.
fn read_part(
    source: &mut (impl Read + Seek),
    bytes: &mut [u8],
    Range { start, end }: Range<usize>,
) -> Result<(), FileError> {
    let len = bytes.len();
    let Some(part) = bytes.get_mut(start..end.min(len)) else { return Ok(()) };
    source.seek(SeekFrom::Start(start as u64))?;
    read_exactly(source, part, len)
}

/// Fills `part` with the next bytes of a file of `len` bytes.
fn read_exactly(source: &mut (impl Read + Seek), part: &mut [u8], len: usize) -> Result<(), FileError> {
    let Err(error) = source.read_exact(part) else { return Ok(()) };
    if error.kind() == ErrorKind::UnexpectedEof {
        let found = source.seek(SeekFrom::End(0))?;
        if found < len as u64 {
            return Err(LoadError::Length { expected: len as u64, found }.into());
        }
    }
    Err(error.into())
}

/// Reads the weights that a [`ModelFile`] has left out, in the order of the file, and checks them.
pub(crate) struct WeightReader<'s, 'm, R> {
    source: &'s mut R,
    sections: Sections<'m>,
    /// Holds one layer's at a time.
    buffer: AlignedBuf,
    /// Where in the file they begin.
    start: usize,
    /// How many bytes have been read.
    done: usize,
    /// CRC-32 of the file up to there.
    checksum: u32,
}

impl<'s, 'm, R: Read + Seek> WeightReader<'s, 'm, R> {
    /// Begins to read; `None` when nothing was left out.
    pub(crate) fn new(plan: &Plan<'m>, source: &'s mut R) -> Result<Option<Self>, FileError> {
        let sections = plan.model().sections;
        if sections.left_out() == 0 {
            return Ok(None);
        }
        let mut longest = 0;
        for layer in plan.model().layers() {
            let Op::Conv(conv) = &layer.op else { continue };
            if let Some(place) = left_out(&sections, layer.index, conv) {
                let packed = plan.conv(&layer).is_some_and(|plan| plan.packed_len() > 0);
                packed.then_some(()).ok_or(RunError::WeightsLeftOut)?;
                longest = place.len().max(longest);
            }
        }
        let start = sections.range(SectionKind::Weights).unwrap_or_default().start;
        source.seek(SeekFrom::Start(start as u64))?;
        let buffer = AlignedBuf::new(longest.max(WEIGHTS_ALIGN))?;
        let checksum = crc32(sections.file().get(CHECKSUM_START..start).unwrap_or_default());
        Ok(Some(Self { source, sections, buffer, start, done: 0, checksum }))
    }

    /// Reads the next bytes, as many as the buffer holds at most.
    fn read(&mut self, len: usize) -> Result<&[i8], FileError> {
        let bytes = self.buffer.as_mut();
        let len = len.min(bytes.len());
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        read_exactly(self.source, bytes, self.sections.file().len())?;
        self.done += len;
        self.checksum = crc32_behind(self.checksum, bytes);
        Ok(bytemuck::cast_slice(bytes))
    }

    /// Passes over what no layer uses.
    fn pass(&mut self, to: usize) -> Result<(), FileError> {
        while self.done < to {
            self.read(to - self.done)?;
        }
        Ok(())
    }

    /// Reads what is left, and compares the checksum of the whole file.
    pub(crate) fn check_rest(&mut self) -> Result<(), FileError> {
        self.pass(self.sections.left_out())?;
        let behind = self.sections.file().get(self.start + self.done..).unwrap_or_default();
        Ok(compare_checksum(self.sections.file(), crc32_behind(self.checksum, behind))?)
    }
}

impl<R: Read + Seek> Weights for WeightReader<'_, '_, R> {
    type Error = FileError;

    fn of<'w>(&'w mut self, layer: usize, conv: &Conv<'w>) -> Result<&'w [i8], FileError> {
        let Some(place) = left_out(&self.sections, layer, conv) else { return Ok(conv.weights) };
        self.pass(place.start)?;
        let sections = self.sections;
        let weights = self.read(place.len())?;
        check_weights(&sections, layer, conv, weights)?;
        Ok(weights)
    }
}

/// Where in the section the weights of a convolution are, if they were left out.
fn left_out(sections: &Sections<'_>, layer: usize, conv: &Conv<'_>) -> Option<Range<usize>> {
    let start = LayerRecord::read(sections.layers().get(layer)?).weights as usize;
    let place = start..start + conv.weights.len();
    (place.end <= sections.left_out()).then_some(place)
}
