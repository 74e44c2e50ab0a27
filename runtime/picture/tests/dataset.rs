//! Folders, CIFAR-style files and NumPy files as datasets.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::preprocess;
use resi8::{ChannelOrder, Resize};
use resi8_picture::{Dataset, DatasetOptions, pictures_below};
use tempfile::TempDir;

const RED: [u8; 3] = [255, 0, 0];

fn options(order: ChannelOrder, height: usize, width: usize) -> DatasetOptions {
    DatasetOptions { preprocess: preprocess(order, Resize::None), height, width, labels_csv: None }
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// A 2 x 2 PNG of one colour.
fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[colour; 4].concat()).unwrap();
    bytes
}

/// The message of the error that opening gives.
fn refusal(path: &Path, options: DatasetOptions) -> String {
    let message = Dataset::open(path, options).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// A folder with three pictures in two levels, two other files and two hidden ones.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "b.PNG", &png([0, 255, 0]));
    write(&folder, "a.jpeg", &png(RED));
    write(&folder, "sub/c.png", &png([0, 0, 255]));
    write(&folder, "notes.txt", b"notes");
    write(&folder, "sub/README", b"readme");
    write(&folder, "._a.jpeg", b"resource fork");
    write(&folder, ".thumbnails/a.png", b"thumbnail");
    folder
}

fn labelled(folder: &TempDir, csv: &str) -> DatasetOptions {
    let labels = write(folder, "labels.csv", csv.as_bytes());
    DatasetOptions { labels_csv: Some(labels), ..options(ChannelOrder::Rgb, 2, 2) }
}

#[test]
fn a_folder_is_read_in_the_order_of_its_paths() {
    let folder = folder();
    let dataset = Dataset::open(folder.path(), options(ChannelOrder::Bgr, 1, 1)).unwrap();
    assert_eq!((dataset.len(), dataset.ignored_files(), dataset.has_labels()), (3, 2, false));
    let samples: Vec<_> = dataset.iter().map(Result::unwrap).collect();
    let names: Vec<&str> = samples.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a.jpeg", "b.PNG", "sub/c.png"]);
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
    assert_eq!(pictures_below(folder.path()).unwrap(), paths);
    assert_eq!(samples[0].pixels, [0, 0, 255]);
    assert_eq!(samples[2].pixels, [255, 0, 0]);
    assert_eq!(samples[0].label, None);
    assert!(dataset.get(3).unwrap_err().to_string().starts_with("sample 3 asked for, but there are only 3"));
}

#[test]
fn labels_are_matched_by_path_or_name() {
    let folder = folder();
    let csv = "wnid, file, class_index\nx, c.png, 7\ny, a.jpeg, 0\nz, b.PNG, 999\n";
    let dataset = Dataset::open(folder.path(), labelled(&folder, csv)).unwrap();
    assert!(dataset.has_labels());
    let labels: Vec<_> = dataset.iter().map(|s| s.unwrap().label).collect();
    assert_eq!(labels, [Some(0), Some(999), Some(7)]);
    let csv = "file,class_index\nsub/c.png,3\na.jpeg,1\nb.PNG,2\n";
    let dataset = Dataset::open(folder.path(), labelled(&folder, csv)).unwrap();
    assert_eq!(dataset.get(2).unwrap().label, Some(3));
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let folder = folder();
    let refused = |csv: &str| refusal(folder.path(), labelled(&folder, csv));
    let all = "file,class_index\na.jpeg,1\nb.PNG,2\nc.png,3\n";

    let message = refused("file,class_index\na.jpeg,1\n");
    assert!(message.contains("no line for 2 pictures: b.PNG, sub/c.png; add the missing lines"), "{message}");
    let message = refused(&format!("{all}d.png,1\ne.png,1\nf.png,1\ng.png,1\n"));
    assert!(
        message.contains("no picture in the folder for 4 lines: d.png, e.png, f.png, ...; add"),
        "{message}"
    );
    let message = refused(&format!("{all}a.jpeg,5\n"));
    assert!(message.contains("a.jpeg has two labels; leave one line"), "{message}");
    let message = refused("file,label\na.jpeg,1\n");
    assert!(message.contains("no column class_index in its first line"), "{message}");
    let message = refused("file,class_index\na.jpeg,-1\n");
    assert!(message.contains("line 2: class_index \"-1\": invalid digit"), "{message}");
    let message = refused("file,class_index\na.jpeg,1,2\n");
    assert!(message.contains("not a CSV file of labels") && message.contains("line: 2"), "{message}");
    let missing = DatasetOptions { labels_csv: Some("none.csv".into()), ..options(ChannelOrder::Rgb, 2, 2) };
    assert!(refusal(folder.path(), missing).starts_with("none.csv: cannot be read"));
}

#[test]
fn folders_without_pictures_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    let message = refusal(empty.path(), options(ChannelOrder::Rgb, 2, 2));
    assert!(message.contains("no picture in this folder (0 other files); put .jpg"), "{message}");
    write(&empty, "notes.txt", b"notes");
    let message = refusal(empty.path(), options(ChannelOrder::Rgb, 2, 2));
    assert!(message.contains("(1 other files)"), "{message}");
    let message = refusal(&empty.path().join("notes.txt"), options(ChannelOrder::Rgb, 2, 2));
    assert!(message.contains("not a dataset; give a folder of pictures"), "{message}");
    let message = refusal(&empty.path().join("gone"), options(ChannelOrder::Rgb, 2, 2));
    assert!(message.contains("gone: cannot be read") && message.contains("check the path"), "{message}");
}

#[test]
fn a_file_that_is_no_picture_is_named_when_its_turn_comes() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "a.jpg", &png(RED));
    let bad = write(&folder, "b.jpg", b"not a picture");
    let dataset = Dataset::open(folder.path(), options(ChannelOrder::Rgb, 2, 2)).unwrap();
    assert!(dataset.get(0).is_ok());
    let message = dataset.get(1).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: neither a JPEG nor a PNG", bad.display())), "{message}");
    let large = Dataset::open(folder.path(), options(ChannelOrder::Rgb, 3, 2)).unwrap();
    let message = large.get(0).unwrap_err().to_string();
    assert!(message.contains("a.jpg: the picture is 2 x 2 pixels where the model takes 2 x 3"), "{message}");
}

#[test]
fn bin_records_become_pixels() {
    let folder = tempfile::tempdir().unwrap();
    // Two records of 1 x 2 pixels: label, reds, greens, blues.
    let path = write(&folder, "two.bin", &[9, 1, 2, 11, 12, 21, 22, 255, 3, 4, 13, 14, 23, 24]);
    let dataset = Dataset::open(&path, options(ChannelOrder::Rgb, 1, 2)).unwrap();
    assert_eq!((dataset.len(), dataset.has_labels(), dataset.ignored_files()), (2, true, 0));
    let last = dataset.get(1).unwrap();
    assert_eq!((last.name.as_str(), last.label), ("1", Some(255)));
    assert_eq!(last.pixels, [3, 13, 23, 4, 14, 24]);
    assert_eq!(dataset.get(0).unwrap().label, Some(9));
    assert!(dataset.get(2).is_err());
    let bgr = Dataset::open(&path, options(ChannelOrder::Bgr, 1, 2)).unwrap();
    assert_eq!(bgr.get(0).unwrap().pixels, [21, 11, 1, 22, 12, 2]);
    let grey = Dataset::open(&path, options(ChannelOrder::Gray, 2, 3)).unwrap();
    assert_eq!(grey.get(0).unwrap().pixels, [1, 2, 11, 12, 21, 22]);
}

#[test]
fn bin_files_of_another_size_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "odd.bin", &[0; 15]);
    let message = refusal(&path, options(ChannelOrder::Rgb, 1, 2));
    let expected = "15 bytes are not a whole number of records of 7 bytes (1 label + 3 x 1 x 2); give";
    assert!(message.contains(expected), "{message}");
    let empty = write(&folder, "empty.bin", &[]);
    assert!(refusal(&empty, options(ChannelOrder::Rgb, 1, 2)).contains("holds no picture; give"));
    let labels = DatasetOptions { labels_csv: Some("l.csv".into()), ..options(ChannelOrder::Rgb, 1, 2) };
    assert!(refusal(&path, labels).contains("a labels CSV goes with a folder of pictures only"));
}

/// A NumPy file, version 1, written by hand: `header` is the Python dictionary.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn npy_of(shape: &str, data: &[u8]) -> Vec<u8> {
    npy(&format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n"), data)
}

#[test]
fn npy_records_become_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..12).collect();
    let last = write(&folder, "last.npy", &npy_of("(2, 1, 2, 3)", &data));
    let dataset = Dataset::open(&last, options(ChannelOrder::Rgb, 1, 2)).unwrap();
    assert_eq!((dataset.len(), dataset.has_labels()), (2, false));
    let sample = dataset.get(1).unwrap();
    assert_eq!((sample.name.as_str(), sample.label), ("1", None));
    assert_eq!(sample.pixels, [6, 7, 8, 9, 10, 11]);
    let first = write(&folder, "first.NPY", &npy_of("(2, 3, 1, 2)", &data));
    let dataset = Dataset::open(&first, options(ChannelOrder::Bgr, 1, 2)).unwrap();
    assert_eq!(dataset.get(0).unwrap().pixels, [4, 2, 0, 5, 3, 1]);
}

#[test]
fn npy_files_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| {
        let path = write(&folder, "array.npy", bytes);
        refusal(&path, options(ChannelOrder::Rgb, 1, 2))
    };
    let message = refused(&npy_of("(2, 2, 2, 3)", &[0; 24]));
    assert!(
        message.contains("shape [2, 2, 2, 3] where N x 1 x 2 x 3 or N x 3 x 1 x 2 is wanted"),
        "{message}"
    );
    assert!(refused(&npy_of("(6,)", &[0; 6])).contains("shape [6] where"));
    assert!(refused(&npy_of("(2, 1, 2, 3)", &[0; 11])).contains("bytes long where its header asks for"));
    assert!(refused(&npy_of("(0, 1, 2, 3)", &[])).contains("holds no picture"));
    let message = refused(&npy_of("(18446744073709551615, 1, 2, 3)", &[0; 6]));
    assert!(message.contains("bytes long where its header asks for 18446744073709551615"), "{message}");
    let floats = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 2, 3), }\n";
    assert!(refused(&npy(floats, &[0; 24])).contains("holds <f4 where uint8 is wanted"));
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 1, 2, 3), }\n";
    assert!(refused(&npy(fortran, &[0; 6])).contains("is in Fortran order; save"));
    assert!(refused(b"PK\x03\x04").contains("not a NumPy file"));
    assert!(refused(&npy_of("(1, -1, 2, 3)", &[0; 6])).contains("not a NumPy file (no shape in its header)"));
    let record = "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1, 1, 2, 3), }\n";
    assert!(refused(&npy(record, &[0; 6])).contains("holds a structured type where uint8 is wanted"));
    assert!(
        refused(&npy(&"(".repeat(60_000), &[])).contains("not a NumPy file (no element type in its header)")
    );
    assert!(refused(b"\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF{}").contains("header of 4294967295 bytes"));
    assert!(refused(b"\x93NUMPY\x09\x00\x02\x00{}").contains("version 9"));
    let good = npy_of("(1, 1, 2, 3)", &[0; 6]);
    for length in 0..good.len() {
        refused(&good[..length]);
    }
}

#[test]
fn threads_share_a_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<u8> = (0..=255_u8).flat_map(|n| [n; 4]).collect();
    let path = write(&folder, "many.bin", &records);
    let dataset = Dataset::open(&path, options(ChannelOrder::Rgb, 1, 1)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (index, sample) in dataset.iter().enumerate() {
                    let sample = sample.unwrap();
                    assert_eq!(sample.label.map(|l| l as usize), Some(index));
                    assert!(sample.pixels.iter().all(|&v| usize::from(v) == index));
                }
            });
        }
    });
}
