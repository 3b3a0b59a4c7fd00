//! The micro-kernels of eight bits for each instruction set.

use super::super::isa::Isa;
use super::super::narrow::tile::{Lane, Micro, micro};
use super::Int8;

/// Those of an instruction set, or of the largest part of it that this program has some for.
pub(super) fn micro(isa: Isa) -> &'static Micro<Int8> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::Avx512 => &AVX2,
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => &AVX_VNNI,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni | Isa::Avx512Bf16 => &AVX512_VNNI,
        #[cfg(target_arch = "x86_64")]
        Isa::Amx => &super::amx::MICRO,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &NEON,
        _ => &PLAIN,
    }
}

#[cfg(target_arch = "x86_64")]
micro!(AVX2, avx2, Avx2, crate::model::kernels::int8::lane::x86::Avx2, 4, 2, [1, 2, 3, 4], "avx2,fma");
#[cfg(target_arch = "x86_64")]
micro!(
    AVX_VNNI,
    avx_vnni,
    AvxVnni,
    crate::model::kernels::int8::lane::x86::AvxVnni,
    5,
    2,
    [1, 2, 3, 4, 5],
    "avx2,fma,avxvnni"
);
#[cfg(target_arch = "x86_64")]
micro!(
    AVX512_VNNI,
    avx512_vnni,
    Avx512Vnni,
    crate::model::kernels::int8::lane::x86::Avx512Vnni,
    12,
    2,
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "avx512f,avx512bw,avx512vnni,avx2"
);
#[cfg(target_arch = "aarch64")]
micro!(NEON, neon, Neon, crate::model::kernels::int8::lane::arm::Neon, 4, 4, [1, 2, 3, 4], "neon");
micro!(PLAIN, plain, Plain, crate::model::kernels::int8::lane::Plain, 4, 1, [1, 2, 3, 4]);

/// Plain kernels that forget the last place of each tile.
#[cfg(test)]
pub(super) fn wrong() -> &'static Micro<Int8> {
    static WRONG: Micro<Int8> = Micro {
        isa: Isa::Avx512Vnni,
        rows: 4,
        columns: 8,
        tiles: &[plain::tile::<1>, plain::tile::<1>, plain::tile::<2>, plain::tile::<3>],
    };
    &WRONG
}
