//! The station that owns the model: a bounded queue and a thread for each device. Batches grow only while the models are busy;
//! nobody waits for a batch to fill.

mod worker;

use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use tokio::sync::{mpsc, oneshot};

use crate::background;
use crate::finding::{AgeRange, Algorithm, OperatingPoint};
use crate::model::{self, Explanation, Framed, Input, Model};
use worker::{Job, Reply, Wish, Worker};

/// A classification that did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InferenceError {
    /// The model failed on this image.
    #[error("{0}")]
    Failed(String),
    /// The model's thread has ended, or the model failed and cannot be opened again.
    #[error("the model is not running; restart the service")]
    Stopped,
}

/// A handle to the models' threads; clones share them. They end when the last handle is dropped.
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
    at_once: usize,
}

impl Inference {
    /// Starts a thread for each of the models, which are one package on several devices; at most `queue` images wait for them.
    /// A model that fails later is opened again by its place among them, if it is still the same one.
    ///
    /// # Errors
    /// There is no model, or no thread can be started.
    pub fn start<E: std::error::Error>(
        models: Vec<Model>,
        open: impl Fn(usize) -> Result<Model, E> + Clone + Send + 'static,
        queue: usize,
    ) -> Result<Self, std::io::Error> {
        let first = models.first().ok_or_else(|| std::io::Error::other("there is no model to start"))?;
        let card = Arc::new(Card {
            input: first.input().clone(),
            algorithm: first.algorithm(),
            operating_point: first.operating_point(),
            intended_age: first.intended_age(),
            at_once: 2 * models.iter().map(Model::largest_batch).sum::<usize>(),
        });
        let (jobs, waiting) = mpsc::channel(queue);
        let waiting = Arc::new(Mutex::new(waiting));
        for (place, model) in models.into_iter().enumerate() {
            let (open, algorithm, waiting) = (open.clone(), model.algorithm(), Arc::clone(&waiting));
            let again = move || same(open(place).map_err(|fault| fault.to_string())?, &algorithm);
            std::thread::Builder::new().name(format!("model-{place}")).spawn(move || {
                background::give_way();
                Worker::new(model, again).run(&waiting);
            })?;
        }
        Ok(Self { jobs, card })
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

    /// Images that are worth asking for at the same time: as many as the models take together, and as many that are decoded
    /// meanwhile.
    pub fn at_once(&self) -> usize {
        self.card.at_once
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

    /// The same with the places of the stored image that the score comes from; costs about one and a half classifications in f32.
    pub async fn explain(&self, image: Framed) -> Result<Explanation, InferenceError> {
        self.ask(image.tensor, |reply| Wish::Explanation(image.framing, reply)).await
    }

    async fn ask<T>(&self, image: Tensor, wish: impl FnOnce(Reply<T>) -> Wish) -> Result<T, InferenceError> {
        let (reply, answered) = oneshot::channel();
        self.jobs.send(Job { image, wish: wish(reply) }).await.map_err(|_| InferenceError::Stopped)?;
        answered.await.map_err(|_| InferenceError::Stopped)?
    }
}

/// A model that was opened again: reports name the one that was there before.
fn same(model: Model, before: &Algorithm) -> Result<Model, String> {
    if model.algorithm() == *before {
        return Ok(model);
    }
    Err("the model package was replaced meanwhile; reload the service".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Framing;

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");

    /// The reference model and its self-test's image.
    fn reference() -> (Inference, Tensor) {
        with_models(1)
    }

    fn with_models(count: usize) -> (Inference, Tensor) {
        let open = |_| Model::load(std::path::Path::new(REFERENCE));
        let models = (0..count).map(|place| open(place).unwrap()).collect();
        let inference = Inference::start(models, open, 8).unwrap();
        let ramp = inference.input().ramp().unwrap();
        (inference, ramp)
    }

    #[tokio::test]
    async fn a_bad_image_in_a_batch_fails_alone() {
        let (inference, ramp) = reference();
        let odd = Tensor::zeros((1, 7, 7), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let (good, bad, again) =
            tokio::join!(inference.classify(ramp.clone()), inference.classify(odd), inference.classify(ramp));
        assert!((good.unwrap().score.fraction() - 0.27476).abs() < 1e-4);
        assert!((again.unwrap().score.fraction() - 0.27476).abs() < 1e-4);
        assert!(matches!(bad, Err(InferenceError::Failed(_))));
    }

    #[tokio::test]
    async fn several_models_share_a_queue_and_give_the_same_answers() {
        let (inference, ramp) = with_models(3);
        let asked: Vec<_> = (0..12).map(|_| inference.classify(ramp.clone())).collect();
        for asked in asked {
            assert!((asked.await.unwrap().score.fraction() - 0.27476).abs() < 1e-4);
        }
        assert!(Inference::start(Vec::new(), |_| Model::load(std::path::Path::new(REFERENCE)), 8).is_err());
    }

    #[test]
    fn another_model_does_not_answer_in_the_name_of_the_one_before() {
        let open = || Model::load(std::path::Path::new(REFERENCE)).unwrap();
        let algorithm = open().algorithm();
        assert!(same(open(), &algorithm).is_ok());
        let fault = same(open(), &Algorithm { version: "0.2.0".into(), ..algorithm }).map(drop).unwrap_err();
        assert!(fault.contains("reload the service"), "{fault}");
    }

    #[tokio::test]
    async fn explanations_and_scores_share_the_queue() {
        let (inference, ramp) = reference();
        let odd = Tensor::zeros((1, 7, 7), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let framed = |tensor| Framed { tensor, framing: Framing::whole((224, 224), (224, 224)) };
        let explain = |tensor| inference.explain(framed(tensor));
        let (score, explanation, bad) = tokio::join!(inference.classify(ramp.clone()), explain(ramp), explain(odd));
        let difference = score.unwrap().score.fraction() - explanation.unwrap().score.fraction();
        assert!(difference.abs() < 1e-5, "{difference}");
        assert!(matches!(bad, Err(InferenceError::Failed(_))));
    }
}
