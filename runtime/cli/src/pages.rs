//! Memory for a model file and for its packed weights. To touch a page for the first time often takes longer than what is then done with
//! it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use memmap2::{MmapMut, MmapOptions};

/// Memory that starts at a page.
#[derive(Debug)]
pub struct Pages {
    map: MmapMut,
    len: usize,
}

impl Pages {
    /// `len` zeroed bytes, all of which will be written: Linux provides them here and at once, other systems when they are written.
    ///
    /// # Errors
    /// The system has not that much address space. One that has, but not the memory, may end the process.
    pub fn new(len: usize) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(len).populate().map_anon()?, len })
    }

    /// The content of a model file, or of what has no length beforehand, such as a pipe.
    ///
    /// # Errors
    /// It cannot be opened or read, is longer than a model can be, or the system has not that much address space.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::of(&mut File::open(path)?)
    }

    /// The same of one that is open.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(file: &mut File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let expected = if metadata.is_file() { metadata.len() } else { 0 };
        // A model states its length in 32 bits.
        let expected = u32::try_from(expected).map_err(|_| ErrorKind::FileTooLarge)?;
        let mut pages = Self::new(expected as usize)?;
        pages.len = fill(file, &mut pages)?;
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        if rest.is_empty() {
            return Ok(pages);
        }
        let mut all = Self::new(pages.len + rest.len())?;
        let (start, end) = all.split_at_mut(pages.len);
        start.copy_from_slice(&pages);
        end.copy_from_slice(&rest);
        Ok(all)
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[..self.len]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.len]
    }
}

/// Reads until the buffer is full or the input ends; how many bytes that were.
pub(crate) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_lengths() {
        for len in [0, 1, 4096, 5_000_000] {
            let content: Vec<u8> = (0..=255).cycle().take(len).collect();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, &content).unwrap();
            assert!(*Pages::read(file.path()).unwrap() == *content);
        }
    }

    #[test]
    fn what_ends_before_the_buffer_is_full() {
        let (content, mut buffer) = ([1, 2, 3], [0; 5]);
        assert_eq!(fill(&mut content.as_slice(), &mut buffer).unwrap(), 3);
        assert_eq!(buffer, [1, 2, 3, 0, 0]);
    }

    #[test]
    fn no_memory_for_what_is_too_long_for_a_model() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 32).unwrap();
        assert_eq!(Pages::read(file.path()).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    /// The kernel's files have a length of 0, whatever they hold.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_longer_than_its_metadata_says() {
        let text = Pages::read(Path::new("/proc/cpuinfo")).unwrap();
        assert!(text.len() > 100 && text.starts_with(b"processor"));
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_length_and_what_cannot_be_read() {
        assert!(Pages::read(Path::new("/dev/null")).unwrap().is_empty());
        let folder = tempfile::tempdir().unwrap();
        assert!(Pages::read(folder.path()).is_err());
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let content: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&pipe, &content).unwrap());
            assert!(*Pages::read(&pipe).unwrap() == *content);
        });
    }
}
