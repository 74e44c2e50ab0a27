//! x86-64.

pub(super) mod avx2;
pub(super) mod avx512vnni;
pub(super) mod avx_vnni;
mod outputs;
mod vnni;
mod winograd;
