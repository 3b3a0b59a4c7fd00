//! Adam (Kingma and Ba 2015) with the constants that Keras takes.

use rayon::prelude::*;

/// Parameters that one task goes over.
const TASK: usize = 1 << 14;

const FIRST_DECAY: f32 = 0.9;
const SECOND_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-7;

/// The optimiser's memory of the gradients so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adam {
    /// Decaying means of the gradients.
    pub(super) first: Vec<f32>,
    /// Decaying means of their squares.
    pub(super) second: Vec<f32>,
    /// Steps taken.
    pub(super) steps: u32,
}

impl Adam {
    /// Without a memory, for so many parameters.
    pub(super) fn new(parameters: usize) -> Self {
        Self { first: vec![0.0; parameters], second: vec![0.0; parameters], steps: 0 }
    }

    /// Takes one step down the gradient.
    pub(super) fn step(&mut self, values: &mut [f32], gradient: &[f32], rate: f32) {
        self.steps = self.steps.saturating_add(1);
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let rate = rate * (1.0 - SECOND_DECAY.powi(power)).sqrt() / (1.0 - FIRST_DECAY.powi(power));
        let parts = (values.par_chunks_mut(TASK), gradient.par_chunks(TASK));
        let moments = (self.first.par_chunks_mut(TASK), self.second.par_chunks_mut(TASK));
        parts.0.zip(parts.1).zip(moments.0.zip(moments.1)).for_each(|((values, gradient), (first, second))| {
            let moments = first.iter_mut().zip(second);
            for ((value, slope), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
                *first = FIRST_DECAY * *first + (1.0 - FIRST_DECAY) * slope;
                *second = SECOND_DECAY * *second + (1.0 - SECOND_DECAY) * slope * slope;
                *value -= rate * *first / (second.sqrt() + EPSILON);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_paper() {
        // Algorithm 1 in f64, with the bias correction of its section 2.
        let (mut adam, mut values) = (Adam::new(1), [0.5_f32]);
        let (mut m, mut v, mut expected) = (0.0_f64, 0.0_f64, 0.5_f64);
        for step in 1..=20 {
            let slope = (f64::from(step) * 0.7).sin();
            (m, v) = (0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope * slope);
            expected -= 1e-2 * (m / (1.0 - 0.9_f64.powi(step))) / ((v / (1.0 - 0.999_f64.powi(step))).sqrt() + 1e-7);
            adam.step(&mut values, &[slope as f32], 1e-2);
            assert!((f64::from(values[0]) - expected).abs() < 1e-5, "{step}: {} for {expected}", values[0]);
        }
    }
}
