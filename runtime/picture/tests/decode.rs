//! Decoding against Pillow, pixel by pixel, and files that are no pictures.

use std::fs;
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISO_HDLC, Crc};
use resi8_picture::{MAX_PIXELS, PictureError, RgbPicture};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// JPEG in all samplings, progressive, with restarts, grey, CMYK, with EXIF orientation; PNG of every colour type.
#[test]
fn every_kind_of_file_decodes_as_in_pillow() {
    let table = fs::read_to_string(fixtures().join("expected.csv")).unwrap();
    for line in table.lines().skip(1) {
        let [file, width, height, crc] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let picture = RgbPicture::open(&fixtures().join(file)).unwrap();
        let size = format!("{},{}", picture.width(), picture.height());
        assert_eq!(size, format!("{width},{height}"), "{file}");
        assert_eq!(format!("{:08x}", CRC.checksum(picture.pixels())), crc, "{file}");
    }
    assert_eq!(table.lines().count(), 16);
}

#[test]
fn truncated_and_mutated_files_are_errors_or_pictures() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    for entry in fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let Some("jpg" | "JPEG" | "png" | "PNG") = path.extension().and_then(|e| e.to_str()) else {
            continue;
        };
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            let _ = RgbPicture::decode(&bytes[..length]);
        }
        for _ in 0..2_000 {
            let mut mutated = bytes.clone();
            for _ in 0..=random(3) {
                mutated[random(bytes.len())] = u8::try_from(random(256)).unwrap();
            }
            let _ = RgbPicture::decode(&mutated);
        }
    }
}

/// The sampling factors and the height of a four-component frame that made the decoder index out of bounds.
#[test]
fn cmyk_frames_of_unusual_sampling_are_refused() {
    let bytes = fs::read(fixtures().join("cmyk.jpg")).unwrap();
    let frame = bytes.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    for component in 0..4 {
        for factors in [0x13, 0x31, 0x21, 0x12, 0x22, 0x00, 0x44] {
            let mut mutated = bytes.clone();
            mutated[frame + 11 + 3 * component] = factors;
            assert!(RgbPicture::decode(&mutated).is_err(), "component {component}: {factors:#x}");
        }
    }
    let mut flat = bytes;
    flat[frame + 5..frame + 7].fill(0);
    assert!(RgbPicture::decode(&flat).is_err());
}

#[test]
fn a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() {
    let mut jpeg = fs::read(fixtures().join("plain_444.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
    let error = RgbPicture::decode(&jpeg).unwrap_err();
    assert!(matches!(error, PictureError::TooLarge { width: 16384, height: 16384 }), "{error}");
    assert_eq!(
        error.to_string(),
        "the picture has 16384 x 16384 pixels, more than the limit of 64 million; scale it down"
    );

    let mut header = b"IHDR".to_vec();
    header.extend([0, 0, 0x40, 0, 0, 0, 0x40, 0, 8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0D".to_vec();
    png.extend(&header);
    png.extend(CRC.checksum(&header).to_be_bytes());
    let error = RgbPicture::decode(&png).unwrap_err();
    assert!(matches!(error, PictureError::TooLarge { width: 16384, height: 16384 }), "{error}");
}

#[test]
fn what_is_not_a_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.jpg");
    fs::write(&text, "just words").unwrap();
    let empty = folder.path().join("empty.png");
    fs::write(&empty, "").unwrap();
    for path in [text, empty] {
        let message = RgbPicture::open(&path).unwrap_err().to_string();
        let begin = format!("{}: neither a JPEG nor a PNG picture", path.display());
        assert!(message.starts_with(&begin), "{message}");
    }
    let message = RgbPicture::open(&folder.path().join("none.jpg")).unwrap_err().to_string();
    assert!(message.contains("none.jpg: cannot be read") && message.contains("check the path"), "{message}");
    let half = &fs::read(fixtures().join("plain_420.jpg")).unwrap()[..700];
    let message = RgbPicture::decode(half).unwrap_err().to_string();
    assert!(message.starts_with("damaged or unusual JPEG picture ("), "{message}");
}

#[test]
fn a_raw_frame_must_fit_its_size() {
    let frame = RgbPicture::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!((frame.width(), frame.height()), (2, 1));
    assert_eq!(frame.into_pixels(), [1, 2, 3, 4, 5, 6]);
    assert!(matches!(RgbPicture::new(2, 1, vec![0; 5]), Err(PictureError::WrongLength { actual: 5, .. })));
    assert!(matches!(RgbPicture::new(0, 0, vec![]), Err(PictureError::WrongLength { .. })));
    assert!(matches!(RgbPicture::new(MAX_PIXELS + 1, 1, vec![]), Err(PictureError::TooLarge { .. })));
    assert!(matches!(RgbPicture::new(usize::MAX, usize::MAX, vec![]), Err(PictureError::TooLarge { .. })));
}
