//! Files of equally long records: CIFAR-style `.bin` and NumPy's `.npy`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use resi8::ChannelOrder;

use super::npy::NpyHeader;
use super::{DatasetError, DatasetOptions, Sample};

/// How the bytes of one picture follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `[channel][row][column]`
    Planes,
    /// `[row][column][channel]`
    Pixels,
}

/// A file of equally long records.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    /// Seeking and reading go together, so threads take turns; decoding the bytes happens outside the lock.
    file: Mutex<File>,
    /// Bytes before the first record.
    start: u64,
    /// Number of records.
    count: usize,
    /// Whether a record begins with a label byte.
    labelled: bool,
    layout: Layout,
    /// Bytes of one channel of one picture.
    plane: usize,
    channels: usize,
}

impl Records {
    pub(super) fn open(path: &Path, options: &DatasetOptions) -> Result<Self, DatasetError> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let open = match extension.to_ascii_lowercase().as_str() {
            "bin" => open_bin,
            "npy" => open_npy,
            _ => return Err(DatasetError::UnknownKind { path: path.to_owned() }),
        };
        let file = File::open(path).map_err(|e| DatasetError::read(path, e))?;
        let length = file.metadata().map_err(|e| DatasetError::read(path, e))?.len();
        let records = open(path, file, length, options)?;
        if records.count == 0 {
            return Err(DatasetError::NoRecords { path: path.to_owned() });
        }
        Ok(records)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn has_labels(&self) -> bool {
        self.labelled
    }

    pub(super) fn get(&self, index: usize, order: ChannelOrder) -> Result<Sample, DatasetError> {
        if index >= self.count {
            return Err(DatasetError::NoSuchSample { index, len: self.count });
        }
        let record = self.read(index).map_err(|e| DatasetError::read(&self.path, e))?;
        let (label, picture) = match record.split_first() {
            Some((&label, picture)) if self.labelled => (Some(u32::from(label)), picture),
            _ => (None, record.as_slice()),
        };
        Ok(Sample { name: index.to_string(), pixels: self.arrange(picture, order), label })
    }

    /// The bytes of one record.
    fn read(&self, index: usize) -> std::io::Result<Vec<u8>> {
        let mut record = vec![0; usize::from(self.labelled) + self.plane * self.channels];
        // `open` has found `start + count * record` bytes in the file, so this cannot overflow.
        let offset = self.start + index as u64 * record.len() as u64;
        // A panic of another thread leaves nothing half-done that the seek would not set right.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut record)?;
        Ok(record)
    }

    /// A record's picture in the model's layout and channel order.
    fn arrange(&self, picture: &[u8], order: ChannelOrder) -> Vec<u8> {
        let channels = self.channels;
        let source =
            |channel: usize| if order == ChannelOrder::Bgr { channels - 1 - channel } else { channel };
        let at = |pixel: usize, channel: usize| match self.layout {
            Layout::Planes => channel * self.plane + pixel,
            Layout::Pixels => pixel * channels + channel,
        };
        let indices = (0..self.plane).flat_map(|pixel| (0..channels).map(move |c| (pixel, c)));
        indices.filter_map(|(pixel, c)| picture.get(at(pixel, source(c))).copied()).collect()
    }
}

/// Records of one label byte and the planes of one picture, nothing else in the file.
fn open_bin(path: &Path, file: File, length: u64, options: &DatasetOptions) -> Result<Records, DatasetError> {
    let &DatasetOptions { height, width, .. } = options;
    let channels = options.preprocess.order.channels();
    let plane = height * width;
    let record = (plane * channels) as u64 + 1;
    if !length.is_multiple_of(record) {
        let path = path.to_owned();
        return Err(DatasetError::RecordSize { path, length, record, channels, height, width });
    }
    Ok(Records {
        path: path.to_owned(),
        file: Mutex::new(file),
        start: 0,
        count: count(length / record),
        labelled: true,
        layout: Layout::Planes,
        plane,
        channels,
    })
}

/// A four-dimensional array of bytes in C order. Where both layouts fit the shape (a picture as high and wide as it
/// has channels), the channels are taken to come last.
fn open_npy(
    path: &Path,
    mut file: File,
    length: u64,
    options: &DatasetOptions,
) -> Result<Records, DatasetError> {
    let &DatasetOptions { height, width, .. } = options;
    let channels = options.preprocess.order.channels();
    let header = NpyHeader::read(&mut file)
        .map_err(|detail| DatasetError::NotNpy { path: path.to_owned(), detail })?;
    let start = file.stream_position().map_err(|e| DatasetError::read(path, e))?;
    check_npy_type(path, &header)?;
    let (h, w, c) = (height as u64, width as u64, channels as u64);
    let (number, layout) = match header.shape[..] {
        [n, a, b, d] if (a, b, d) == (h, w, c) => (n, Layout::Pixels),
        [n, a, b, d] if (a, b, d) == (c, h, w) => (n, Layout::Planes),
        _ => {
            let (path, shape) = (path.to_owned(), header.shape);
            return Err(DatasetError::NpyShape { path, shape, channels, height, width });
        }
    };
    let expected = number.saturating_mul(h * w * c).saturating_add(start);
    if length != expected {
        return Err(DatasetError::NpyLength { path: path.to_owned(), length, expected });
    }
    Ok(Records {
        path: path.to_owned(),
        file: Mutex::new(file),
        start,
        count: count(number),
        labelled: false,
        layout,
        plane: height * width,
        channels,
    })
}

/// Unsigned bytes in C order, nothing else.
fn check_npy_type(path: &Path, header: &NpyHeader) -> Result<(), DatasetError> {
    if !matches!(header.dtype.as_str(), "|u1" | "<u1" | ">u1") {
        return Err(DatasetError::NpyType { path: path.to_owned(), dtype: header.dtype.clone() });
    }
    if header.fortran_order {
        return Err(DatasetError::NpyOrder { path: path.to_owned() });
    }
    Ok(())
}

/// A 32-bit system sees the first 4 billion records.
fn count(records: u64) -> usize {
    usize::try_from(records).unwrap_or(usize::MAX)
}
