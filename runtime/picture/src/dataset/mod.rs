//! Sample pictures with or without labels, read one at a time.

mod error;
mod folder;
mod npy;
mod records;

use std::path::{Path, PathBuf};

use resi8::Preprocess;

pub use error::DatasetError;
use folder::Folder;
pub use folder::pictures_below;
use records::Records;

/// How the samples of a [`Dataset`] become model inputs, and where their labels are.
#[derive(Debug, Clone)]
pub struct DatasetOptions {
    /// Geometry and channel order.
    pub preprocess: Preprocess,
    /// Rows of the model's input.
    pub height: usize,
    /// Columns of the model's input.
    pub width: usize,
    /// For a folder: a CSV file with the columns `file` and `class_index`, others are ignored. `file` is a
    /// picture's path below the folder or just its file name.
    pub labels_csv: Option<PathBuf>,
}

/// One picture, ready for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The path below the dataset's folder, or the record's number from 0.
    pub name: String,
    /// `height * width * channels` bytes, row by row, channels in the model's order.
    pub pixels: Vec<u8>,
    /// The class, from 0, where the dataset has labels.
    pub label: Option<u32>,
}

/// Sample pictures, one of:
///
/// - a folder: every `.jpg`, `.jpeg` and `.png` file in it and below it (upper or lower case), in the order of their
///   paths. Files and folders whose name begins with a dot are left out. Sub-folders are not taken for classes.
/// - a `.bin` file in the manner of CIFAR-10: records of one label byte and the planes of one picture.
/// - a `.npy` file of `uint8`, `N x H x W x C` or `N x C x H x W`, without labels.
///
/// The pictures in `.bin` and `.npy` files are red, green, blue (or one grey channel for a grey model) and have the
/// model's input size already: the channel order is applied to them, resize and crop are not.
///
/// A sample is read when it is asked for. Only the names and labels of a folder's files stay in memory, and threads
/// can share a dataset.
#[derive(Debug)]
pub struct Dataset {
    source: Source,
    options: DatasetOptions,
}

#[derive(Debug)]
enum Source {
    Folder(Folder),
    Records(Records),
}

impl Dataset {
    /// Opens a dataset. Pictures are not decoded yet, so a damaged one is found by [`Dataset::get`].
    ///
    /// # Errors
    /// Nothing usable at `path`, no sample in it, records that do not fit the model's input, or labels that do not
    /// fit the pictures one to one.
    pub fn open(path: &Path, options: DatasetOptions) -> Result<Self, DatasetError> {
        let metadata = path.metadata().map_err(|e| DatasetError::read(path, e))?;
        let source = if metadata.is_dir() {
            Source::Folder(Folder::open(path, options.labels_csv.as_deref())?)
        } else if options.labels_csv.is_some() {
            return Err(DatasetError::LabelsNeedFolder { path: path.to_owned() });
        } else {
            Source::Records(Records::open(path, &options)?)
        };
        Ok(Self { source, options })
    }

    /// Number of samples, at least 1.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a dataset without a sample is refused when it is opened"
    )]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Folder(folder) => folder.len(),
            Source::Records(records) => records.len(),
        }
    }

    /// True where every sample has a label.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        match &self.source {
            Source::Folder(folder) => folder.has_labels(),
            Source::Records(records) => records.has_labels(),
        }
    }

    /// Files in a folder that were left out because they are not named like pictures.
    #[must_use]
    pub fn ignored_files(&self) -> usize {
        match &self.source {
            Source::Folder(folder) => folder.ignored,
            Source::Records(_) => 0,
        }
    }

    /// Reads sample `index`, from 0.
    ///
    /// # Errors
    /// There is no such sample, the file cannot be read any more, or the picture cannot be decoded or is too small.
    pub fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        match &self.source {
            Source::Folder(folder) => folder.get(index, &self.options),
            Source::Records(records) => records.get(index, self.options.preprocess.order),
        }
    }

    /// Reads all samples in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Sample, DatasetError>> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }
}
