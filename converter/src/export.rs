//! A model as source code, for programs that have no files: firmware in C, C++ or Rust.
//!
//! Everything that firmware must know at compile time is a constant of it: the shape of the input, the exact size of the arena, the
//! classes and their labels.

use std::fmt::Write;

use resi8::format::WEIGHTS_ALIGN;
use resi8::{ARENA_ALIGN, BufferLens, ChannelOrder, Isa, Model, PACKED_ALIGN};

/// A model under the name that its identifiers begin with, and the buffers that the kernels need which will run it.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    model: &'a Model<'a>,
    file: &'a [u8],
    isa: Isa,
    lens: BufferLens,
    name: &'a str,
}

/// How every file begins.
const PREAMBLE: &str = "// Made by `resi8 export`. Do not edit: export the model again.\n\n";

/// Characters of a line of an array: far from C's limit of 4095, few enough lines for editors.
const LINE: usize = 120;

/// Longest name: C tells external identifiers apart by their first 31 characters, and the longest suffix has 7.
const LONGEST_NAME: usize = 24;

impl<'a> Export<'a> {
    /// A model and its file, the kernels that will run it with their buffers, and the name that identifiers begin with; `None` when no identifier of C can begin so.
    #[must_use]
    pub fn new(
        model: &'a Model<'a>,
        file: &'a [u8],
        isa: Isa,
        lens: BufferLens,
        name: &'a str,
    ) -> Option<Self> {
        let first = name.chars().next()?;
        let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (first.is_ascii_alphabetic() && rest && name.len() <= LONGEST_NAME).then_some(Self {
            model,
            file,
            isa,
            lens,
            name,
        })
    }

    /// The header of [`Self::c_source`], C11 and C++17.
    #[must_use]
    pub fn c_header(&self) -> String {
        let (name, upper) = (self.name, self.name.to_ascii_uppercase());
        let mut text = PREAMBLE.to_owned() + &self.preprocessing();
        let _ = write!(text, "#ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n");
        for Constant { words, name, value } in self.constants() {
            let value = match value {
                Value::Length(length) => length.to_string(),
                Value::Real(real) => format!("{real:e}f"),
                Value::Step(step) => format!("({step})"),
            };
            let _ = write!(text, "\n/* {words} */\n#define {upper}_{name} {value}\n");
        }
        let _ = write!(
            text,
            "\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
             /* The model file, aligned to {upper}_FILE_ALIGN bytes. */\n\
             extern const uint8_t {name}_file[{upper}_FILE_LEN];\n"
        );
        if self.has_labels() {
            let _ = write!(
                text,
                "\n/* What the classes are called, UTF-8. */\n\
                 extern const char *const {name}_labels[{upper}_CLASSES];\n"
            );
        }
        text.push_str("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
        text
    }

    /// The file and the labels as constant arrays, C11 and C++17.
    #[must_use]
    pub fn c_source(&self) -> String {
        let (name, upper) = (self.name, self.name.to_ascii_uppercase());
        let mut text = PREAMBLE.to_owned();
        let _ = write!(
            text,
            "#include \"{name}.h\"\n\n\
             #ifdef __cplusplus\n#define {upper}_ALIGNED alignas({upper}_FILE_ALIGN)\n\
             #else\n#define {upper}_ALIGNED _Alignas({upper}_FILE_ALIGN)\n#endif\n\n\
             {upper}_ALIGNED const uint8_t {name}_file[{upper}_FILE_LEN] = {{\n{}}};\n",
            numbers(self.file)
        );
        if self.has_labels() {
            let _ = write!(text, "\nconst char *const {name}_labels[{upper}_CLASSES] = {{\n");
            for label in self.labels() {
                let _ = writeln!(text, "    {},", c_string(label));
            }
            text.push_str("};\n");
        }
        text
    }

    /// A module of Rust, for `core` alone. It includes the model file, which lies beside it.
    #[must_use]
    pub fn rust_module(&self) -> String {
        let mut text = PREAMBLE.to_owned() + &self.preprocessing();
        text.push_str("#![allow(dead_code, reason = \"programs need only some of this\")]\n");
        for Constant { words, name, value } in self.constants() {
            let value = match value {
                Value::Length(length) => format!("usize = {length}"),
                Value::Real(real) => format!("f32 = {real:e}"),
                Value::Step(step) => format!("i8 = {step}"),
            };
            let _ = write!(text, "\n/// {words}\npub const {name}: {value};\n");
        }
        let align = WEIGHTS_ALIGN.max(ARENA_ALIGN).max(PACKED_ALIGN);
        let _ = write!(
            text,
            "\n/// Bytes with the alignment that the file and all buffers are content with.\n\
             #[derive(Debug)]\n#[repr(C, align({align}))]\npub struct Aligned<const N: usize>(pub [u8; N]);\n\n\
             static ALIGNED_FILE: Aligned<FILE_LEN> = Aligned(*include_bytes!(\"{}.r8\"));\n\n\
             /// The model file.\npub static FILE: &[u8] = &ALIGNED_FILE.0;\n\n\
             /// What the classes are called; empty when the model has no labels.\n\
             pub static LABELS: [&str; {}] = [",
            self.name,
            self.labels().count()
        );
        for label in self.labels() {
            let _ = write!(text, "\n    {label:?},");
        }
        text.push_str(if self.has_labels() { "\n];\n" } else { "];\n" });
        text
    }

    /// How a picture becomes the input, as comments.
    fn preprocessing(&self) -> String {
        let (model, input) = (self.model, self.model.input());
        let words = resi8_picture::words(&model.preprocess(), input.h(), input.w());
        words.lines().map(|line| format!("// {line}\n")).collect::<String>() + "\n"
    }

    fn has_labels(&self) -> bool {
        self.labels().next().is_some()
    }

    fn labels(&self) -> impl Iterator<Item = &'a str> {
        self.model.labels().lines()
    }

    /// What both languages state, in the same words.
    fn constants(&self) -> Vec<Constant> {
        let model = self.model;
        let (input, isa) = (model.input(), self.isa);
        let constant = |name, value, words: &str| Constant { name, value, words: words.to_owned() };
        let length = |name, value, words: &str| constant(name, Value::Length(value), words);
        vec![
            length(
                "INPUT_HEIGHT",
                input.h(),
                "Rows of the input: 8-bit pixels, row by row, channels innermost.",
            ),
            length("INPUT_WIDTH", input.w(), "Columns of the input."),
            length("INPUT_CHANNELS", input.c(), &format!("Channels of the input: {}.", channel_words(model))),
            length("INPUT_LEN", input.len(), "Values of the input."),
            constant("INPUT_SCALE", Value::Real(input.scale()), "Real value of one step of the int8 input."),
            constant(
                "INPUT_ZERO_POINT",
                Value::Step(input.zero_point()),
                "The int8 value that stands for a real 0; a raw pixel is its int8 value plus 128.",
            ),
            length("CLASSES", model.output().c(), "Classes: so many int32 logits come out."),
            constant(
                "LOGITS_SCALE",
                Value::Real(model.output().scale()),
                "Real value of one step of the logits.",
            ),
            length(
                "ARENA_LEN",
                self.lens.arena_len,
                &format!(
                    "Bytes of the arena with the kernels `{isa}` and one thread. Exact: one less is refused."
                ),
            ),
            length("ARENA_ALIGN", ARENA_ALIGN, "Alignment of the arena in bytes, at least."),
            length(
                "PACKED_LEN",
                self.lens.packed_len,
                "Bytes of the buffer for packed weights; 0 when they are read where they are.",
            ),
            length("PACKED_ALIGN", PACKED_ALIGN, "Alignment of that buffer in bytes, at least."),
            length("FILE_LEN", self.file.len(), "Bytes of the model file."),
            length("FILE_ALIGN", WEIGHTS_ALIGN, "Its alignment in bytes."),
        ]
    }
}

/// A constant of the exported source.
#[derive(Debug)]
struct Constant {
    words: String,
    name: &'static str,
    value: Value,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Length(usize),
    /// Written with as many digits as give the same value again.
    Real(f32),
    Step(i8),
}

fn channel_words(model: &Model<'_>) -> &'static str {
    match model.preprocess().order {
        ChannelOrder::Rgb => "red, green, blue",
        ChannelOrder::Bgr => "blue, green, red",
        ChannelOrder::Gray => "grey",
    }
}

/// Bytes as the elements of an array. Decimal numbers are the shortest form that every compiler reads alike.
fn numbers(bytes: &[u8]) -> String {
    let (mut text, mut column) = (String::with_capacity(bytes.len() * 4), 0);
    for byte in bytes {
        let start = text.len();
        let _ = write!(text, "{byte},");
        column += text.len() - start;
        if column > LINE - 4 {
            text.push('\n');
            column = 0;
        }
    }
    if column > 0 {
        text.push('\n');
    }
    text
}

/// A string literal of C, in the characters that are the same in every source encoding.
fn c_string(text: &str) -> String {
    let mut literal = String::from("\"");
    for byte in text.bytes() {
        match byte {
            // Two question marks begin a trigraph.
            b'"' | b'\\' | b'?' => literal.extend(['\\', byte.into()]),
            b' '..=b'~' => literal.push(byte.into()),
            _ => {
                let _ = write!(literal, "\\{byte:03o}");
            }
        }
    }
    literal.push('"');
    literal
}
