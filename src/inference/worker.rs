//! The thread that owns a model. A model that panics, or whose device fails, is opened again, and the image tried once
//! more; where no model can be opened, images fail as if the thread had ended, so that their studies are tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use tokio::sync::{mpsc, oneshot};

use super::InferenceError;
use crate::model::{Answer, Explanation, Framed, Framing, Model, ModelError};

/// Who waits for an answer.
pub(super) type Reply<T> = oneshot::Sender<Result<T, InferenceError>>;

/// An image in the queue.
pub(super) struct Job {
    pub(super) image: Tensor,
    pub(super) wish: Wish,
}

/// What somebody wants to know of an image.
pub(super) enum Wish {
    Answer(Reply<Answer>),
    Explanation(Framing, Reply<Explanation>),
}

impl Job {
    /// Whether nobody waits for it any more: its study went away.
    fn is_abandoned(&self) -> bool {
        match &self.wish {
            Wish::Answer(reply) => reply.is_closed(),
            Wish::Explanation(_, reply) => reply.is_closed(),
        }
    }
}

/// A model as its thread sees it.
pub(super) trait Reader {
    /// Most images that it is worth giving it together.
    fn largest_batch(&self) -> usize;
    /// Whether it runs on something that may fail by itself; a processor does not.
    fn is_on_device(&self) -> bool;
    /// The answers to images `[n, 3, height, width] f32`.
    fn answers(&self, images: &Tensor) -> Result<Vec<Answer>, ModelError>;
    /// The answer to one image, with the places that it comes from.
    fn explain(&self, image: &Framed) -> Result<Explanation, ModelError>;
}

impl Reader for Model {
    fn largest_batch(&self) -> usize {
        self.largest_batch()
    }

    fn is_on_device(&self) -> bool {
        self.is_on_device()
    }

    fn answers(&self, images: &Tensor) -> Result<Vec<Answer>, ModelError> {
        self.answers(images)
    }

    fn explain(&self, image: &Framed) -> Result<Explanation, ModelError> {
        self.explain(image)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone)]
enum Fault {
    /// The model says so: the image's own fault.
    Image(String),
    /// The model panicked, or its device failed. It has been given up.
    Model(String),
    /// There is no model, and none can be opened.
    Missing,
}

impl From<Fault> for InferenceError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Image(said) | Fault::Model(said) => Self::Failed(said),
            Fault::Missing => Self::Stopped,
        }
    }
}

/// The model and how another one is opened in its place.
pub(super) struct Worker<M, O> {
    model: Option<M>,
    open: O,
}

impl<M: Reader, O: Fn() -> Result<M, String>> Worker<M, O> {
    pub(super) fn new(model: M, open: O) -> Self {
        Self { model: Some(model), open }
    }

    /// Answers until nobody can ask any more.
    pub(super) fn run(mut self, waiting: &Mutex<mpsc::Receiver<Job>>) {
        while let Some(mut batch) = self.next(waiting) {
            batch.retain(|job| !job.is_abandoned());
            self.answer(batch);
        }
    }

    /// What waits, as much as goes together; waits for it with the queue to itself, so that other workers wait behind.
    fn next(&self, waiting: &Mutex<mpsc::Receiver<Job>>) -> Option<Vec<Job>> {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = vec![waiting.blocking_recv()?];
        let largest = self.model.as_ref().map_or(1, M::largest_batch);
        while batch.len() < largest
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        Some(batch)
    }

    /// Scores a batch at once, then explains one by one what is to be explained.
    fn answer(&mut self, batch: Vec<Job>) {
        let (mut scored, mut explained) = (Vec::new(), Vec::new());
        for Job { image, wish } in batch {
            match wish {
                Wish::Answer(reply) => scored.push((image, reply)),
                Wish::Explanation(framing, reply) => explained.push((Framed { tensor: image, framing }, reply)),
            }
        }
        self.score(scored);
        for (image, reply) in explained {
            let explanation = self.ask_twice(|model| model.explain(&image));
            // A study that went away no longer listens.
            let _ = reply.send(explanation.map_err(InferenceError::from));
        }
    }

    /// Scores a batch; where that fails, each of its images alone, so that one bad image fails nobody else.
    fn score(&mut self, batch: Vec<(Tensor, Reply<Answer>)>) {
        let images: Vec<&Tensor> = batch.iter().map(|(image, _)| image).collect();
        if batch.len() > 1
            && let Ok(together) = Tensor::stack(&images, 0)
            && let Ok(answers) = self.ask(|model| model.answers(&together))
        {
            for ((_, reply), answer) in batch.into_iter().zip(answers) {
                let _ = reply.send(Ok(answer));
            }
            return;
        }
        for (image, reply) in batch {
            let answer = self.score_alone(&image);
            let _ = reply.send(answer.map_err(InferenceError::from));
        }
    }

    fn score_alone(&mut self, image: &Tensor) -> Result<Answer, Fault> {
        let image = image.unsqueeze(0).map_err(|fault| Fault::Image(fault.to_string()))?;
        let mut answers = self.ask_twice(|model| model.answers(&image))?;
        answers.pop().ok_or_else(|| Fault::Image("the model gave no answer".into()))
    }

    /// Asks once more where the model failed: the image may have had no part in it.
    fn ask_twice<T>(&mut self, question: impl Fn(&M) -> Result<T, ModelError>) -> Result<T, Fault> {
        match self.ask(&question) {
            Err(Fault::Model(_)) => self.ask(question),
            answered => answered,
        }
    }

    /// Asks the model, or one that is opened in its place.
    fn ask<T>(&mut self, question: impl Fn(&M) -> Result<T, ModelError>) -> Result<T, Fault> {
        let model = match self.model.take() {
            Some(model) => model,
            None => self.opened()?,
        };
        let said = match catch_unwind(AssertUnwindSafe(|| question(&model))) {
            Ok(Err(fault)) if model.is_on_device() => Err(fault.to_string()),
            Ok(answered) => {
                self.model = Some(model);
                return answered.map_err(|fault| Fault::Image(fault.to_string()));
            }
            Err(_) => Err("the model panicked on this image".to_owned()),
        };
        // What is left of it may panic once more while it is put away.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(model)));
        said.map_err(|said| {
            tracing::error!(%said, "the model failed and is opened again");
            Fault::Model(said)
        })
    }

    fn opened(&self) -> Result<M, Fault> {
        (self.open)().map_err(|fault| {
            tracing::error!(%fault, "the model cannot be opened again; studies wait");
            Fault::Missing
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use candle_core::{DType, Device};

    use super::*;
    use crate::finding::Probability;

    /// What happens when it is asked.
    #[derive(Clone, Copy)]
    enum Nature {
        Sound,
        Panicking,
        OnBrokenDevice,
    }

    struct Stand {
        nature: Nature,
        asked: Arc<AtomicUsize>,
    }

    impl Reader for Stand {
        fn largest_batch(&self) -> usize {
            4
        }

        fn is_on_device(&self) -> bool {
            matches!(self.nature, Nature::OnBrokenDevice)
        }

        fn answers(&self, images: &Tensor) -> Result<Vec<Answer>, ModelError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = Answer { score: Probability::try_from(0.5).unwrap(), plausibility: None };
            match self.nature {
                Nature::Sound => Ok(vec![answer; images.dim(0).unwrap()]),
                Nature::Panicking => panic!("a test"),
                Nature::OnBrokenDevice => Err(ModelError::NotAProbability(f64::NAN)),
            }
        }

        fn explain(&self, _: &Framed) -> Result<Explanation, ModelError> {
            panic!("a test")
        }
    }

    /// The answers of a model of such a nature, opened again as one of each of the others in turn, and how often any was
    /// asked. The images whose place is in `abandoned` lose their study before they are looked at.
    fn answered(
        first: Nature,
        others: &[Option<Nature>],
        images: usize,
        abandoned: &[usize],
    ) -> (Vec<Result<f64, InferenceError>>, usize) {
        let (asked, opened) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let stand = |nature| Stand { nature, asked: asked.clone() };
        let open = || {
            let nature = others.get(opened.fetch_add(1, Ordering::SeqCst)).copied().flatten();
            nature.map(stand).ok_or_else(|| "the package is away".to_owned())
        };
        let (jobs, waiting) = mpsc::channel(images);
        let mut replies = Vec::new();
        for place in 0..images {
            let (reply, answer) = oneshot::channel();
            let image = Tensor::zeros((3, 2, 2), DType::F32, &Device::Cpu).unwrap();
            jobs.try_send(Job { image, wish: Wish::Answer(reply) }).ok().unwrap();
            if !abandoned.contains(&place) {
                replies.push(answer);
            }
        }
        drop(jobs);
        Worker::new(stand(first), open).run(&Mutex::new(waiting));
        let said = |answer: &mut oneshot::Receiver<Result<Answer, InferenceError>>| {
            answer.try_recv().unwrap().map(|answer| answer.score.fraction())
        };
        (replies.iter_mut().map(said).collect(), asked.load(Ordering::SeqCst))
    }

    #[test]
    fn what_waits_is_answered_together() {
        let (answers, asked) = answered(Nature::Sound, &[], 6, &[]);
        assert!(answers.len() == 6 && answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(asked, 2);
    }

    #[test]
    fn nobody_computes_for_a_study_that_went_away() {
        assert_eq!(answered(Nature::Sound, &[], 4, &[0, 1, 2, 3]).1, 0);
        let (answers, asked) = answered(Nature::Sound, &[], 4, &[1]);
        assert_eq!((answers.len(), asked), (3, 1));
    }

    #[test]
    fn a_model_that_panics_is_opened_again_and_the_image_tried_once_more() {
        let (answers, asked) = answered(Nature::Panicking, &[Some(Nature::Sound)], 1, &[]);
        assert!(matches!(answers[..], [Ok(score)] if score == 0.5), "{answers:?}");
        assert_eq!(asked, 2);
    }

    #[test]
    fn an_image_on_which_every_model_panics_fails_alone() {
        let others = [Some(Nature::Panicking), Some(Nature::Sound)];
        let (answers, _) = answered(Nature::Panicking, &others, 1, &[]);
        assert!(
            matches!(&answers[..], [Err(InferenceError::Failed(said))] if said.contains("panicked")),
            "{answers:?}"
        );
        let (answers, _) = answered(Nature::Panicking, &others, 2, &[]);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    #[test]
    fn a_device_that_fails_is_opened_again_or_the_processor_takes_over() {
        let (answers, asked) = answered(Nature::OnBrokenDevice, &[Some(Nature::Sound)], 3, &[]);
        assert!(answers.len() == 3 && answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(asked, 4, "once together, then each alone");
    }

    #[test]
    fn without_a_model_studies_are_kept_and_the_next_image_asks_for_one_again() {
        let (answers, _) = answered(Nature::Panicking, &[None, None, Some(Nature::Sound)], 3, &[]);
        assert!(
            matches!(answers[..], [Err(InferenceError::Stopped), Err(InferenceError::Stopped), Ok(_)]),
            "{answers:?}"
        );
    }
}
