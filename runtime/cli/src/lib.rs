//! The commands of `resi8-run`, as a library: the converter's command line runs models with the same code.

pub mod bench;
pub mod cpus;
pub mod file;
pub mod frames;
pub mod info;
pub mod output;
pub mod pages;
pub mod profile;
pub mod run;
pub mod selftest;
pub mod stream;
