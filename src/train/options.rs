//! What a run is told: everything that its weights depend on beside data and trunk.

use super::Augmentation;
use crate::dataset::Rule;
use crate::model::{Depth, Precision};

/// Options of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Which part of the trunk is trained.
    pub trunk: TrunkPart,
    /// What the trunk is computed with.
    pub arithmetic: Arithmetic,
    /// Times that the model sees all images of training; at least 1.
    pub epochs: usize,
    /// Images of a step; at least 1.
    pub batch: usize,
    /// Adam's learning rate, above 0.
    pub learning_rate: f32,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Training ends when the loss on the images of validation has not fallen for so many epochs; `None` for never.
    pub patience: Option<usize>,
    /// Which epoch's weights become the model.
    pub keep: Keep,
    /// Outputs of the network; `None` for one for each class. Spare ones are never right.
    pub outputs: Option<usize>,
    /// Of initial weights and of the order of images.
    pub seed: u64,
    /// How images are divided.
    pub rule: Rule,
    /// How images of training are changed; `None` for not at all.
    pub augmentation: Option<Augmentation>,
    /// This share of the truth is spread over all outputs; 0..1.
    pub label_smoothing: f64,
    /// What classes count in the loss.
    pub class_weights: ClassWeights,
    /// What is done about overconfidence.
    pub calibration: CalibrationMethod,
}

/// What the trunk is computed with, its frozen part and its trained one. The head is always the processor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// The processor, in f32: the same run gives the same bits.
    Processor,
    /// The first NVIDIA device, its convolutions in these numbers: f32 or bf16. The order of its sums is its own.
    Device(Precision),
}

/// Which part of the trunk is trained along with the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrunkPart {
    /// Nothing.
    None,
    /// The last stage: three of sixteen blocks, two thirds of the weights.
    LastStage,
    /// Everything.
    All,
}

impl TrunkPart {
    /// How far the frozen part brings an image.
    pub fn depth(self) -> Depth {
        match self {
            Self::None => Depth::Pooled,
            Self::LastStage => Depth::LastStage,
            Self::All => Depth::Input,
        }
    }
}

/// How the learning rate changes from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// It falls to zero along half a cosine (Loshchilov and Hutter 2017, without restarts).
    Cosine,
    /// A tenth from half of the epochs on, a hundredth from three quarters on.
    Step,
}

impl Schedule {
    /// What the learning rate of an epoch, from 0, is multiplied with.
    fn factor(self, epoch: usize, epochs: usize) -> f64 {
        let done = epoch as f64 / epochs.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Self::Step if done < 0.5 => 1.0,
            Self::Step if done < 0.75 => 0.1,
            Self::Step => 0.01,
        }
    }
}

/// Which epoch's weights become the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The last one's.
    Last,
    /// Those of the highest accuracy on the images of validation, of equals the lowest loss: its figure there is then the
    /// best of several, and so better than on other images.
    Best,
}

/// What classes count in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassWeights {
    /// Every image counts once.
    Equal,
    /// Every class counts alike: an image by its class's share.
    Balanced,
}

/// What is done about overconfidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrationMethod {
    /// Nothing.
    None,
    /// Logits are divided by the temperature that suits the validation images best (Guo et al. 2017).
    Temperature,
}

impl Options {
    /// The learning rate of an epoch, from 0.
    pub(super) fn rate(&self, epoch: usize) -> f32 {
        (f64::from(self.learning_rate) * self.schedule.factor(epoch, self.epochs)) as f32
    }

    /// Names and values, for cards and pages.
    pub fn listed(&self) -> Vec<(&'static str, String)> {
        let division = match &self.rule {
            Rule::Column { split, .. } => vec![("split", format!("by column {split}"))],
            Rule::Random { seed, group, stratified } => {
                by_chance(format!("70/20/10 % by chance, seed {seed}"), group.as_deref(), *stratified)
            }
            Rule::Fold { seed, group, stratified, fold, of } => {
                let split = format!("share {} of {of} for the test, seed {seed}", fold + 1);
                by_chance(split, group.as_deref(), *stratified)
            }
        };
        let weights = match self.class_weights {
            ClassWeights::Equal => "equal",
            ClassWeights::Balanced => "balanced",
        };
        let calibration = match self.calibration {
            CalibrationMethod::None => "none",
            CalibrationMethod::Temperature => "temperature scaling on the validation images",
        };
        let trunk = match self.trunk {
            TrunkPart::None => "frozen; the head is trained on its features",
            TrunkPart::LastStage => "last stage trained, the others frozen; batch normalisation by batch, momentum 0.1",
            TrunkPart::All => "trained; batch normalisation by batch, momentum 0.1",
        };
        let schedule = match self.schedule {
            Schedule::Constant => "constant",
            Schedule::Cosine => "cosine to zero",
            Schedule::Step => "a tenth from half of the epochs on, a hundredth from three quarters on",
        };
        let keep = match self.keep {
            Keep::Last => "the last epoch's",
            Keep::Best => "those of the epoch that did best on validation",
        };
        let patience = self.patience.map_or_else(
            || "no".to_owned(),
            |epochs| format!("after {epochs} epochs without a lower loss on validation"),
        );
        let mut listed = vec![
            ("trunk", trunk.to_owned()),
            ("head", "Dense 128 ReLU, Dense softmax; Glorot uniform".to_owned()),
            ("outputs", self.outputs.map_or_else(|| "one a class".to_owned(), |outputs| outputs.to_string())),
            ("loss", "cross entropy".to_owned()),
            ("label smoothing", self.label_smoothing.to_string()),
            ("class weights", weights.to_owned()),
            ("optimiser", format!("Adam, learning rate {:e}", self.learning_rate)),
            ("schedule", schedule.to_owned()),
            ("epochs", self.epochs.to_string()),
            ("early stopping", patience),
            ("weights", keep.to_owned()),
            ("batch", self.batch.to_string()),
            ("seed", self.seed.to_string()),
            ("augmentation", self.augmentation.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)),
            ("calibration", calibration.to_owned()),
        ];
        // Accounts of runs on the processor stay what they were.
        if let Arithmetic::Device(precision) = self.arithmetic {
            listed.push(("computed", format!("on an NVIDIA device, convolutions in {}", precision.name())));
        }
        listed.extend(division);
        listed
    }
}

fn by_chance(split: String, group: Option<&str>, stratified: bool) -> Vec<(&'static str, String)> {
    let group = group.unwrap_or("none").to_owned();
    vec![("split", split), ("group", group), ("stratified", yes_or_no(stratified))]
}

fn yes_or_no(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_begin_at_the_learning_rate_and_fall() {
        let factors = |schedule: Schedule| [0, 4, 5, 7, 8, 10].map(|epoch| schedule.factor(epoch, 10));
        assert_eq!(factors(Schedule::Constant), [1.0; 6]);
        assert_eq!(factors(Schedule::Step), [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
        let cosine = factors(Schedule::Cosine);
        assert!(cosine[0] == 1.0 && (cosine[2] - 0.5).abs() < 1e-12 && cosine[5].abs() < 1e-12, "{cosine:?}");
    }
}
