//! The header says what the Rust declarations say: functions, structures, statuses, constants. Both are read as text and
//! written down in one form, that of C.

use std::collections::BTreeMap;

const HEADER: &str = include_str!("../include/resi8.h");
const RUST: &str = concat!(
    include_str!("../src/handle.rs"),
    include_str!("../src/model.rs"),
    include_str!("../src/run.rs"),
    include_str!("../src/status.rs"),
);

/// Rust's names of types, and C's. A status is an `int32_t` by its definition in both.
const TYPES: [(&str, &str); 16] = [
    ("Status", "int32_t"),
    ("Handle", "resi8_handle"),
    ("Info", "resi8_info"),
    ("LayerInfo", "resi8_layer"),
    ("Class", "resi8_class"),
    ("Text", "resi8_text"),
    ("LayerCallback", "resi8_layer_callback"),
    ("c_void", "void"),
    ("c_char", "char"),
    ("usize", "size_t"),
    ("u64", "uint64_t"),
    ("u32", "uint32_t"),
    ("i32", "int32_t"),
    ("u8", "uint8_t"),
    ("i8", "int8_t"),
    ("f32", "float"),
];

fn one_space(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What follows each `start` up to `end`.
fn pieces<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
    text.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

/// A type of Rust as C writes it.
fn c_type(rust: &str) -> String {
    if let Some(target) = rust.strip_prefix("*mut ") {
        return format!("{}*", c_type(target));
    }
    match rust.strip_prefix("*const ") {
        Some(target) => format!("const {}*", c_type(target)),
        None => TYPES.iter().find(|(name, _)| *name == rust).map_or(rust, |(_, c)| c).to_string(),
    }
}

/// `name: Type, name: Type,` as C writes it.
fn c_list(rust: &str) -> Vec<String> {
    let fields = rust.split(',').map(one_space).filter(|field| !field.is_empty());
    fields
        .map(|field| {
            let (name, of_type) = field.trim_start_matches("pub ").split_once(": ").expect("name: Type");
            format!("{} {name}", c_type(of_type))
        })
        .collect()
}

/// Declarations of C with the stars at the types.
fn c_declaration(text: &str) -> String {
    let spaced = one_space(text).replace("resi8_status ", "int32_t ");
    spaced.replace(" **", "** ").replace(" *", "* ")
}

/// The header without comments.
fn code_of_header() -> String {
    let mut code = String::new();
    let mut rest = HEADER;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").expect("the end of a comment").1;
    }
    code + rest
}

fn without_comments(rust: &str) -> String {
    rust.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn functions() {
    let rust: Vec<String> = pieces(RUST, "#[unsafe(no_mangle)]", "{")
        .into_iter()
        .map(|text| {
            let (name, rest) =
                text.split_once("fn ").and_then(|(_, text)| text.split_once('(')).expect("fn name(");
            let (arguments, result) = rest.rsplit_once(") -> ").expect(") ->");
            let arguments = match c_list(arguments) {
                none if none.is_empty() => "void".to_string(),
                some => some.join(", "),
            };
            format!("{} {name}({arguments})", c_type(result.trim()))
        })
        .collect();
    let code = code_of_header();
    let declarations = code.split_once("extern \"C\" {").expect("extern").1.split(';');
    let functions = declarations.filter(|text| text.contains("(") && !text.contains("typedef"));
    let header: Vec<String> = functions.map(c_declaration).filter(|text| text.ends_with(')')).collect();
    let sorted = |mut list: Vec<String>| {
        list.sort_by_key(|text| text.split_once("resi8_").map(|(_, name)| name.to_string()));
        list
    };
    assert!(header.len() > 10);
    assert_eq!(sorted(header), sorted(rust));
}

#[test]
fn structures() {
    let code = code_of_header();
    for (rust_name, c_name) in
        [("Text", "text"), ("Info", "info"), ("LayerInfo", "layer"), ("Class", "class")]
    {
        let rust = pieces(RUST, &format!("#[repr(C)]\npub struct {rust_name} {{"), "}");
        let c = pieces(&code, &format!("typedef struct resi8_{c_name} {{"), "}");
        let fields = c[0].split(';').map(c_declaration).filter(|field| !field.is_empty());
        assert_eq!(fields.collect::<Vec<_>>(), c_list(&without_comments(rust[0])), "{c_name}");
    }
    assert_eq!(pieces(RUST, "pub struct Handle {", "}")[0].trim(), "words: [usize; HANDLE_WORDS],");
    assert!(code.contains("uintptr_t words[RESI8_HANDLE_WORDS];"));
}

#[test]
fn callback() {
    let rust = pieces(RUST, "pub type LayerCallback = Option<unsafe extern \"C\" fn(", ")>;");
    let code = code_of_header();
    let c = pieces(&code, "typedef void (*resi8_layer_callback)(", ");");
    assert_eq!(c_declaration(c[0]), c_list(rust[0]).join(", "));
}

/// `TooLarge` is `RESI8_ERR_TOO_LARGE`, and `Ok` is `RESI8_OK`.
#[test]
fn statuses() {
    let numbers = |text: &str, name: &dyn Fn(&str) -> String| -> BTreeMap<i32, String> {
        let entries = text.split(',').map(one_space).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| {
                let (left, right) = entry.split_once(" = ").expect("name = number");
                (right.parse().expect("a number"), name(left))
            })
            .collect()
    };
    let upper_case = |name: &str| {
        let words = name.chars().fold(String::new(), |mut words, letter| {
            if letter.is_uppercase() {
                words.push('_');
            }
            words.push(letter.to_ascii_uppercase());
            words
        });
        if words == "_OK" { "RESI8_OK".to_string() } else { format!("RESI8_ERR{words}") }
    };
    let rust = numbers(&without_comments(pieces(RUST, "pub enum Status {", "}")[0]), &upper_case);
    let c = numbers(pieces(&code_of_header(), "enum {", "}")[0], &str::to_string);
    assert!(rust.len() > 10);
    assert_eq!(c, rust);
}

#[test]
fn constants() {
    for (rust_name, c_name) in [
        ("VERSION: u32", "RESI8_VERSION"),
        ("ALIGN: usize", "RESI8_ALIGN"),
        ("HANDLE_WORDS: usize", "RESI8_HANDLE_WORDS"),
    ] {
        let rust = pieces(RUST, &format!("const {rust_name} = "), ";")[0].replace('_', "");
        let c = pieces(HEADER, &format!("#define {c_name} "), "\n")[0].replace('u', "");
        assert_eq!(c, rust, "{c_name}");
    }
    let version: Vec<u32> =
        env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().expect("a number")).collect();
    assert_eq!(
        pieces(RUST, "VERSION: u32 = 0x", ";")[0].replace('_', ""),
        format!("{:08x}", version.iter().fold(0, |sum, part| sum * 256 + part))
    );
}
