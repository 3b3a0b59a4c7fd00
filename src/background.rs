//! Work that gives way: decoding and inference take the processor only where receiving and sending leave it, so that
//! no sender waits because an earlier image is being looked at.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// What background threads add to their niceness: a tenth of an ordinary thread's share where both want the processor.
const NICENESS: i32 = 10;

/// The work panicked: a fault of Auscult's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault of Auscult's own in the background; please report it")]
pub struct Panicked;

/// Lets the calling thread give way from now on. On Linux niceness is a thread's own.
pub fn give_way() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a background thread keeps its priority");
    }
}

/// Makes the threads that share out the model's arithmetic give way. Counts once, before they first work.
pub fn give_way_in_arithmetic() {
    // Whoever came first has set them up.
    let _ = ThreadPoolBuilder::new().start_handler(|_| give_way()).build_global();
}

/// Does work on a background thread, one per processor.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
    let (answer, answered) = oneshot::channel();
    let work = move || {
        // Whoever asked may be gone.
        let _ = answer.send(catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked));
    };
    match threads() {
        Some(threads) => threads.spawn(work),
        None => drop(tokio::task::spawn_blocking(work)),
    }
    answered.await.unwrap_or(Err(Panicked))
}

/// None where the operating system gives no threads.
fn threads() -> Option<&'static ThreadPool> {
    static THREADS: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let start = || {
        let builder = ThreadPoolBuilder::new().thread_name(|number| format!("decode-{number}"));
        builder.start_handler(|_| give_way()).build().ok()
    };
    THREADS.get_or_init(start).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn background_work_gives_way_and_a_panic_in_it_ends_nothing() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let ours = niceness();
        assert_eq!(run(niceness).await, Ok((ours + NICENESS).min(19)));
        assert_eq!(run(|| panic!("on purpose")).await, Err::<(), _>(Panicked));
        assert_eq!(run(|| 7).await, Ok(7));
    }
}
