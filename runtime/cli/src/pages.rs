//! Memory for what is large: a model file, and its packed weights. A page costs time when it is touched for the first time, often more
//! than what is done with it.

use std::fs::File;
use std::io::{self, Read};
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
    /// `len` zeroed bytes, all of which will be needed: the system provides them at once.
    ///
    /// # Errors
    /// The system has not that much memory.
    pub fn new(len: usize) -> io::Result<Self> {
        Ok(Self { map: MmapOptions::new().len(len).populate().map_anon()?, len })
    }

    /// The content of a file, or of what has no length beforehand, such as a pipe.
    ///
    /// # Errors
    /// It cannot be opened or read, or the system has not that much memory.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let expected = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut pages = Self::new(expected)?;
        pages.len = fill(&mut file, &mut pages)?;
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

/// Reads until the buffer is full or there is nothing more; returns how many bytes that were.
fn fill(source: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let whole = buffer.len();
    while !buffer.is_empty() {
        match source.read(buffer) {
            Ok(0) => break,
            Ok(count) => buffer = &mut buffer[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole - buffer.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_longer_or_shorter_than_its_metadata_say() {
        for len in [0, 1, 4096, 5_000_000] {
            let content: Vec<u8> = (0..=255).cycle().take(len).collect();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, &content).unwrap();
            assert!(*Pages::read(file.path()).unwrap() == *content);
            let mut short = vec![0; content.len() + 10];
            assert_eq!(fill(&mut &*content, &mut short).unwrap(), content.len());
            assert!(short[..content.len()] == *content);
        }
        assert!(Pages::read(Path::new("/dev/null")).unwrap().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_without_a_length_is_read_whole() {
        let text = Pages::read(Path::new("/proc/cpuinfo")).unwrap();
        assert!(text.len() > 100 && text.starts_with(b"processor"));
    }
}
