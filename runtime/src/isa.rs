//! Instruction sets: their names, and which of them this CPU has.

use crate::kernels::Kernels;

/// An instruction set with kernels of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust; runs everywhere and is the reference for all others.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with the 256-bit forms of VNNI: AVX-VNNI, or AVX-512 with VNNI and VL.
    AvxVnni,
    /// x86-64 with AVX-512 (F, BW, VL) and VNNI.
    Avx512Vnni,
    /// AArch64, or 32-bit ARMv7 with NEON.
    Neon,
    /// AArch64 with the dot product instructions of ARMv8.2.
    NeonDotprod,
    /// AArch64 with the int8 matrix multiplication of ARMv8.6.
    NeonI8mm,
    /// Armv7-M: Cortex-M3. Chosen by the crate's feature `cortexm-v7`.
    CortexmV7,
    /// Cortex-M with the DSP instructions: M4, M7, M33 and their kin. Chosen by the crate's feature `cortexm-dsp`.
    CortexmDsp,
    /// Cortex-M with Helium, the vector extension MVE: M55, M85. Chosen by the crate's feature `cortexm-mve`.
    CortexmMve,
}

impl Isa {
    /// All instruction sets, the most capable of a processor last.
    pub const ALL: &'static [Self] = &[
        Self::Portable,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
        Self::Neon,
        Self::NeonDotprod,
        Self::NeonI8mm,
        Self::CortexmV7,
        Self::CortexmDsp,
        Self::CortexmMve,
    ];

    /// The name that command lines and reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Neon => "neon",
            Self::NeonDotprod => "neon-dotprod",
            Self::NeonI8mm => "neon-i8mm",
            Self::CortexmV7 => "cortexm-v7",
            Self::CortexmDsp => "cortexm-dsp",
            Self::CortexmMve => "cortexm-mve",
        }
    }

    /// The instruction set of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|isa| isa.name() == name)
    }

    /// Those that this CPU and this build have, the most capable last.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|isa| Kernels::for_isa(*isa).is_some())
    }

    /// The most capable one available.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.iter().copied().rev().find(|isa| Kernels::for_isa(*isa).is_some()).unwrap_or(Self::Portable)
    }
}

impl core::fmt::Display for Isa {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
