//! A rectangle of pixels.

use std::ops::Range;

/// A rectangle of pixels of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Its rows, counted from 0 at the top.
    pub rows: Range<usize>,
    /// Its columns, counted from 0 at the left.
    pub columns: Range<usize>,
}

impl Area {
    /// All of a picture.
    pub fn whole(rows: usize, columns: usize) -> Self {
        Self { rows: 0..rows, columns: 0..columns }
    }

    /// What of it lies in a picture of so many rows and columns.
    pub fn within(&self, rows: usize, columns: usize) -> Self {
        self.intersection(&Self::whole(rows, columns))
    }

    /// What it has in common with another.
    pub fn intersection(&self, other: &Self) -> Self {
        let common = |ours: &Range<usize>, theirs: &Range<usize>| {
            let begin = ours.start.max(theirs.start);
            begin..ours.end.min(theirs.end).max(begin)
        };
        Self { rows: common(&self.rows, &other.rows), columns: common(&self.columns, &other.columns) }
    }
}
