//! What can be wrong with a dataset.

use std::path::{Path, PathBuf};

use crate::error::PictureError;

/// Names that an error spells out; the rest is counted.
const NAMES_SHOWN: usize = 3;

/// What can be wrong with a dataset. Every message is one line that says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder cannot be opened or read.
    #[error("{}: cannot be read: {error}; check the path and the permissions", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's words.
        error: std::io::Error,
    },
    /// A folder cannot be walked through.
    #[error("a folder cannot be read: {0}; check the permissions and symbolic links")]
    Walk(walkdir::Error),
    /// A picture cannot be decoded or is too small.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A folder without pictures.
    #[error(
        "{}: no picture in this folder ({ignored} other files); put .jpg, .jpeg or .png files there or name another \
         folder",
        path.display()
    )]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// Files that are not named like pictures.
        ignored: usize,
    },
    /// A file that is neither `.bin` nor `.npy`.
    #[error("{}: not a dataset; give a folder of pictures, a CIFAR-style .bin file or a .npy file", path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// A `.bin` or `.npy` file without a record.
    #[error("{}: holds no picture; give a file with at least one", path.display())]
    NoRecords {
        /// The file.
        path: PathBuf,
    },
    /// A `.bin` file whose length is not a multiple of the record.
    #[error(
        "{}: {length} bytes are not a whole number of records of {record} bytes (1 label + {channels} x {height} x \
         {width}); give a file cut for this model's input",
        path.display()
    )]
    RecordSize {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
        /// Bytes of one record.
        record: u64,
        /// Channels of the model's input.
        channels: usize,
        /// Rows of the model's input.
        height: usize,
        /// Columns of the model's input.
        width: usize,
    },
    /// A `.npy` file whose header cannot be read.
    #[error("{}: not a NumPy file ({detail}); write it with numpy.save", path.display())]
    NotNpy {
        /// The file.
        path: PathBuf,
        /// The reader's words.
        detail: String,
    },
    /// A `.npy` file of another element type.
    #[error("{}: holds {dtype} where uint8 is wanted; save raw pixels with array.astype('uint8')", path.display())]
    NpyType {
        /// The file.
        path: PathBuf,
        /// The element type as NumPy writes it.
        dtype: String,
    },
    /// A `.npy` file in Fortran order.
    #[error("{}: is in Fortran order; save numpy.ascontiguousarray(array)", path.display())]
    NpyOrder {
        /// The file.
        path: PathBuf,
    },
    /// A `.npy` file of another shape.
    #[error(
        "{}: has shape {shape:?} where N x {height} x {width} x {channels} or N x {channels} x {height} x {width} is \
         wanted; resize and crop the pictures before saving them",
        path.display()
    )]
    NpyShape {
        /// The file.
        path: PathBuf,
        /// Its shape.
        shape: Vec<u64>,
        /// Channels of the model's input.
        channels: usize,
        /// Rows of the model's input.
        height: usize,
        /// Columns of the model's input.
        width: usize,
    },
    /// A `.npy` file of another length than its header says.
    #[error("{}: {length} bytes long where its header asks for {expected}; save it again", path.display())]
    NpyLength {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
        /// Its length by its header.
        expected: u64,
    },
    /// A labels CSV together with a record file.
    #[error(
        "{}: a labels CSV goes with a folder of pictures only; leave it out (a .bin file holds its labels, a .npy \
         file has none)",
        path.display()
    )]
    LabelsNeedFolder {
        /// The dataset.
        path: PathBuf,
    },
    /// The labels CSV cannot be parsed.
    #[error("{}: not a CSV file of labels ({detail}); write a header line and the columns file,class_index", path.display())]
    LabelsSyntax {
        /// The CSV file.
        path: PathBuf,
        /// What is wrong, with the line.
        detail: String,
    },
    /// Two lines of the labels CSV are about the same picture.
    #[error("{}: {name} has two labels; leave one line for each picture", path.display())]
    LabelTwice {
        /// The CSV file.
        path: PathBuf,
        /// The picture.
        name: String,
    },
    /// Pictures without a line in the labels CSV.
    #[error(
        "{}: no line for {}; add the missing lines or take these pictures away",
        path.display(),
        shown(names, "picture")
    )]
    Unlabelled {
        /// The CSV file.
        path: PathBuf,
        /// The pictures, by their path below the folder.
        names: Vec<String>,
    },
    /// Lines of the labels CSV without a picture.
    #[error(
        "{}: no picture in the folder for {}; add the pictures or take these lines away",
        path.display(),
        shown(names, "line")
    )]
    NoSuchPicture {
        /// The CSV file.
        path: PathBuf,
        /// The `file` column of the lines.
        names: Vec<String>,
    },
    /// [`crate::Dataset::get`] past the end.
    #[error("sample {index} asked for, but there are only {len}, counted from 0")]
    NoSuchSample {
        /// What was asked for.
        index: usize,
        /// Number of samples.
        len: usize,
    },
}

impl DatasetError {
    pub(super) fn read(path: &Path, error: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }
}

/// `5 pictures: a.jpg, b.jpg, c.jpg, ...`
fn shown(names: &[String], what: &str) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let first = names.get(..NAMES_SHOWN).unwrap_or(names).join(", ");
    let rest = if names.len() > NAMES_SHOWN { ", ..." } else { "" };
    format!("{} {what}{plural}: {first}{rest}", names.len())
}
