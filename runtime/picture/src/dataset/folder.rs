//! A folder of pictures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{DatasetError, DatasetOptions, Sample};

/// The pictures in and below a folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Below `root`, sorted.
    files: Vec<PathBuf>,
    /// One per file, where there are labels.
    labels: Option<Vec<u32>>,
    /// Files that are not named like pictures.
    pub(super) ignored: usize,
}

impl Folder {
    pub(super) fn open(root: &Path, labels_csv: Option<&Path>) -> Result<Self, DatasetError> {
        let (files, ignored) = find_pictures(root)?;
        let labels = labels_csv.map(|csv| match_labels(csv, &files)).transpose()?;
        Ok(Self { root: root.to_owned(), files, labels, ignored })
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    pub(super) fn get(&self, index: usize, options: &DatasetOptions) -> Result<Sample, DatasetError> {
        let no_such = DatasetError::NoSuchSample { index, len: self.len() };
        let file = self.files.get(index).ok_or(no_such)?;
        let path = self.root.join(file);
        let pixels = crate::load(&path, &options.preprocess, options.height, options.width)?;
        let label = self.labels.as_ref().and_then(|labels| labels.get(index)).copied();
        Ok(Sample { name: portable_name(file), pixels, label })
    }
}

/// The pictures in and below a folder, at least one, in the order of their paths: those that a
/// [`Dataset`](crate::Dataset) of this folder has. Each path begins with `root`.
///
/// # Errors
/// The folder or one below it cannot be read, or there is no picture.
pub fn pictures_below(root: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let (files, _) = find_pictures(root)?;
    Ok(files.iter().map(|file| root.join(file)).collect())
}

/// The pictures below `root`, sorted, and the number of other files.
fn find_pictures(root: &Path) -> Result<(Vec<PathBuf>, usize), DatasetError> {
    let hidden =
        |entry: &DirEntry| entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
    let mut files = Vec::new();
    let mut ignored = 0;
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(|e| !hidden(e)) {
        let entry = entry.map_err(DatasetError::Walk)?;
        if entry.file_type().is_dir() {
            continue;
        }
        match entry.path().strip_prefix(root) {
            Ok(below) if has_picture_name(below) => files.push(below.to_owned()),
            _ => ignored += 1,
        }
    }
    if files.is_empty() {
        return Err(DatasetError::NoPictures { path: root.to_owned(), ignored });
    }
    files.sort();
    Ok((files, ignored))
}

fn has_picture_name(path: &Path) -> bool {
    let known = |extension: &str| ["jpg", "jpeg", "png"].iter().any(|k| extension.eq_ignore_ascii_case(k));
    path.extension().and_then(|e| e.to_str()).is_some_and(known)
}

/// The path with forward slashes, the same on every system.
fn portable_name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// One label per file. Every line must have its picture and every picture its line.
fn match_labels(csv: &Path, files: &[PathBuf]) -> Result<Vec<u32>, DatasetError> {
    let mut lines = read_labels(csv)?;
    let mut labels = Vec::with_capacity(files.len());
    let mut unlabelled = Vec::new();
    for file in files {
        let name = portable_name(file);
        let bare = name.rsplit('/').next().unwrap_or(&name).to_owned();
        let line = if lines.contains_key(&name) { lines.get_mut(&name) } else { lines.get_mut(&bare) };
        match line {
            Some(line) => {
                line.used = true;
                labels.push(line.class);
            }
            None => unlabelled.push(name),
        }
    }
    if !unlabelled.is_empty() {
        return Err(DatasetError::Unlabelled { path: csv.to_owned(), names: unlabelled });
    }
    let mut unused: Vec<String> =
        lines.into_iter().filter(|(_, line)| !line.used).map(|(name, _)| name).collect();
    if unused.is_empty() {
        return Ok(labels);
    }
    unused.sort();
    Err(DatasetError::NoSuchPicture { path: csv.to_owned(), names: unused })
}

/// One line of the labels CSV.
struct Line {
    class: u32,
    /// Whether a picture goes by it.
    used: bool,
}

/// The lines of a labels CSV by their `file` column.
fn read_labels(csv: &Path) -> Result<HashMap<String, Line>, DatasetError> {
    let syntax = |detail: String| DatasetError::LabelsSyntax { path: csv.to_owned(), detail };
    let file = std::fs::File::open(csv).map_err(|e| DatasetError::read(csv, e))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(|e| syntax(e.to_string()))?;
    let column = |wanted: &str| {
        let missing = || syntax(format!("no column {wanted} in its first line"));
        header.iter().position(|name| name == wanted).ok_or_else(missing)
    };
    let (file_column, class_column) = (column("file")?, column("class_index")?);
    let mut lines = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|e| syntax(e.to_string()))?;
        let number = record.position().map_or(0, csv::Position::line);
        let name = record.get(file_column).unwrap_or_default().to_owned();
        let class = record.get(class_column).unwrap_or_default();
        let class =
            class.parse().map_err(|e| syntax(format!("line {number}: class_index {class:?}: {e}")))?;
        if lines.insert(name.clone(), Line { class, used: false }).is_some() {
            return Err(DatasetError::LabelTwice { path: csv.to_owned(), name });
        }
    }
    Ok(lines)
}
