//! The model file: `docs/format.md` in code.
//!
//! [`records`] holds every record with its reader and its writer side by side, [`sections`] the header and the section
//! table, `validate` every check that a file must pass before it is trusted, `products` those of weights and channels, `streaming` those of layers that run by rows, [`problem`] what each of them says, [`mod@write`] the
//! assembly of a file.

pub mod problem;
pub(crate) mod products;
pub mod records;
pub mod sections;
mod streaming;
pub(crate) mod validate;
#[cfg(feature = "write")]
pub mod write;

/// First bytes of every model file. The line ends catch a copy in text mode, the first byte a 7-bit channel.
pub const MAGIC: [u8; 8] = *b"\x89RESI8\r\n";

/// Version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u16 = 3;

/// Activations start at multiples of this many bytes from the start of the arena.
pub const TENSOR_ALIGN: usize = 64;

/// The weights section starts at a multiple of this many bytes from the start of the file.
pub const WEIGHTS_ALIGN: usize = 64;

/// Most layers a model can have.
pub const MAX_LAYERS: usize = 4096;

/// Most bytes of the names, of the labels and of the information about the model.
pub const MAX_TEXT: usize = 1 << 20;

/// Most rows and most columns of a convolution kernel or pooling window.
pub const MAX_KERNEL: u8 = 16;

/// Largest vertical and horizontal stride.
pub const MAX_STRIDE: u8 = 16;

/// Most layers that run together by rows.
pub const MAX_GROUP: usize = 4;

/// Seed-to-pixels generator of the self-test: xorshift32 (Marsaglia 2003, shifts 13, 17, 5), the top byte of each state.
#[derive(Debug, Clone)]
pub struct SelfTestPixels(u32);

impl SelfTestPixels {
    /// Starts the sequence; `seed` is not 0.
    #[must_use]
    pub const fn new(seed: u32) -> Self {
        Self(seed)
    }
}

impl Iterator for SelfTestPixels {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        Some(self.0.to_le_bytes()[3])
    }
}

/// The lines of a text, with or without a line break at its end. Unlike [`str::lines`] it has no call of a panic.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> + Clone {
    let bytes = text.as_bytes();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let used = if text.is_empty() { 0 } else { usize::MAX };
    bytes.split(|byte| *byte == b'\n').take(used).map(|line| core::str::from_utf8(line).unwrap_or_default())
}

/// CRC-32 (ISO-HDLC, as in zip and Ethernet) of `bytes`: the checksum of the file and the hash of a layer's output.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    checksum::go_on(0, bytes)
}

/// The CRC-32 of bytes that come in pieces: of `bytes` behind those whose CRC-32 is `before`, 0 for none.
pub(crate) fn crc32_behind(before: u32, bytes: &[u8]) -> u32 {
    checksum::go_on(before, bytes)
}

/// On hosts, where files are large: carry-less multiplication.
#[cfg(feature = "std")]
mod checksum {
    pub(super) fn go_on(before: u32, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(before);
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// On microcontrollers: half a byte at a time, with a table of 64 bytes. The crate `crc` has a table of 1 KiB, and without one takes three
/// times as long as the whole check of a model does with this.
#[cfg(not(feature = "std"))]
mod checksum {
    /// The reversed polynomial 0x04c11db7.
    const POLYNOMIAL: u32 = 0xedb8_8320;

    /// The remainders of all half bytes.
    static REMAINDERS: [u32; 16] = remainders();

    const fn remainders() -> [u32; 16] {
        let mut table = [0; 16];
        let mut rest = table.as_mut_slice();
        let mut value = 0;
        while let [first, others @ ..] = rest {
            let mut remainder = value;
            let mut bit = 0;
            while bit < 4 {
                remainder = if remainder & 1 == 1 { remainder >> 1 ^ POLYNOMIAL } else { remainder >> 1 };
                bit += 1;
            }
            *first = remainder;
            rest = others;
            value += 1;
        }
        table
    }

    /// Takes in the half byte that the low bits of `crc` hold.
    fn step(crc: u32) -> u32 {
        crc >> 4 ^ REMAINDERS.get((crc & 15) as usize).copied().unwrap_or(0)
    }

    #[inline(never)]
    pub(super) fn go_on(before: u32, bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!before, |crc, byte| step(step(crc ^ u32::from(*byte))))
    }
}
