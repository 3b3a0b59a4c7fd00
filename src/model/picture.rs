//! A picture at the size of the network's input, and what can be done to it.

/// A picture's luminance, 0 black to 1 white.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Row by row, each of `columns`.
    pub values: Vec<f32>,
    /// Values of a row.
    pub columns: usize,
}

impl Picture {
    /// What `luminance` says at each place; places are 0..1 from left to right and from top to bottom.
    pub(super) fn drawn((rows, columns): (usize, usize), mut luminance: impl FnMut(f32, f32) -> f32) -> Self {
        let place = |index: usize, length: usize| (index as f32 + 0.5) / length as f32;
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
        let value = |(column, row)| luminance(place(column, columns), place(row, rows)).clamp(0.0, 1.0);
        Self { values: places.map(value).collect(), columns }
    }

    /// Rows and columns.
    pub fn sides(&self) -> (usize, usize) {
        (self.values.len() / self.columns.max(1), self.columns)
    }

    /// The luminance at a place, straight between pixels; beyond the edge that of the edge.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let (rows, columns) = self.sides();
        let between = |place: f32, length: usize| {
            let place = (place * length as f32 - 0.5).clamp(0.0, length.saturating_sub(1) as f32);
            (place as usize, (place as usize + 1).min(length.saturating_sub(1)), place.fract())
        };
        let ((left, right, across), (above, below, down)) = (between(x, columns), between(y, rows));
        let pixel = |row: usize, column: usize| self.values.get(row * columns + column).copied().unwrap_or_default();
        let line = |row| pixel(row, left) * (1.0 - across) + pixel(row, right) * across;
        line(above) * (1.0 - down) + line(below) * down
    }

    /// The picture with each place taken from another one; places are 0..1 from left to right and from top to bottom.
    pub fn moved(&self, from: impl Fn(f32, f32) -> (f32, f32)) -> Self {
        Self::drawn(self.sides(), |x, y| {
            let (x, y) = from(x, y);
            self.at(x, y)
        })
    }

    /// The picture with each luminance changed, within 0..=1.
    pub fn toned(mut self, tone: impl Fn(f32) -> f32) -> Self {
        self.values.iter_mut().for_each(|value| *value = tone(*value).clamp(0.0, 1.0));
        self
    }

    /// Black for white.
    pub(super) fn negative(self) -> Self {
        self.toned(|value| 1.0 - value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_takes_each_place_from_where_it_says() {
        let slope = Picture::drawn((32, 24), |x, y| 0.9 - 0.6 * y - 0.2 * x);
        let same = slope.moved(|x, y| (x, y));
        assert!(same.values.iter().zip(&slope.values).all(|(a, b)| (a - b).abs() < 1e-6));
        let flipped = slope.moved(|x, y| (x, 1.0 - y));
        assert!((flipped.at(0.5, 0.1) - slope.at(0.5, 0.9)).abs() < 1e-5);
    }
}
