//! The station that owns the model: a bounded queue and one thread. Batches grow only while the model is busy;
//! nobody waits for a batch to fill.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use candle_core::Tensor;
use tokio::sync::{mpsc, oneshot};

use crate::background;
use crate::finding::{AgeRange, Algorithm, OperatingPoint};
use crate::model::{self, Explanation, Framed, Framing, Input, Model};

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

type Reply<T> = oneshot::Sender<Result<T, InferenceError>>;

struct Job {
    image: Tensor,
    wish: Wish,
}

/// What somebody wants to know of an image.
enum Wish {
    Answer(Reply<model::Answer>),
    Explanation(Framing, Reply<Explanation>),
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

    /// The score for *pneumonia* of one image, `[3, height, width] f32` as [`Input::tensor`] makes it, and whether it looks
    /// like a chest radiograph. Waits for a place in the queue.
    pub async fn classify(&self, image: Tensor) -> Result<model::Answer, InferenceError> {
        self.ask(image, Wish::Answer).await
    }

    /// The same with the places of the stored image that the score comes from; costs about five classifications.
    pub async fn explain(&self, image: Framed) -> Result<Explanation, InferenceError> {
        self.ask(image.tensor, |reply| Wish::Explanation(image.framing, reply)).await
    }

    async fn ask<T>(&self, image: Tensor, wish: impl FnOnce(Reply<T>) -> Wish) -> Result<T, InferenceError> {
        let (reply, answered) = oneshot::channel();
        self.jobs.send(Job { image, wish: wish(reply) }).await.map_err(|_| InferenceError::Stopped)?;
        answered.await.map_err(|_| InferenceError::Stopped)?
    }
}

fn run(model: &Model, mut waiting: mpsc::Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < model.largest_batch()
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        answer(model, batch);
    }
}

/// Scores a batch at once, then explains one by one what is to be explained.
fn answer(model: &Model, batch: Vec<Job>) {
    let (mut scored, mut explained) = (Vec::new(), Vec::new());
    for Job { image, wish } in batch {
        match wish {
            Wish::Answer(reply) => scored.push((image, reply)),
            Wish::Explanation(framing, reply) => explained.push((Framed { tensor: image, framing }, reply)),
        }
    }
    score(model, scored);
    for (image, reply) in explained {
        let explanation = guarded(|| model.explain(&image).map_err(|error| error.to_string()));
        // A study that went away no longer listens.
        let _ = reply.send(explanation);
    }
}

/// Scores a batch; where that fails, each of its images alone, so that one bad image fails nobody else.
fn score(model: &Model, batch: Vec<(Tensor, Reply<model::Answer>)>) {
    if batch.is_empty() {
        return;
    }
    let images: Vec<Tensor> = batch.iter().map(|(image, _)| image.clone()).collect();
    match answers(model, &images) {
        Ok(answers) => {
            for ((_, reply), answer) in batch.into_iter().zip(answers) {
                let _ = reply.send(Ok(answer));
            }
        }
        Err(error) if batch.len() == 1 => {
            for (_, reply) in batch {
                let _ = reply.send(Err(error.clone()));
            }
        }
        Err(_) => batch.into_iter().for_each(|job| score(model, vec![job])),
    }
}

fn answers(model: &Model, images: &[Tensor]) -> Result<Vec<model::Answer>, InferenceError> {
    guarded(|| {
        let batch = Tensor::stack(images, 0).map_err(|error| error.to_string())?;
        model.answers(&batch).map_err(|error| error.to_string())
    })
}

fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, InferenceError> {
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
        assert!((good.unwrap().score.fraction() - 0.27476).abs() < 1e-4);
        assert!((again.unwrap().score.fraction() - 0.27476).abs() < 1e-4);
        assert!(matches!(bad, Err(InferenceError::Failed(_))));
    }

    #[tokio::test]
    async fn explanations_and_scores_share_the_queue() {
        let model = Model::load(std::path::Path::new(REFERENCE)).unwrap();
        let ramp = model.input().ramp().unwrap();
        let odd = Tensor::zeros((1, 7, 7), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let inference = Inference::start(model, 8).unwrap();
        let framed = |tensor| Framed { tensor, framing: Framing::whole((224, 224), (224, 224)) };
        let explain = |tensor| inference.explain(framed(tensor));
        let (score, explanation, bad) = tokio::join!(inference.classify(ramp.clone()), explain(ramp), explain(odd));
        let difference = score.unwrap().score.fraction() - explanation.unwrap().score.fraction();
        assert!(difference.abs() < 1e-5, "{difference}");
        assert!(matches!(bad, Err(InferenceError::Failed(_))));
    }
}
