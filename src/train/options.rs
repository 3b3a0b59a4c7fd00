//! What a run is told: everything that its weights depend on beside data and trunk.

use crate::dataset::Rule;

/// Options of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Times that the model sees all images of training; at least 1.
    pub epochs: usize,
    /// Images of a step; at least 1.
    pub batch: usize,
    /// Adam's learning rate, above 0.
    pub learning_rate: f32,
    /// Outputs of the network; `None` for one for each class. Spare ones are never right.
    pub outputs: Option<usize>,
    /// Of initial weights and of the order of images.
    pub seed: u64,
    /// How images are divided.
    pub rule: Rule,
    /// This share of the truth is spread over all outputs; 0..1.
    pub label_smoothing: f64,
    /// What classes count in the loss.
    pub class_weights: ClassWeights,
    /// What is done about overconfidence.
    pub calibration: CalibrationMethod,
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
    /// Names and values, for cards and pages.
    pub fn listed(&self) -> Vec<(&'static str, String)> {
        let division = match &self.rule {
            Rule::Column { split, .. } => vec![("split", format!("by column {split}"))],
            Rule::Random { seed, group, stratified } => vec![
                ("split", format!("70/20/10 % by chance, seed {seed}")),
                ("group", group.clone().unwrap_or_else(|| "none".to_owned())),
                ("stratified", yes_or_no(*stratified)),
            ],
        };
        let weights = match self.class_weights {
            ClassWeights::Equal => "equal",
            ClassWeights::Balanced => "balanced",
        };
        let calibration = match self.calibration {
            CalibrationMethod::None => "none",
            CalibrationMethod::Temperature => "temperature scaling on the validation images",
        };
        let mut listed = vec![
            ("trunk", "frozen; the head is trained on its features".to_owned()),
            ("head", "Dense 128 ReLU, Dense softmax; Glorot uniform".to_owned()),
            ("outputs", self.outputs.map_or_else(|| "one a class".to_owned(), |outputs| outputs.to_string())),
            ("loss", "cross entropy".to_owned()),
            ("label smoothing", self.label_smoothing.to_string()),
            ("class weights", weights.to_owned()),
            ("optimiser", format!("Adam, learning rate {:e}", self.learning_rate)),
            ("epochs", self.epochs.to_string()),
            ("batch", self.batch.to_string()),
            ("seed", self.seed.to_string()),
            ("calibration", calibration.to_owned()),
        ];
        listed.extend(division);
        listed
    }
}

fn yes_or_no(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}
