//! What an instruction set can do at most: loops of its multiplications and nothing else, all in registers. The
//! benchmarks compare the kernels with them.

#![cfg_attr(target_arch = "x86_64", allow(unsafe_code, reason = "loops in assembly"))]

use super::Kernels;
use crate::Isa;

/// The loops of one instruction set.
#[derive(Debug, Clone, Copy)]
pub struct Peak {
    /// Products of 8-bit values.
    pub bytes: PeakLoop,
    /// Products of 16-bit values.
    pub words: PeakLoop,
}

/// A loop of multiply-accumulates that do not depend on each other and read no memory.
#[derive(Debug, Clone, Copy)]
pub struct PeakLoop {
    /// The instructions.
    pub instructions: &'static str,
    /// Multiply-accumulates of one iteration.
    pub macs: u64,
    run: fn(iterations: u64),
}

impl PeakLoop {
    /// Runs the loop; 0 iterations are taken for one.
    pub fn run(&self, iterations: u64) {
        (self.run)(iterations.max(1));
    }
}

/// The loops of an instruction set; `None` when this CPU lacks it or no instruction stands for it.
#[must_use]
pub fn peak(isa: Isa) -> Option<Peak> {
    Kernels::for_isa(isa)?;
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Some(x86::AVX2),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni if std::arch::is_x86_feature_detected!("avxvnni") => Some(x86::AVX_VNNI),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => Some(x86::AVX512_VNNI_256),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => Some(x86::AVX512_VNNI),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Peak, PeakLoop};

    /// Accumulators of a loop: more than the products that a core has under way.
    const ACCUMULATORS: u64 = 12;

    /// A loop that does `$line`s for every accumulator `\a`. Registers 12 to 15 are free for operands; what they hold is
    /// of no importance.
    macro_rules! peak_loop {
        ($instructions:literal, $macs:literal, $($line:literal),+) => {
            PeakLoop {
                instructions: $instructions,
                macs: $macs * ACCUMULATORS,
                // SAFETY: `super::peak` gives the loop away only when the CPU has the instructions; they touch no memory,
                // and all vector registers are declared as clobbered.
                run: |iterations| unsafe {
                    core::arch::asm!(
                        ".p2align 6",
                        "2:",
                        ".irp a, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                        $($line,)+
                        ".endr",
                        "dec rcx",
                        "jnz 2b",
                        inout("rcx") iterations => _,
                        clobber_abi("sysv64"),
                        options(nomem, nostack),
                    );
                },
            }
        };
    }

    /// Sums are made in 16 bits first, two products and then four.
    pub(super) const AVX2: Peak = Peak {
        bytes: peak_loop!(
            "2 vpmaddubsw, vpaddw, vpmaddwd, vpaddd",
            64,
            "vpmaddubsw ymm12, ymm14, ymm15",
            "vpmaddubsw ymm13, ymm15, ymm14",
            "vpaddw ymm12, ymm12, ymm13",
            "vpmaddwd ymm12, ymm12, ymm15",
            "vpaddd ymm\\a, ymm\\a, ymm12"
        ),
        words: peak_loop!(
            "vpmaddwd, vpaddd",
            16,
            "vpmaddwd ymm12, ymm14, ymm15",
            "vpaddd ymm\\a, ymm\\a, ymm12"
        ),
    };

    /// In the VEX encoding.
    pub(super) const AVX_VNNI: Peak = Peak {
        bytes: peak_loop!("vpdpbusd ymm", 32, "{{vex}} vpdpbusd ymm\\a, ymm14, ymm15"),
        words: peak_loop!("vpdpwssd ymm", 16, "{{vex}} vpdpwssd ymm\\a, ymm14, ymm15"),
    };

    /// In the EVEX encoding.
    pub(super) const AVX512_VNNI_256: Peak = Peak {
        bytes: peak_loop!("vpdpbusd ymm", 32, "{{evex}} vpdpbusd ymm\\a, ymm14, ymm15"),
        words: peak_loop!("vpdpwssd ymm", 16, "{{evex}} vpdpwssd ymm\\a, ymm14, ymm15"),
    };

    pub(super) const AVX512_VNNI: Peak = Peak {
        bytes: peak_loop!("vpdpbusd zmm", 64, "vpdpbusd zmm\\a, zmm14, zmm15"),
        words: peak_loop!("vpdpwssd zmm", 32, "vpdpwssd zmm\\a, zmm14, zmm15"),
    };
}
