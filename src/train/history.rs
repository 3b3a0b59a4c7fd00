//! How training went: loss and accuracy after every epoch, as a table and as curves.

use crate::performance::Drawing;
use crate::plot::{Axis, Chart, Colour, Corner, Mark, Series, Stroke};

/// Loss and accuracy on one part of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Mean cross entropy, without smoothing and weights.
    pub loss: f64,
    /// Share of images whose class was the most probable one, 0..=1.
    pub accuracy: f64,
}

/// How far a model was after an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// On the images that it is fitted to.
    pub training: Standing,
    /// On those that it is watched with.
    pub validation: Standing,
}

impl Epoch {
    /// Its four figures, in the order of the table.
    pub(super) fn figures(&self) -> [f64; 4] {
        let Self { training, validation } = self;
        [training.loss, training.accuracy, validation.loss, validation.accuracy]
    }

    /// From its four figures.
    pub(super) fn of([loss, accuracy, validation_loss, validation_accuracy]: [f64; 4]) -> Self {
        Self {
            training: Standing { loss, accuracy },
            validation: Standing { loss: validation_loss, accuracy: validation_accuracy },
        }
    }
}

/// Index of the best epoch: the highest accuracy on the images of validation, of equals the lowest loss, of these the
/// first.
pub(super) fn best(history: &[Epoch]) -> Option<usize> {
    let better = |a: &Standing, b: &Standing| a.accuracy.total_cmp(&b.accuracy).then(b.loss.total_cmp(&a.loss)).is_gt();
    let choose = |best: Option<(usize, Standing)>, (index, epoch): (usize, &Epoch)| match best {
        Some((best, standing)) if !better(&epoch.validation, &standing) => Some((best, standing)),
        _ => Some((index, epoch.validation)),
    };
    history.iter().enumerate().fold(None, choose).map(|(index, _)| index)
}

/// Epochs since the loss on the images of validation was lowest.
pub(super) fn since_lowest_loss(history: &[Epoch]) -> usize {
    let lowest = history.iter().enumerate().min_by(|(_, a), (_, b)| a.validation.loss.total_cmp(&b.validation.loss));
    lowest.map_or(0, |(index, _)| history.len() - 1 - index)
}

/// The table, a line for each epoch.
pub(super) fn csv(history: &[Epoch]) -> String {
    let line = |(number, epoch): (usize, &Epoch)| {
        let [a, b, c, d] = epoch.figures();
        format!("{number},{a:.6},{b:.6},{c:.6},{d:.6}\n")
    };
    let lines: String = (1..).zip(history).map(line).collect();
    format!("epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n{lines}")
}

/// Accuracy and loss over the epochs.
pub(super) fn drawings(history: &[Epoch], epochs: usize) -> [Drawing; 2] {
    let chart = |name: &str, y: Axis, legend: Corner, value: fn(&Standing) -> f64| {
        let line = |title: &str, colour, stroke, of: fn(&Epoch) -> &Standing| {
            let points = history.iter().enumerate().map(|(number, epoch)| (number as f64 + 1.0, value(of(epoch))));
            Series { name: Some(title.to_owned()), colour, mark: Mark::Line(stroke, points.collect()) }
        };
        let series = vec![
            line("Training", Colour::Blue, Stroke::Solid, |epoch| &epoch.training),
            line("Validation", Colour::Orange, Stroke::Dashed, |epoch| &epoch.validation),
        ];
        Chart { title: format!("{name} by epoch"), x: Axis::counted("Epoch", epochs), y, series, legend }.svg()
    };
    let both = |value: fn(&Standing) -> f64| {
        history.iter().flat_map(move |epoch| [value(&epoch.training), value(&epoch.validation)])
    };
    let accuracy = Axis::up_to_one("Accuracy", both(|standing| standing.accuracy));
    let loss = Axis::from_zero("Cross entropy", both(|standing| standing.loss));
    [
        Drawing { name: "accuracy", svg: chart("Accuracy", accuracy, Corner::LowerRight, |at| at.accuracy) },
        Drawing { name: "loss", svg: chart("Loss", loss, Corner::UpperRight, |at| at.loss) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_epoch_has_the_highest_accuracy_and_of_these_the_lowest_loss() {
        let history = |standings: &[(f64, f64)]| -> Vec<Epoch> {
            standings.iter().map(|(accuracy, loss)| Epoch::of([0.0, 1.0, *loss, *accuracy])).collect()
        };
        assert_eq!(best(&[]), None);
        let history = history(&[(0.8, 0.3), (0.9, 0.4), (0.9, 0.2), (0.85, 0.1), (0.9, 0.2)]);
        assert_eq!(best(&history), Some(2));
        assert_eq!((since_lowest_loss(&history), since_lowest_loss(&history[..4]), since_lowest_loss(&[])), (1, 0, 0));
    }

    #[test]
    fn an_epoch_is_a_line_and_a_point_of_each_curve() {
        let history = [Epoch::of([0.5, 0.75, 0.625, 0.5]), Epoch::of([0.25, 1.0, 0.5, 0.75])];
        assert_eq!(
            csv(&history),
            "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n\
             1,0.500000,0.750000,0.625000,0.500000\n2,0.250000,1.000000,0.500000,0.750000\n"
        );
        let [accuracy, loss] = drawings(&history, 10);
        assert!(accuracy.svg.contains(">Accuracy by epoch<") && accuracy.svg.contains(">Validation<"));
        assert!(loss.svg.contains(">Cross entropy<") && loss.svg.matches("<polyline").count() == 2);
    }
}
