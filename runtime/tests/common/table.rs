//! The section table of a file.

use std::ops::Range;

use resi8::format::sections::{ENTRY_LEN, HEADER_LEN, SectionKind};

/// Where the table says that a section is.
pub fn section(file: &[u8], kind: SectionKind) -> Range<usize> {
    let [start, len] = [1, 2].map(|field| {
        let bytes = file[entry_place(kind, field)..].first_chunk().unwrap();
        usize::try_from(u32::from_le_bytes(*bytes)).unwrap()
    });
    start..start + len
}

/// Changes a field of an entry of the section table: kind, offset or length.
pub fn set_entry(file: &mut [u8], kind: SectionKind, field: usize, value: u32) {
    *file[entry_place(kind, field)..].first_chunk_mut().unwrap() = value.to_le_bytes();
}

fn entry_place(kind: SectionKind, field: usize) -> usize {
    HEADER_LEN + (kind as usize - 1) * ENTRY_LEN + 4 * field
}
