//! Real photos from the shared data folder.

mod common;

use std::path::PathBuf;

use common::preprocess;
use crc::{CRC_32_ISO_HDLC, Crc};
use resi8::{ChannelOrder, Resize};
use resi8_picture::{Dataset, DatasetOptions, RgbPicture, labels};

/// The shared data folder, or `None`, said loudly, where it is missing.
fn data() -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("RESI8_DATA").map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("RESI8_REQUIRE_DATA").is_some_and(|v| v == "1");
    assert!(!required, "RESI8_REQUIRE_DATA=1, but there is no data folder at {}", folder.display());
    eprintln!("SKIPPED: no data folder at {}; set RESI8_DATA", folder.display());
    None
}

fn photos(set: &str, preprocess_with: Resize) -> Option<Dataset> {
    let imagenet = data()?.join("imagenet");
    let options = DatasetOptions {
        preprocess: preprocess(ChannelOrder::Rgb, preprocess_with),
        height: 224,
        width: 224,
        labels_csv: Some(imagenet.join(format!("{set}_labels.csv"))),
    };
    Some(Dataset::open(&imagenet.join(set), options).unwrap())
}

/// The checksum is Pillow's: `crc = zlib.crc32(Image.open(file).convert("RGB").tobytes(), crc)` over the sorted files
/// of `val1000`, then those of `calib256` (Pillow 13.0.0, libjpeg-turbo 3.2.0).
#[test]
fn every_photo_decodes_to_the_bytes_of_libjpeg_turbo() {
    let Some(data) = data() else { return };
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    for set in ["val1000", "calib256"] {
        let entries = std::fs::read_dir(data.join("imagenet").join(set)).unwrap();
        let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
        files.sort();
        for file in files {
            digest.update(RgbPicture::open(&file).unwrap().pixels());
        }
    }
    assert_eq!(format!("{:08x}", digest.finalize()), "dd8fdb98");
}

#[test]
fn labelled_photos_are_found_and_sized() {
    let Some(val) = photos("val1000", Resize::None) else { return };
    assert_eq!((val.len(), val.has_labels(), val.ignored_files()), (1000, true, 0));
    let first = val.get(0).unwrap();
    assert_eq!((first.name.as_str(), first.label), ("ILSVRC2012_val_00000347.JPEG", Some(472)));
    assert_eq!(first.pixels.len(), 224 * 224 * 3);
    let calib = photos("calib256", Resize::ShorterSide(256)).unwrap();
    assert_eq!(calib.len(), 256);
    assert!(calib.iter().all(|s| s.unwrap().pixels.len() == 224 * 224 * 3));
}

#[test]
fn cifar_records_and_class_names_are_read() {
    let Some(data) = data() else { return };
    let options = DatasetOptions {
        preprocess: preprocess(ChannelOrder::Rgb, Resize::None),
        height: 32,
        width: 32,
        labels_csv: None,
    };
    let test = Dataset::open(&data.join("cifar10/test_9979.bin"), options).unwrap();
    assert_eq!(test.len(), 9979);
    let first = test.get(0).unwrap();
    // The first picture of the CIFAR-10 test set is a cat, class 3, and its first pixel is (158, 112, 49).
    assert_eq!((first.label, &first.pixels[..3]), (Some(3), &[158, 112, 49][..]));
    let names = labels::read(&data.join("imagenet/synset_words.txt")).unwrap();
    assert_eq!((names.len(), names[0].as_str()), (1000, "tench, Tinca tinca"));
}
