//! The header and the section table: where everything is.
//!
//! ```text
//! 0   magic          8 bytes
//! 8   version        u16
//! 10  section count  u16
//! 12  file length    u32
//! 16  CRC-32         u32, over every byte from 20 to the end
//! 20  section table  one entry a section, in the order of `SectionKind`: kind u32, offset u32, length u32
//! ```

use core::ops::Range;

use super::problem::Problem;
use super::records::{ChannelRecord, GraphRecord, LayerRecord, PreprocessRecord, TensorRecord};
use super::{FORMAT_VERSION, MAGIC, MAX_GROUP, WEIGHTS_ALIGN, crc32};
use crate::error::LoadError;

/// What a section holds. Every file has each of them once, in this order; the optional ones may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum SectionKind {
    /// One [`GraphRecord`].
    Graph = 1,
    /// [`TensorRecord`]s.
    Tensors = 2,
    /// [`LayerRecord`]s.
    Layers = 3,
    /// [`ChannelRecord`]s.
    Channels = 4,
    /// int8 weights, or transformed ones as int16, aligned to [`WEIGHTS_ALIGN`].
    Weights = 5,
    /// One [`PreprocessRecord`].
    Preprocess = 6,
    /// Seed (u32), then the CRC-32 of every layer's output (u32 each).
    SelfTest = 7,
    /// Optional: UTF-8, one layer name a line.
    Names = 8,
    /// Optional: UTF-8, one class label a line.
    Labels = 9,
    /// Optional: UTF-8, `key: value` lines about where the model comes from.
    Info = 10,
}

impl SectionKind {
    /// All kinds, in file order.
    pub const ALL: [Self; SECTION_COUNT as usize] = [
        Self::Graph,
        Self::Tensors,
        Self::Layers,
        Self::Channels,
        Self::Weights,
        Self::Preprocess,
        Self::SelfTest,
        Self::Names,
        Self::Labels,
        Self::Info,
    ];

    /// What messages call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Tensors => "tensors",
            Self::Layers => "layers",
            Self::Channels => "channels",
            Self::Weights => "weights",
            Self::Preprocess => "preprocessing",
            Self::SelfTest => "self-test",
            Self::Names => "names",
            Self::Labels => "labels",
            Self::Info => "info",
        }
    }

    /// A section starts at a multiple of this many bytes from the start of the file.
    pub(crate) const fn align(self) -> usize {
        match self {
            Self::Weights => WEIGHTS_ALIGN,
            _ => 4,
        }
    }

    /// The error that names this section.
    pub(crate) const fn error(self, problem: Problem) -> LoadError {
        LoadError::Section { kind: self, problem }
    }
}

/// Entries of the section table.
pub const SECTION_COUNT: u16 = 10;

/// Bytes before the section table.
pub const HEADER_LEN: usize = 20;

/// First byte that the checksum covers.
pub const CHECKSUM_START: usize = 20;

/// Bytes of one entry of the section table.
pub const ENTRY_LEN: usize = 12;

/// Bytes of the header and the section table.
pub const TABLE_END: usize = HEADER_LEN + SECTION_COUNT as usize * ENTRY_LEN;

/// The sections of a file, where its table says that they are. When that has been checked they follow each other and are whole numbers of
/// records. Nothing else is known of their content. Where they are is read when it is needed, so that this, and all that holds it, is small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sections<'m> {
    file: &'m [u8],
    #[cfg(feature = "std")]
    left_out: LeftOut,
}

/// Bytes of the file that are not there: the first ones of the weights, or none.
#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftOut {
    /// Where in the file the first one is.
    pub(crate) start: usize,
    pub(crate) len: usize,
}

#[cfg(feature = "std")]
impl LeftOut {
    pub(crate) const NOTHING: Self = Self { start: 0, len: 0 };
}

impl<'m> Sections<'m> {
    /// Checks the header, the checksum and the section table.
    pub(crate) fn parse(file: &'m [u8]) -> Result<Self, LoadError> {
        check_header(file, file.len())?;
        check_checksum(file)?;
        let sections = Self::unchecked(file);
        sections.check_table()?;
        Ok(sections)
    }

    /// Those of bytes that may be no model: a section that the table places outside of them is empty.
    pub(crate) const fn unchecked(file: &'m [u8]) -> Self {
        Self {
            file,
            #[cfg(feature = "std")]
            left_out: LeftOut::NOTHING,
        }
    }

    /// The same of a file some of whose bytes are left out: those behind them follow those before.
    #[cfg(feature = "std")]
    pub(crate) const fn leaving_out(self, left_out: LeftOut) -> Self {
        Self { left_out, ..self }
    }

    /// How many bytes of weights are left out.
    #[cfg(feature = "std")]
    pub(crate) const fn left_out(&self) -> usize {
        self.left_out.len
    }

    /// All are there.
    #[cfg(not(feature = "std"))]
    pub(crate) const fn left_out(&self) -> usize {
        0
    }

    /// Checks the number of sections, and the section table.
    pub(crate) fn check_table(&self) -> Result<(), LoadError> {
        let found = u16_at(self.file, 10).unwrap_or_default();
        if found != SECTION_COUNT {
            return Err(LoadError::SectionCount { expected: SECTION_COUNT, found });
        }
        let mut cursor = Cursor { sections: *self, index: 0, end: TABLE_END };
        cursor.one_record::<{ GraphRecord::LEN }>(SectionKind::Graph)?;
        cursor.records::<{ TensorRecord::LEN }>(SectionKind::Tensors)?;
        cursor.records::<{ LayerRecord::LEN }>(SectionKind::Layers)?;
        cursor.records::<{ ChannelRecord::LEN }>(SectionKind::Channels)?;
        cursor.bytes(SectionKind::Weights)?;
        cursor.one_record::<{ PreprocessRecord::LEN }>(SectionKind::Preprocess)?;
        cursor.records::<4>(SectionKind::SelfTest)?;
        cursor.text(SectionKind::Names)?;
        cursor.text(SectionKind::Labels)?;
        cursor.text(SectionKind::Info)?;
        Ok(())
    }

    /// The file, as far as it is there.
    #[cfg(feature = "std")]
    pub(crate) const fn file(&self) -> &'m [u8] {
        self.file
    }

    /// Bytes of the whole file.
    pub(crate) const fn file_len(&self) -> usize {
        self.file.len() + self.left_out()
    }

    /// These bytes of the file, as far as they are there.
    fn get(&self, range: Range<usize>) -> Option<&'m [u8]> {
        self.file.get(self.place(range.start)..self.place(range.end))
    }

    /// Where a byte of the file is, or would be.
    #[cfg(feature = "std")]
    fn place(&self, at: usize) -> usize {
        at - at.saturating_sub(self.left_out.start).min(self.left_out.len)
    }

    /// Where it is in the file.
    #[cfg(not(feature = "std"))]
    #[expect(clippy::unused_self, reason = "with `std` it is needed")]
    const fn place(&self, at: usize) -> usize {
        at
    }

    #[inline(never)]
    pub(crate) fn graph(&self) -> GraphRecord {
        GraphRecord::read(self.record(SectionKind::Graph))
    }

    #[inline(never)]
    pub(crate) fn tensors(&self) -> &'m [[u8; TensorRecord::LEN]] {
        self.records(SectionKind::Tensors)
    }

    #[inline(never)]
    pub(crate) fn layers(&self) -> &'m [[u8; LayerRecord::LEN]] {
        self.records(SectionKind::Layers)
    }

    #[inline(never)]
    pub(crate) fn channels(&self) -> &'m [[u8; ChannelRecord::LEN]] {
        self.records(SectionKind::Channels)
    }

    /// `count` weights; none if they are left out, `None` if they are not in the file, or some are left out and some not.
    pub(crate) fn weights(&self, start: usize, count: usize) -> Option<&'m [i8]> {
        let end = start.checked_add(count)?;
        if self.left_out() > 0 && end <= self.left_out() {
            return Some(&[]);
        }
        let there: &[i8] = bytemuck::try_cast_slice(self.bytes(SectionKind::Weights)).unwrap_or_default();
        there.get(start.checked_sub(self.left_out())?..end - self.left_out())
    }

    pub(crate) fn preprocess(&self) -> PreprocessRecord {
        PreprocessRecord::read(self.record(SectionKind::Preprocess))
    }

    pub(crate) fn self_test(&self) -> &'m [[u8; 4]] {
        self.records(SectionKind::SelfTest)
    }

    pub(crate) fn names(&self) -> &'m str {
        self.text(SectionKind::Names)
    }

    pub(crate) fn labels(&self) -> &'m str {
        self.text(SectionKind::Labels)
    }

    pub(crate) fn info(&self) -> &'m str {
        self.text(SectionKind::Info)
    }

    /// The bytes of a section; none if the file does not hold what the table names.
    #[inline(never)]
    fn bytes(&self, kind: SectionKind) -> &'m [u8] {
        self.range(kind).and_then(|range| self.get(range)).unwrap_or_default()
    }

    /// Where the table says that a section is.
    pub(crate) fn range(&self, kind: SectionKind) -> Option<Range<usize>> {
        let Entry { offset, len, .. } = entry(self.file, kind as usize - 1)?;
        Some(offset..offset.checked_add(len)?)
    }

    /// The layers that run together with layer `first`, with which a group begins: up to the first one whose output the arena holds
    /// as a whole. Most groups have one layer, which does not run by rows.
    #[inline(never)]
    pub(crate) fn group(&self, first: usize) -> Range<usize> {
        let outputs = self.tensors().get(first + 1..).unwrap_or_default().iter().take(MAX_GROUP - 1);
        let streamed = outputs.take_while(|output| TensorRecord::read(output).kept_rows > 0).count();
        first..first + streamed + 1
    }

    /// All groups in execution order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Range<usize>> + use<'m> {
        let (sections, mut first) = (*self, 0);
        core::iter::from_fn(move || {
            let group = sections.group(first);
            first = group.end;
            (first <= sections.layers().len()).then_some(group)
        })
    }

    fn records<const N: usize>(&self, kind: SectionKind) -> &'m [[u8; N]] {
        self.bytes(kind).as_chunks().0
    }

    fn record<const N: usize>(&self, kind: SectionKind) -> &'m [u8; N] {
        self.bytes(kind).first_chunk().unwrap_or(&[0; N])
    }

    #[inline(never)]
    fn text(&self, kind: SectionKind) -> &'m str {
        core::str::from_utf8(self.bytes(kind)).unwrap_or_default()
    }
}

/// An entry of the section table.
struct Entry {
    kind: u32,
    offset: usize,
    len: usize,
}

/// Entry `index`; `None` when the file ends before.
fn entry(file: &[u8], index: usize) -> Option<Entry> {
    let at = HEADER_LEN + index * ENTRY_LEN;
    let (kind, offset, len) = (u32_at(file, at)?, u32_at(file, at + 4)?, u32_at(file, at + 8)?);
    Some(Entry { kind, offset: offset as usize, len: len as usize })
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u16_at(file: &[u8], at: usize) -> Option<u16> {
    file.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// Magic, version and length of a file of `len` bytes that begins with `start`, in this order: a file of another version may differ in all
/// that follows.
pub(crate) fn check_header(start: &[u8], len: usize) -> Result<(), LoadError> {
    let too_short = LoadError::Length { expected: HEADER_LEN as u64, found: len as u64 };
    if !start.starts_with(&MAGIC) {
        let cut_short = start.len() < MAGIC.len() && MAGIC.starts_with(start);
        return Err(if cut_short { too_short } else { LoadError::Magic });
    }
    let version = u16_at(start, 8).ok_or(too_short)?;
    if version != FORMAT_VERSION {
        return Err(LoadError::Version { found: version, supported: FORMAT_VERSION });
    }
    if len < HEADER_LEN {
        return Err(too_short);
    }
    let expected = u32_at(start, 12).ok_or(too_short)?.into();
    if expected != len as u64 {
        return Err(LoadError::Length { expected, found: len as u64 });
    }
    Ok(())
}

/// Compares the checksum in the header with that of all bytes behind it.
fn check_checksum(file: &[u8]) -> Result<(), LoadError> {
    compare_checksum(file, crc32(file.get(CHECKSUM_START..).unwrap_or_default()))
}

/// Compares the checksum in the header with one that was computed.
pub(crate) fn compare_checksum(file: &[u8], computed: u32) -> Result<(), LoadError> {
    let stored = u32_at(file, 16).unwrap_or_default();
    if computed == stored { Ok(()) } else { Err(LoadError::Checksum { stored, computed }) }
}

/// Walks the section table; `end` is where the previous section ended. Each section begins at the first aligned byte
/// behind it, the bytes between are 0, and the last one ends with the file: a file has one form only.
struct Cursor<'m> {
    sections: Sections<'m>,
    index: usize,
    end: usize,
}

impl<'m> Cursor<'m> {
    /// The bytes of the next section, which must be of this kind and in its place.
    fn bytes(&mut self, kind: SectionKind) -> Result<&'m [u8], LoadError> {
        let entry = entry(self.sections.file, self.index).ok_or(kind.error(Problem::TableCutShort))?;
        let Entry { kind: stored_kind, offset, len } = entry;
        if stored_kind != kind as u32 {
            return Err(kind.error(Problem::NotInPlace));
        }
        if Some(offset) != self.end.checked_next_multiple_of(kind.align()) {
            return Err(kind.error(Problem::NotBehindTheLast));
        }
        let past = kind.error(Problem::PastFile);
        let end = offset.checked_add(len).ok_or(past)?;
        let gap = self.sections.get(self.end..offset).ok_or(past)?;
        let bytes = self.sections.get(offset..end).ok_or(past)?;
        if gap.iter().any(|byte| *byte != 0) {
            return Err(kind.error(Problem::GapNotZero));
        }
        if kind == SectionKind::Info && end != self.sections.file_len() {
            return Err(kind.error(Problem::NotTheFilesEnd));
        }
        (self.end, self.index) = (end, self.index + 1);
        Ok(bytes)
    }

    fn records<const N: usize>(&mut self, kind: SectionKind) -> Result<&'m [[u8; N]], LoadError> {
        match self.bytes(kind)?.as_chunks::<N>() {
            (records, []) => Ok(records),
            _ => Err(kind.error(Problem::BrokenRecord)),
        }
    }

    fn one_record<const N: usize>(&mut self, kind: SectionKind) -> Result<&'m [u8; N], LoadError> {
        match self.records(kind)? {
            [record] => Ok(record),
            _ => Err(kind.error(Problem::NotOneRecord)),
        }
    }

    fn text(&mut self, kind: SectionKind) -> Result<&'m str, LoadError> {
        core::str::from_utf8(self.bytes(kind)?).map_err(|_| kind.error(Problem::NotUtf8))
    }
}
