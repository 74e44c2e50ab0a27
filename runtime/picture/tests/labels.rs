//! Files of class names.

use std::fs;

use resi8_picture::labels;

/// What `labels::read` says about a file with these bytes: the names, or the message without the file's path.
fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.txt");
    fs::write(&path, bytes).unwrap();
    labels::read(&path).map_err(|e| e.to_string().replace(&format!("{}: ", path.display()), ""))
}

#[test]
fn one_name_a_line() {
    assert_eq!(read(b"cat\ndog\n").unwrap(), ["cat", "dog"]);
    assert_eq!(read(b"cat\ndog").unwrap(), ["cat", "dog"]);
    assert_eq!(read(b"\xEF\xBB\xBFcat\r\ndog, hound\r\n\r\n").unwrap(), ["cat", "dog, hound"]);
    assert_eq!(read("Käfer\n".as_bytes()).unwrap(), ["Käfer"]);
}

#[test]
fn wordnet_ids_go_where_every_line_has_one() {
    assert_eq!(read(b"n01440764 tench, Tinca\nn01443537 goldfish\n").unwrap(), ["tench, Tinca", "goldfish"]);
    let mixed = ["n01440764 tench", "goldfish"];
    assert_eq!(read(b"n01440764 tench\ngoldfish\n").unwrap(), mixed);
    assert_eq!(read(b"n0144076x tench\n").unwrap(), ["n0144076x tench"]);
}

#[test]
fn errors_name_the_line() {
    assert!(read(b"cat\n\xFFdog\n").unwrap_err().starts_with("line 2 is not UTF-8; save"));
    assert!(read(b"cat\n\ndog\n").unwrap_err().starts_with("line 2 is empty; write one class name a line"));
    assert!(read(b"\n\n").unwrap_err().starts_with("the file is empty; write"));
    let missing = labels::read("no/such/labels.txt".as_ref()).unwrap_err().to_string();
    assert!(missing.contains("no/such/labels.txt") && missing.contains("check the path"), "{missing}");
}
