//! Which instructions there are kernels for, and which of them this processor has.

use std::sync::OnceLock;

/// Overrides the choice, for tests and diagnosis: the name of an [`Isa`].
const OVERRIDE: &str = "AUSCULT_ISA";

/// A set of vector instructions that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// None beyond those that the program was compiled for.
    Plain,
    /// aarch64: 4 values a register.
    Neon,
    /// x86-64 with AVX2, FMA and F16C: 8 values a register.
    Avx2,
    /// The same with AVX-VNNI, for eight bits.
    AvxVnni,
    /// x86-64 with AVX-512F: 16 values a register.
    Avx512,
    /// The same with AVX-512 VNNI and BW, for eight bits.
    Avx512Vnni,
    /// The same with AVX-512 BF16, for bf16.
    Avx512Bf16,
    /// The same with AMX: products of whole matrices, for eight bits and bf16.
    Amx,
}

impl Isa {
    const ALL: [Self; 8] = [
        Self::Plain,
        Self::Neon,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Avx512Vnni,
        Self::Avx512Bf16,
        Self::Amx,
    ];

    /// The most to use: the best of this processor, or the one that `AUSCULT_ISA` names if this processor has it.
    pub(in crate::model) fn chosen() -> Self {
        static CHOSEN: OnceLock<Isa> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let best = Self::available().max().unwrap_or(Self::Plain);
            let Ok(wanted) = std::env::var(OVERRIDE) else { return best };
            Self::available().find(|isa| isa.name() == wanted).unwrap_or_else(|| {
                tracing::warn!(%wanted, used = best.name(), "{OVERRIDE} names no instructions of this processor");
                best
            })
        })
    }

    /// Those that this processor has.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// As `AUSCULT_ISA` and the log name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512vnni",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        let wide = avx2 && is_x86_feature_detected!("avx512f");
        match self {
            Self::Plain => true,
            Self::Neon => false,
            Self::Avx2 => avx2,
            Self::AvxVnni => avx2 && is_x86_feature_detected!("avxvnni"),
            Self::Avx512 => wide,
            Self::Avx512Vnni => wide && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni"),
            Self::Avx512Bf16 => Self::Avx512Vnni.is_available() && is_x86_feature_detected!("avx512bf16"),
            Self::Amx => Self::Avx512Bf16.is_available() && super::amx::is_available(),
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            _ => false,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn is_available(self) -> bool {
        self == Self::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_has_plain_and_the_choice_is_one_that_it_has() {
        let available: Vec<Isa> = Isa::available().collect();
        assert!(available.contains(&Isa::Plain) && available.contains(&Isa::chosen()), "{available:?}");
    }
}
