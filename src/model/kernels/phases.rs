//! Which outputs of a convolution a place of its input has a part in, and by which taps of the window.

use super::geometry::Window;

/// Places of the input that the same taps of the window reach, as rows and columns.
pub(super) struct Phase {
    window: Window,
    /// Rows and columns of the output.
    out: (usize, usize),
    /// Rows and columns of the input.
    side: (usize, usize),
    pub(super) places: Vec<(usize, usize)>,
    pub(super) taps: Vec<usize>,
}

impl Phase {
    /// Those of an input of `side` rows and columns: every place is of one of them.
    pub(super) fn all(window: Window, side: (usize, usize)) -> Vec<Self> {
        let (rows, columns) = side;
        let starts = (0..window.stride).flat_map(|row| (0..window.stride).map(move |column| (row, column)));
        let phase = |(row, column): (usize, usize)| {
            let across = move |row| (column..columns).step_by(window.stride).map(move |column| (row, column));
            let in_step = |at: usize, tap: usize| (at + window.padding) % window.stride == tap % window.stride;
            let in_both = |tap: &usize| in_step(row, tap / window.size) && in_step(column, tap % window.size);
            Self {
                window,
                out: (window.steps(rows), window.steps(columns)),
                side,
                places: (row..rows).step_by(window.stride).flat_map(across).collect(),
                taps: (0..window.size * window.size).filter(in_both).collect(),
            }
        };
        starts.map(phase).filter(|phase| !phase.places.is_empty()).collect()
    }

    /// The place of the output where a tap leads from a place; none where that lies outside.
    pub(super) fn leads(&self, tap: usize, (row, column): (usize, usize)) -> Option<usize> {
        let Window { size, stride, padding } = self.window;
        let along = |at: usize, tap: usize, out: usize| {
            let step = (at + padding).checked_sub(tap)? / stride;
            (step < out).then_some(step)
        };
        Some(along(row, tap / size, self.out.0)? * self.out.1 + along(column, tap % size, self.out.1)?)
    }

    /// Where the places lie among all of the input.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|(row, column)| row * self.side.1 + column)
    }
}
