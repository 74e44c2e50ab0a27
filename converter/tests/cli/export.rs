//! `export`: what it writes compiles without a warning and says what the model says.

use std::path::{Path, PathBuf};
use std::process::Command;

use resi8::{Isa, Model, Plan};

use crate::support::{folder, model, names, resi8, run};

/// Prints every constant, a sum over the file, its alignment and the labels. The same program in both languages.
const C_PROGRAM: &str = r#"
#include <stdio.h>
#include "model.h"

int main(void) {
    uint32_t sum = 0, i;
    printf("%d %d %d %d %.9g %d\n", MODEL_INPUT_HEIGHT, MODEL_INPUT_WIDTH, MODEL_INPUT_CHANNELS, MODEL_INPUT_LEN,
           (double)MODEL_INPUT_SCALE, MODEL_INPUT_ZERO_POINT);
    printf("%d %.9g %d %d %d %d\n", MODEL_CLASSES, (double)MODEL_LOGITS_SCALE, MODEL_ARENA_LEN, MODEL_ARENA_ALIGN,
           MODEL_PACKED_LEN, MODEL_PACKED_ALIGN);
    for (i = 0; i < sizeof model_file; i++) sum = sum * 31 + model_file[i];
    printf("%d %u %d\n", MODEL_FILE_LEN, (unsigned)sum, (int)((uintptr_t)model_file % MODEL_FILE_ALIGN));
    for (i = 0; i < MODEL_CLASSES; i++) puts(model_labels[i]);
    return 0;
}
"#;

const RUST_PROGRAM: &str = r#"
mod model;
use model::*;

fn main() {
    println!("{INPUT_HEIGHT} {INPUT_WIDTH} {INPUT_CHANNELS} {INPUT_LEN} {INPUT_SCALE} {INPUT_ZERO_POINT}");
    println!("{CLASSES} {LOGITS_SCALE} {ARENA_LEN} {ARENA_ALIGN} {PACKED_LEN} {PACKED_ALIGN}");
    let sum = FILE.iter().fold(0u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    println!("{FILE_LEN} {sum} {}", FILE.as_ptr() as usize % FILE_ALIGN);
    LABELS.iter().for_each(|label| println!("{label}"));
}
"#;

/// What both programs print of the model.
fn expected(path: &Path, isa: Isa) -> Vec<String> {
    let file = std::fs::read(path).unwrap();
    let model = Model::parse(&file).unwrap();
    let plan = Plan::new(model, isa).unwrap();
    let (input, output) = (model.input(), model.output());
    let sum = file.iter().fold(0u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut lines = vec![
        format!(
            "{} {} {} {} {} {}",
            input.h(),
            input.w(),
            input.c(),
            input.len(),
            input.scale(),
            input.zero_point()
        ),
        format!("{} {} {} 4 {} 4", output.c(), output.scale(), plan.arena_len(), plan.packed_len()),
        format!("{} {sum} 0", file.len()),
    ];
    lines.extend(model.labels().lines().map(str::to_owned));
    lines
}

/// Numbers as C and Rust print them: compared as values.
fn same(printed: &str, expected: &[String]) {
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed.len(), expected.len(), "{printed:#?}");
    for (printed, expected) in printed.iter().zip(expected) {
        let value =
            |word: &str| word.parse::<f32>().map_or_else(|_| word.to_owned(), |value| value.to_string());
        let values = |line: &str| line.split(' ').map(value).collect::<Vec<_>>();
        assert_eq!(values(printed), values(expected));
    }
}

/// The program that a compiler makes of its arguments, run.
fn compiled(compiler: &mut Command, folder: &Path) -> String {
    let program = folder.join("program");
    run(compiler.current_dir(folder).arg("-o").arg(&program)).succeeded();
    run(&mut Command::new(program)).succeeded()
}

#[test]
fn c_and_cpp_compile_and_say_what_the_model_says() {
    let folder = folder();
    let text = run(resi8("export").arg(model()).arg("--c").arg(folder.path())).succeeded();
    assert_eq!(names(folder.path()), ["model.c", "model.h"]);
    assert!(text.contains("model.c") && text.contains("bytes with portable"), "{text}");
    std::fs::write(folder.path().join("main.c"), C_PROGRAM).unwrap();
    let warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "main.c", "model.c"];
    let expected = expected(model(), Isa::Portable);
    same(&compiled(Command::new("gcc").arg("-std=c11").args(warnings), folder.path()), &expected);
    same(
        &compiled(Command::new("g++").args(["-x", "c++", "-std=c++17"]).args(warnings), folder.path()),
        &expected,
    );
}

#[test]
fn rust_compiles_and_says_what_the_model_says() {
    let folder = folder();
    let isa = Isa::best();
    let export = || {
        let mut command = resi8("export");
        command.arg(model()).arg("--rust").arg(folder.path()).args(["--json", "--isa", isa.name()]);
        run(&mut command).json()
    };
    export();
    let exported = export();
    assert_eq!(exported["files"].as_array().unwrap().len(), 2);
    assert_eq!(exported["isa"], isa.name());
    assert_eq!(names(folder.path()), ["model.r8", "model.rs"]);
    std::fs::write(folder.path().join("main.rs"), RUST_PROGRAM).unwrap();
    let rustc = |source: &str| {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-Dwarnings", source]);
        rustc
    };
    same(&compiled(&mut rustc("main.rs"), folder.path()), &expected(model(), isa));
    std::fs::write(folder.path().join("lib.rs"), "#![no_std]\nmod model;\npub use model::FILE;\n").unwrap();
    let library = run(rustc("lib.rs").args(["--crate-type", "lib"]).current_dir(&folder));
    library.succeeded();
}

/// A copy of the model with other labels, or none.
fn with_labels(folder: &Path, labels: &str) -> PathBuf {
    let (path, text) = (folder.join("labelled.r8"), folder.join("labels.txt"));
    let mut convert = crate::support::convert(&crate::support::network(), &path);
    if !labels.is_empty() {
        std::fs::write(&text, labels).unwrap();
        convert.arg("--labels").arg(&text);
    }
    run(convert.args(["--samples", "2", "--measure", "1"])).succeeded();
    path
}

#[test]
fn labels_of_any_text_and_names_of_their_own() {
    let labels = ["\"quoted\"", "back\\slash", "what??/", "für", "猫", "*/", "a7", "é1", "{}", "last"];
    let folder = folder();
    let path = with_labels(folder.path(), &labels.join("\n"));
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let mut export = resi8("export");
    run(export.arg(path).arg("--c").arg(&out).arg("--rust").arg(&out).args(["--name", "own_Name2"]))
        .succeeded();
    assert_eq!(names(&out), ["own_Name2.c", "own_Name2.h", "own_Name2.r8", "own_Name2.rs"]);
    let c = "#include <stdio.h>\n#include \"own_Name2.h\"\n\
        int main(void) { int i; for (i = 0; i < OWN_NAME2_CLASSES; i++) puts(own_Name2_labels[i]); return 0; }\n";
    let rust = "#[path = \"own_Name2.rs\"] mod model;\n\
        fn main() { model::LABELS.iter().for_each(|label| println!(\"{label}\")) }\n";
    std::fs::write(out.join("main.c"), c).unwrap();
    std::fs::write(out.join("main.rs"), rust).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "main.c", "own_Name2.c"]);
    assert_eq!(compiled(&mut gcc, &out).lines().collect::<Vec<_>>(), labels);
    assert_eq!(compiled(Command::new("rustc").arg("main.rs"), &out).lines().collect::<Vec<_>>(), labels);
}

#[test]
fn a_model_without_labels() {
    let folder = folder();
    let path = with_labels(folder.path(), "");
    run(resi8("export").arg(path).arg("--c").arg(folder.path()).arg("--rust").arg(folder.path())).succeeded();
    let header = std::fs::read_to_string(folder.path().join("model.h")).unwrap();
    assert!(!header.contains("labels"), "{header}");
    let mut gcc = Command::new("gcc");
    run(gcc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-c", "model.c"]).current_dir(&folder))
        .succeeded();
    let mut rustc = Command::new("rustc");
    run(rustc.args(["-Dwarnings", "--crate-type", "lib", "model.rs"]).current_dir(&folder)).succeeded();
}

/// The arena of firmware is known on a host that cannot run its kernels; the figures are what
/// `firmware-examples/cortex-m-rust` prints of the same model.
#[test]
fn firmware_is_told_what_its_kernels_need() {
    let folder = folder();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/models/resnet8.r8");
    let exported = |isa: &str| {
        let mut command = resi8("export");
        run(command.arg(&model).args(["--c", ".", "--json", "--isa", isa]).current_dir(&folder)).json()
    };
    let inspection = |isa: &str| run(resi8("inspect").arg(&model).args(["--json", "--isa", isa])).json();
    for (isa, arena) in [("cortexm-v7", 35_392), ("cortexm-dsp", 34_880), ("cortexm-mve", 34_944)] {
        let exported = exported(isa);
        assert_eq!(exported["arena_bytes"], arena, "{isa}");
        assert_eq!(exported["packed_bytes"], 0, "{isa}");
        assert_eq!(inspection(isa)["arena_bytes"], arena, "{isa}");
        let header = std::fs::read_to_string(folder.path().join("model.h")).unwrap();
        assert!(header.contains(&format!("#define MODEL_ARENA_LEN {arena}\n")), "{header}");
    }
}

#[test]
fn what_cannot_be_exported() {
    let folder = folder();
    let export = |arguments: &[&str]| {
        let mut command = resi8("export");
        command.arg(model()).args(arguments).current_dir(&folder);
        run(&mut command)
    };
    export(&[]).refused(&["--c", "--rust"]);
    export(&["--c", ".", "--isa", "abacus"]).refused(&["called abacus", "portable"]);
    export(&["--c", "missing"]).failed(&["there is no folder missing", "another place with --c"]);
    export(&["--c", ".", "--rust", "missing"]).failed(&["there is no folder missing", "with --rust"]);
    for name in ["", "2nd", "_x", "a-b", "../up", "für", "a_name_of_more_than_24_chars"] {
        export(&["--c", ".", "--name", name]).failed(&["is no name", "--name takes a letter"]);
    }
    assert!(names(folder.path()).is_empty());
    let missing = folder.path().join("missing.r8");
    run(resi8("export").arg(missing).args(["--c", "."])).failed(&["cannot read the model", "missing.r8"]);
    let foreign = if cfg!(target_arch = "x86_64") { Isa::NeonDotprod } else { Isa::Avx2 };
    export(&["--c", ".", "--isa", foreign.name()]).failed(&[foreign.name(), "`resi8-run info` lists"]);
}
