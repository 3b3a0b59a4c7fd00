//! The station that owns the model: a bounded queue and one thread. Batches grow only while the model is busy;
//! nobody waits for a batch to fill.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use candle_core::Tensor;
use tokio::sync::{mpsc, oneshot};

use crate::background;
use crate::finding::{AgeRange, Algorithm, OperatingPoint, Probability};
use crate::model::{Input, Model};

/// Most images that go through the model at once.
const LARGEST_BATCH: usize = 16;

/// A classification that did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InferenceError {
    /// The model failed on this image.
    #[error("{0}")]
    Failed(String),
    /// The model's thread has ended.
    #[error("the model is not running; restart the service")]
    Stopped,
}

struct Job {
    image: Tensor,
    answer: oneshot::Sender<Result<Probability, InferenceError>>,
}

/// A handle to the model's thread; clones share it. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub struct Inference {
    jobs: mpsc::Sender<Job>,
    card: Arc<Card>,
}

/// What others must know of the model without owning it.
struct Card {
    input: Input,
    algorithm: Algorithm,
    operating_point: OperatingPoint,
    intended_age: Option<AgeRange>,
}

impl Inference {
    /// Starts the model's thread; at most `queue` images wait for it.
    pub fn start(model: Model, queue: usize) -> std::io::Result<Self> {
        let card = Card {
            input: model.input().clone(),
            algorithm: model.algorithm(),
            operating_point: model.operating_point(),
            intended_age: model.intended_age(),
        };
        let (jobs, waiting) = mpsc::channel(queue);
        std::thread::Builder::new().name("model".into()).spawn(move || {
            background::give_way();
            run(&model, waiting);
        })?;
        Ok(Self { jobs, card: Arc::new(card) })
    }

    /// How a radiograph becomes the model's input.
    pub fn input(&self) -> &Input {
        &self.card.input
    }

    /// What a report says of the model.
    pub fn algorithm(&self) -> &Algorithm {
        &self.card.algorithm
    }

    /// Where a score turns into a statement.
    pub fn operating_point(&self) -> OperatingPoint {
        self.card.operating_point
    }

    /// The patients' ages that the model is made for; `None` for all.
    pub fn intended_age(&self) -> Option<AgeRange> {
        self.card.intended_age
    }

    /// The score for *pneumonia* of one image, `[3, height, width] f32` as [`Input::tensor`] makes it. Waits for a
    /// place in the queue.
    pub async fn classify(&self, image: Tensor) -> Result<Probability, InferenceError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { image, answer }).await.map_err(|_| InferenceError::Stopped)?;
        answered.await.map_err(|_| InferenceError::Stopped)?
    }
}

fn run(model: &Model, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < LARGEST_BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        answer(model, batch);
    }
}

/// Runs a batch; where it fails, each of its images alone, so that one bad image fails nobody else.
fn answer(model: &Model, batch: Vec<Job>) {
    let images: Vec<Tensor> = batch.iter().map(|job| job.image.clone()).collect();
    match scores(model, &images) {
        Ok(scores) => {
            for (job, score) in batch.into_iter().zip(scores) {
                // A study that went away no longer listens.
                let _ = job.answer.send(Ok(score));
            }
        }
        Err(error) if batch.len() == 1 => {
            for job in batch {
                let _ = job.answer.send(Err(error.clone()));
            }
        }
        Err(_) => batch.into_iter().for_each(|job| answer(model, vec![job])),
    }
}

fn scores(model: &Model, images: &[Tensor]) -> Result<Vec<Probability>, InferenceError> {
    let run = || {
        let batch = Tensor::stack(images, 0).map_err(|error| error.to_string())?;
        model.scores(&batch).map_err(|error| error.to_string())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(InferenceError::Failed),
        Err(_) => Err(InferenceError::Failed("the model panicked on this image".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

    #[tokio::test]
    async fn a_bad_image_in_a_batch_fails_alone() {
        let model = Model::load(std::path::Path::new(REFERENCE)).unwrap();
        let ramp = model.input().ramp().unwrap();
        let odd = Tensor::zeros((1, 7, 7), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let inference = Inference::start(model, 8).unwrap();
        let (good, bad, again) =
            tokio::join!(inference.classify(ramp.clone()), inference.classify(odd), inference.classify(ramp));
        assert!((good.unwrap().fraction() - 0.27476).abs() < 1e-4);
        assert!((again.unwrap().fraction() - 0.27476).abs() < 1e-4);
        assert!(matches!(bad, Err(InferenceError::Failed(_))));
    }
}
