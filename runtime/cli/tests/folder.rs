//! `run` on folders of pictures.

mod support;

use std::path::{Path, PathBuf};

use support::{Sample, picture, run};

/// A folder with pictures in and below it, and the paths of those in their order.
fn album(sample: &Sample, names: &[&str]) -> (PathBuf, Vec<String>) {
    let album = sample.folder.path().join("album");
    let put = |name: &&str| {
        let path = album.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(picture(), &path).unwrap();
        text(&path)
    };
    let mut paths: Vec<String> = names.iter().map(put).collect();
    paths.sort();
    (album, paths)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn pictures(lines: &[serde_json::Value]) -> Vec<&str> {
    lines.iter().map(|line| line["picture"].as_str().unwrap()).collect()
}

#[test]
fn one_line_of_json_per_picture_sorted() {
    let model = Sample::good();
    let (album, paths) = album(&model, &["c.png", "a.png", "below/b.png"]);
    std::fs::write(album.join("notes.txt"), "no picture").unwrap();
    let outcome = model.run("run", &[&text(&album), "--json"]);
    let lines = outcome.json_lines();
    assert_eq!(pictures(&lines), paths);
    outcome.succeeded();
    let alone = model.run("run", &[&picture(), "--json"]).json();
    assert!(lines.iter().all(|line| line["guesses"] == alone[0]["guesses"]));
}

#[test]
fn folders_and_files_in_the_order_of_the_arguments() {
    let model = Sample::good();
    let (album, paths) = album(&model, &["b.png", "a.png"]);
    let outcome = model.run("run", &[&picture(), &text(&album), "--json"]);
    assert_eq!(pictures(&outcome.json_lines())[1..], paths);
    let words = model.run("run", &[&picture(), &text(&album)]).succeeded();
    assert_eq!(words.lines().count(), 3 * 4, "{words}");
}

#[test]
fn a_broken_picture_does_not_cost_the_others() {
    let model = Sample::good();
    let (album, mut paths) = album(&model, &["a.png", "b.png", "c.png"]);
    std::fs::write(&paths[1], "This is a text.\n").unwrap();
    let outcome = model.run("run", &[&text(&album), "--json"]);
    let broken = paths.remove(1);
    assert_eq!(pictures(&outcome.json_lines()), paths);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert!(lines[0].starts_with(&format!("skipped: {broken}: neither a JPEG nor a PNG")), "{outcome:#?}");
    assert_eq!(lines[1..], ["error: 1 of 3 pictures failed; the others are classified"]);
}

#[test]
fn a_folder_without_pictures() {
    let model = Sample::good();
    let (album, _) = album(&model, &["a.png"]);
    std::fs::rename(album.join("a.png"), album.join("a.txt")).unwrap();
    model.run("run", &[&text(&album)]).failed(&["no picture in this folder", "1 other files"]);
}

#[test]
fn a_reader_that_has_gone_ends_it() {
    let model = Sample::good();
    let (album, paths) = album(&model, &["a.png", "b.png"]);
    // Not reached: the program has ended before.
    std::fs::write(&paths[1], "broken").unwrap();
    for arguments in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        run(model.command("run", &[&text(&album)]).args(arguments).stdout(writer)).succeeded();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let model = Sample::good();
    let (album, _) = album(&model, &["a.png"]);
    let name = std::ffi::OsStr::from_bytes(b"b\xFF.png");
    std::fs::copy(picture(), album.join(name)).unwrap();
    let outcome = model.run("run", &[&text(&album), "--json"]);
    assert!(pictures(&outcome.json_lines())[1].ends_with("b\u{FFFD}.png"), "{outcome:#?}");
    outcome.succeeded();
}
