//! Weights turned over: what lies by row comes to lie by column, in registers.

use super::lane::{Lane, WIDEST};
use super::tile::Micro;

/// Most columns of a panel.
pub(super) const COLUMNS: usize = 2 * WIDEST;

/// Turns a square over whose sides are a panel's columns: rows that begin `apart` values from each other, what is missing of
/// them counted as zeros, to columns without a gap between them.
pub(super) fn turn(micro: &Micro, rows: &[f32], apart: usize, to: &mut [f32]) {
    let side = micro.columns;
    if rows.len() >= (side - 1) * apart + side && to.len() == side * side {
        // SAFETY: the instructions are those of this processor, and both squares are there, one of them borrowed alone.
        return unsafe { (micro.turn)(rows.as_ptr(), apart, to.as_mut_ptr()) };
    }
    for (column, to) in to.chunks_exact_mut(side).enumerate() {
        let from = rows.get(column..).unwrap_or_default().iter().step_by(apart.max(1)).chain(std::iter::repeat(&0.0));
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// Turns a square of `LANES` registers a side over; a register has `WIDTH` values.
///
/// Rows are shuffled with those half a register's values behind them, as often as halves can be halved: so each value's row and
/// column change places (Stone, IEEE Trans. Computers 1971).
///
/// # Safety
/// The processor has the register's instructions; both squares are there, and apart from each other, that of `from` in rows that
/// begin `apart` values from each other.
#[inline(always)]
#[allow(clippy::indexing_slicing, clippy::needless_range_loop, reason = "constant bounds, checked when compiled")]
pub(super) unsafe fn turned<L: Lane, const WIDTH: usize, const LANES: usize>(
    from: *const f32,
    apart: usize,
    to: *mut f32,
) {
    let side = LANES * WIDTH;
    // SAFETY: the caller keeps the contract; every offset stays within a square.
    unsafe {
        for down in 0..LANES {
            for across in 0..LANES {
                let mut rows = [L::splat(0.0); WIDTH];
                for row in 0..WIDTH {
                    rows[row] = L::load(from.add((down * WIDTH + row) * apart + across * WIDTH));
                }
                for _ in 0..WIDTH.ilog2() {
                    let before = rows;
                    for row in 0..WIDTH / 2 {
                        let (first, second) = before[row].shuffled_with(before[row + WIDTH / 2]);
                        rows[2 * row] = first;
                        rows[2 * row + 1] = second;
                    }
                }
                for row in 0..WIDTH {
                    rows[row].store(to.add((across * WIDTH + row) * side + down * WIDTH));
                }
            }
        }
    }
}
