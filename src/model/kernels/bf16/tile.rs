//! The micro-kernels of bf16 for each instruction set.

use super::super::isa::Isa;
use super::super::narrow::tile::{Lane, Micro, micro};
use super::Bf16;

/// Those of an instruction set, or of the largest part of it that this program has some for.
pub(super) fn micro(isa: Isa) -> &'static Micro<Bf16> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni | Isa::Avx512 | Isa::Avx512Vnni => &AVX2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16 => &AVX512_BF16,
        #[cfg(target_arch = "x86_64")]
        Isa::Amx => &super::amx::MICRO,
        _ => &PLAIN,
    }
}

#[cfg(target_arch = "x86_64")]
micro!(AVX2, avx2, Avx2, crate::model::kernels::bf16::lane::x86::Avx2, 8, 1, [1, 2, 3, 4, 5, 6, 7, 8], "avx2,fma");
#[cfg(target_arch = "x86_64")]
micro!(
    AVX512_BF16,
    avx512_bf16,
    Avx512Bf16,
    crate::model::kernels::bf16::lane::x86::Avx512Bf16,
    12,
    2,
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "avx512f,avx512bw,avx512bf16,avx2"
);
micro!(PLAIN, plain, Plain, crate::model::kernels::bf16::lane::Plain, 4, 1, [1, 2, 3, 4]);

/// Plain kernels that forget the last place of each tile.
#[cfg(test)]
pub(super) fn wrong() -> &'static Micro<Bf16> {
    static WRONG: Micro<Bf16> = Micro {
        isa: Isa::Avx512Bf16,
        rows: 4,
        columns: 8,
        tiles: &[plain::tile::<1>, plain::tile::<1>, plain::tile::<2>, plain::tile::<3>],
    };
    &WRONG
}
