//! Converter command line.
fn main() {}
