//! The header of NumPy's `.npy` format, versions 1 to 3 (`numpy.lib.format`).
//!
//! Written here because the crates that read it bring a parser generator and a C compiler into the device binary's
//! build, for one line of text.

use std::io::Read;

/// NumPy pads a plain array's header to 128 bytes; a structured one grows with its fields.
const LONGEST_HEADER: u32 = 1 << 16;

/// What the header says about the bytes behind it.
#[derive(Debug)]
pub(super) struct NpyHeader {
    /// The element type as NumPy writes it, `|u1` for `uint8`.
    pub(super) dtype: String,
    /// Whether the first index runs fastest.
    pub(super) fortran_order: bool,
    /// Length along each axis.
    pub(super) shape: Vec<u64>,
}

impl NpyHeader {
    /// Reads up to the first byte of the array. The error is the reason in a few words.
    pub(super) fn read(mut from: impl Read) -> Result<Self, String> {
        let [magic @ .., major, _minor] = take::<8>(&mut from)?;
        if magic != *b"\x93NUMPY" {
            return Err("other first bytes".to_owned());
        }
        let length = match major {
            1 => u16::from_le_bytes(take(&mut from)?).into(),
            2 | 3 => u32::from_le_bytes(take(&mut from)?),
            _ => return Err(format!("version {major} of the format")),
        };
        if length > LONGEST_HEADER {
            return Err(format!("a header of {length} bytes"));
        }
        let mut dictionary = String::new();
        let read = from.take(length.into()).read_to_string(&mut dictionary).map_err(|e| e.to_string())?;
        if read < length as usize {
            return Err("it ends within its header".to_owned());
        }
        Self::parse(&dictionary)
    }

    /// The header is a Python dictionary of three entries, such as
    /// `{'descr': '|u1', 'fortran_order': False, 'shape': (10, 32, 32, 3), }`.
    fn parse(dictionary: &str) -> Result<Self, String> {
        let descr = entry(dictionary, "'descr'").ok_or("no element type in its header")?;
        let dtype = match descr.strip_prefix('\'').and_then(|d| d.split_once('\'')) {
            Some((dtype, _)) => dtype.to_owned(),
            None => "a structured type".to_owned(),
        };
        let order = entry(dictionary, "'fortran_order'").ok_or("no fortran_order in its header")?;
        let shape = entry(dictionary, "'shape'").and_then(tuple).ok_or("no shape in its header")?;
        Ok(Self { dtype, fortran_order: order.starts_with("True"), shape })
    }
}

fn take<const N: usize>(from: &mut impl Read) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// What follows `key` and its colon.
fn entry<'d>(dictionary: &'d str, key: &str) -> Option<&'d str> {
    let (_, rest) = dictionary.split_once(key)?;
    rest.trim_start().strip_prefix(':').map(str::trim_start)
}

/// `(10, 32, 32, 3)`, with or without a comma before the bracket.
fn tuple(text: &str) -> Option<Vec<u64>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    let numbers = inside.split(',').map(str::trim).filter(|n| !n.is_empty());
    numbers.map(|n| n.parse().ok()).collect()
}
