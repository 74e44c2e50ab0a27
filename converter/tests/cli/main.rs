//! `resi8` as a user runs it: the built program, its exit codes, what it prints and the files it leaves.

#[path = "../common/mod.rs"]
mod common;
mod export;
mod support;
mod works;
mod wrong_input;
