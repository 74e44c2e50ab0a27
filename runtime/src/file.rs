//! A model file that is read in parts, so that weights are not in memory twice.
//!
//! Kernels that pack weights read them once, when a session begins. [`ModelFile::read`] leaves out what they will pack, and
//! [`Session::load`](crate::Session::load) reads it layer by layer. All checks are made all the same, and find the same errors as
//! [`Model::parse`] does.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use thiserror::Error;

use crate::format::products::check_weights;
use crate::format::records::LayerRecord;
use crate::format::sections::{
    CHECKSUM_START, LeftOut, SectionKind, Sections, TABLE_END, check_header, compare_checksum,
};
use crate::format::{crc32, crc32_behind};
use crate::kernels::Kernels;
use crate::model::{Conv, Layer, Op};
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
    /// Without the weights that are left out.
    bytes: AlignedBuf,
    left_out: LeftOut,
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
    /// It cannot be read, there is no memory for it, or what [`Model::parse`] says of it. If weights were left out, a wrong checksum, or a
    /// rule that only those weights break, is an error of [`Session::load`](crate::Session::load) instead.
    pub fn read(source: &mut (impl Read + Seek), isa: Isa) -> Result<Self, FileError> {
        let mut source = Source::of(source)?;
        let mut table = [0; TABLE_END];
        let table = table.split_at_mut(source.len.min(TABLE_END)).0;
        source.file.rewind()?;
        source.read(table)?;
        check_header(table, source.len)?;
        if Kernels::for_isa(isa).is_some_and(|kernels| kernels.direct.packing.is_some()) {
            // If something is wrong, it may be the checksum, which comes first.
            if let Some(file) = Self::leaving_out_weights(&mut source, table)? {
                return Ok(file);
            }
        }
        let bytes = source.read_behind(table, 0, source.len)?;
        let preprocess = Model::parse(bytes.as_ref())?.preprocess();
        Ok(Self { bytes, left_out: LeftOut::NOTHING, preprocess })
    }

    /// Reads what is behind the section table, but for the weights that are packed; `None` when there are none or something is wrong.
    fn leaving_out_weights(
        source: &mut Source<'_, impl Read + Seek>,
        table: &[u8],
    ) -> Result<Option<Self>, FileError> {
        let weights = Sections::unchecked(table).range(SectionKind::Weights).unwrap_or_default();
        if weights.start < table.len() || source.len < weights.end {
            return Ok(None);
        }
        let before = source.read_behind(table, 0, weights.start)?;
        let len = len_to_leave_out(&Sections::unchecked(before.as_ref())).unwrap_or_default();
        if len == 0 {
            return Ok(None);
        }
        let left_out = LeftOut { start: weights.start, len };
        let bytes = source.read_behind(before.as_ref(), len, source.len)?;
        let sections = Sections::unchecked(bytes.as_ref()).leaving_out(left_out);
        let model = sections.check_table().and_then(|()| Model::of(sections));
        let preprocess = model.map(|model| model.preprocess());
        Ok(preprocess.ok().map(|preprocess| Self { bytes, left_out, preprocess }))
    }

    /// The model. What was left out is missing in it: the weights of convolutions are empty, and their stated sums are not proved yet.
    #[must_use]
    pub fn model(&self) -> Model<'_> {
        let sections = Sections::unchecked(self.bytes.as_ref()).leaving_out(self.left_out);
        Model::of_checked(sections, self.preprocess)
    }
}

/// How many of the first bytes of the weights are packed, of a file that may be wrong: those of convolutions, none if the converter has
/// transformed some, because kernels that pack cannot run those.
fn len_to_leave_out(sections: &Sections<'_>) -> Option<usize> {
    let all = sections.range(SectionKind::Weights)?.len();
    let mut layers = sections.layers().iter().map(LayerRecord::read);
    let first =
        layers.find(|layer| [LayerRecord::DENSE, LayerRecord::TRANSFORMED_CONV].contains(&layer.op))?;
    let start = first.weights as usize;
    (first.op == LayerRecord::DENSE && start <= all).then_some(start)
}

/// A file and its length when it was first looked at.
struct Source<'s, R> {
    file: &'s mut R,
    len: usize,
}

impl<'s, R: Read + Seek> Source<'s, R> {
    fn of(file: &'s mut R) -> io::Result<Self> {
        let len = file.seek(SeekFrom::End(0))?;
        let len = usize::try_from(len).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        Ok(Self { file, len })
    }

    /// Reads the next bytes.
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), FileError> {
        let Err(error) = self.file.read_exact(bytes) else { return Ok(()) };
        if error.kind() == ErrorKind::UnexpectedEof {
            let (expected, found) = (self.len as u64, self.file.seek(SeekFrom::End(0))?);
            if found < expected {
                return Err(LoadError::Length { expected, found }.into());
            }
        }
        Err(error.into())
    }

    /// The bytes before byte `end`, of which the first ones have been read and the `left_out` behind these are left out.
    fn read_behind(&mut self, first: &[u8], left_out: usize, end: usize) -> Result<AlignedBuf, FileError> {
        let mut bytes = AlignedBuf::new(end - left_out)?;
        let (start, rest) = bytes.as_mut().split_at_mut(first.len());
        start.copy_from_slice(first);
        self.file.seek(SeekFrom::Start((first.len() + left_out) as u64))?;
        self.read(rest)?;
        Ok(bytes)
    }
}

/// Bytes that are passed over at a time, at least.
const SHORTEST_BUFFER: usize = 1 << 16;

/// Reads the weights that a [`ModelFile`] has left out, in the order of the file, and checks them.
pub(crate) struct WeightReader<'s, 'm, R> {
    source: Source<'s, R>,
    sections: Sections<'m>,
    /// Holds those of any layer.
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
    pub(crate) fn new(plan: &Plan<'m>, file: &'s mut R) -> Result<Option<Self>, FileError> {
        let sections = plan.model().sections;
        if sections.left_out() == 0 {
            return Ok(None);
        }
        let is_conv = |layer: &Layer<'_>| matches!(layer.op, Op::Conv(_));
        let longest = plan.model().layers().filter(is_conv).map(|layer| layer.weight_count()).max();
        if longest.is_some() && plan.packed_len() == 0 {
            return Err(RunError::WeightsLeftOut.into());
        }
        let buffer = AlignedBuf::new(longest.unwrap_or_default().max(SHORTEST_BUFFER))?;
        let start = sections.range(SectionKind::Weights).unwrap_or_default().start;
        file.seek(SeekFrom::Start(start as u64))?;
        let source = Source { file, len: sections.file_len() };
        let checksum = crc32(sections.file().get(CHECKSUM_START..start).unwrap_or_default());
        Ok(Some(Self { source, sections, buffer, start, done: 0, checksum }))
    }

    /// Reads the next bytes, as many as the buffer holds at most.
    fn read(&mut self, len: usize) -> Result<&[i8], FileError> {
        let bytes = self.buffer.as_mut();
        let len = len.min(bytes.len());
        let bytes = bytes.get_mut(..len).unwrap_or_default();
        self.source.read(bytes)?;
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
        let behind = self.sections.file().get(self.start..).unwrap_or_default();
        Ok(compare_checksum(self.sections.file(), crc32_behind(self.checksum, behind))?)
    }
}

impl<R: Read + Seek> Weights for WeightReader<'_, '_, R> {
    type Error = FileError;

    fn of<'w>(&'w mut self, layer: &Layer<'w>) -> Result<&'w [i8], FileError> {
        let index = layer.index;
        let (Op::Conv(Conv { channels, .. }), Some(record)) = (&layer.op, self.sections.layers().get(index))
        else {
            return Err(RunError::Internal { layer: index }.into());
        };
        let record = LayerRecord::read(record);
        self.pass(record.weights as usize)?;
        let weights = self.read(layer.weight_count())?;
        check_weights(&record, *channels, weights).map_err(|problem| LoadError::Layer { index, problem })?;
        Ok(weights)
    }
}
