//! Intel's matrix instructions (AMX): whether they may be used, and the shape that their tiles have here.
//!
//! Tiles are registers of 16 rows of 64 bytes. The compiler knows them by name only: nothing that it makes uses them, so
//! what one block of assembler leaves there the next one finds.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;

/// Bytes of a tile's row.
pub(super) const BYTES: usize = 64;

/// Whether this processor has tiles and products of them in bf16 and eight bits, and the operating system lets this process
/// use them. Asked once; the permission is for all threads.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

/// AMX-BF16, AMX-TILE and AMX-INT8 (Intel's manual, volume 2A, CPUID leaf 7).
fn has_instructions() -> bool {
    const LEAF: u32 = 7;
    const WANTED: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    __cpuid(0).eax >= LEAF && __cpuid_count(LEAF, 0).edx & WANTED == WANTED
}

/// Linux keeps room for the tiles of those who ask for it.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ASK: libc::c_int = 0x1023;
    const TILES: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers and writes to no memory of ours; it fails where kernel or processor lack tiles.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ASK, TILES) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What `ldtilecfg` reads: all eight tiles are whole.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPE: Shape = {
    let (bytes, rows) = (BYTES as u16, ROWS as u8);
    Shape {
        palette: 1,
        start: 0,
        reserved: [0; 14],
        row_bytes: [bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, 0, 0, 0, 0, 0, 0, 0, 0],
        rows: [rows, rows, rows, rows, rows, rows, rows, rows, 0, 0, 0, 0, 0, 0, 0, 0],
    }
};

/// The tiles of the calling thread, as long as it is there: without it they cost a change of threads nothing.
pub(super) struct Tiles(());

impl Tiles {
    /// # Safety
    /// [`is_available`].
    pub(super) unsafe fn new() -> Self {
        // SAFETY: the caller's processor has the instruction, and the shape is one that it knows.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPE, options(nostack, readonly, preserves_flags)) }
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: whoever made it promised that the processor has the instruction.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }
}
