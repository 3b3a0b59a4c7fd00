//! Which class was taken for which.

use super::Estimate;

/// Images by their class and the class that the model found most probable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// A row for each class, a column for each answer.
    rows: Vec<Vec<usize>>,
}

impl Confusion {
    /// Of so many classes, from class and answer of each image.
    pub fn new(classes: usize, images: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut rows = vec![vec![0; classes]; classes];
        for (class, answer) in images {
            if let Some(count) = rows.get_mut(class).and_then(|row| row.get_mut(answer)) {
                *count += 1;
            }
        }
        Self { rows }
    }

    /// A row for each class, a column for each answer.
    pub fn rows(&self) -> &[Vec<usize>] {
        &self.rows
    }

    /// Share of images whose class was found.
    pub fn accuracy(&self) -> Option<Estimate> {
        Estimate::proportion(self.found().sum(), self.rows.iter().flatten().sum())
    }

    /// Mean over the classes that have images of the share that was found.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let shares: Vec<f64> = self
            .rows
            .iter()
            .zip(self.found())
            .filter_map(|(row, found)| Some(Estimate::proportion(found, row.iter().sum())?.value))
            .collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }

    fn found(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().enumerate().map(|(class, row)| row.get(class).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_counts_as_much_in_the_balanced_accuracy() {
        let images = [(0, 0), (0, 0), (0, 0), (0, 1), (1, 0), (1, 1)];
        let confusion = Confusion::new(3, images.into_iter());
        assert_eq!(confusion.rows(), [vec![3, 1, 0], vec![1, 1, 0], vec![0, 0, 0]]);
        assert!((confusion.accuracy().unwrap().value - 4.0 / 6.0).abs() < 1e-12);
        assert!((confusion.balanced_accuracy().unwrap() - 0.625).abs() < 1e-12);
    }
}
