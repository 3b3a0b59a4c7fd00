//! The threads that share out one run: every step is cut into tasks, and whoever is free takes the next one.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::background;

/// Looks at a step's progress between two tasks before a waiting thread lets others have its processor.
const SPINS: usize = 10_000;

/// A pool of threads of its own.
pub(super) struct Crew {
    pool: ThreadPool,
}

/// How far one step of a run is.
#[repr(align(128))]
#[derive(Default)]
struct Progress {
    taken: AtomicUsize,
    done: AtomicUsize,
}

/// How far a run is; made once for a list of steps and used for every run of it.
pub(super) struct Run {
    /// Tasks of each step.
    tasks: Vec<usize>,
    progress: Vec<Progress>,
    failed: AtomicBool,
}

impl Run {
    /// For steps of so many tasks each.
    pub(super) fn new(tasks: Vec<usize>) -> Self {
        let progress = tasks.iter().map(|_| Progress::default()).collect();
        Self { tasks, progress, failed: AtomicBool::new(false) }
    }

    fn reset(&mut self) {
        *self.failed.get_mut() = false;
        for progress in &mut self.progress {
            *progress = Progress::default();
        }
    }

    /// One thread's part in some of the steps.
    fn work(&self, steps: &Range<usize>, task: &(impl Fn(usize, usize) + Sync)) {
        let guard = Guard(&self.failed);
        for (step, (progress, tasks)) in
            self.progress.iter().zip(&self.tasks).enumerate().take(steps.end).skip(steps.start)
        {
            loop {
                let number = progress.taken.fetch_add(1, Ordering::Relaxed);
                if number >= *tasks {
                    break;
                }
                task(step, number);
                // What the task wrote is there for whoever sees that it is done.
                progress.done.fetch_add(1, Ordering::Release);
            }
            if !self.finished(progress, *tasks) {
                break;
            }
        }
        drop(guard);
    }

    /// Waits until all tasks of a step are done; false where one of them panicked.
    fn finished(&self, progress: &Progress, tasks: usize) -> bool {
        let mut spins = 0;
        while progress.done.load(Ordering::Acquire) < tasks {
            if self.failed.load(Ordering::Relaxed) {
                return false;
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        true
    }
}

/// Tells the others when a task panics, so that nobody waits for it.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Crew {
    /// So many threads; 0 for one a processor. They give way to receiving and sending.
    pub(super) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(|number| format!("model-{number}"));
        Ok(Self { pool: builder.start_handler(|_| background::give_way()).build()? })
    }

    /// Threads of the pool.
    pub(super) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Does every task of some of the steps, one step after the other; `task` gets the step's number and the task's. A
    /// panic in a task is passed on.
    pub(super) fn run(&self, run: &mut Run, steps: Range<usize>, task: impl Fn(usize, usize) + Sync) {
        run.reset();
        let run = &*run;
        self.pool.broadcast(|_| run.work(&steps, &task));
    }

    /// Does something on the pool, which it may share out by rayon's means.
    pub(super) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn every_task_is_done_once_and_no_step_begins_before_the_last_one_ended() {
        let crew = Crew::new(3).unwrap();
        let tasks = vec![5, 0, 1, 40, 2];
        let mut run = Run::new(tasks.clone());
        for _ in 0..200 {
            let done: Vec<AtomicUsize> = tasks.iter().map(|_| AtomicUsize::new(0)).collect();
            crew.run(&mut run, 0..usize::MAX, |step, _| {
                for (earlier, wanted) in done.iter().zip(&tasks).take(step) {
                    assert_eq!(earlier.load(Ordering::Acquire), *wanted);
                }
                done[step].fetch_add(1, Ordering::Release);
            });
            assert_eq!(done.iter().map(|done| done.load(Ordering::Acquire)).collect::<Vec<_>>(), tasks);
        }
    }

    #[test]
    fn a_panic_ends_the_run_and_not_the_crew() {
        let crew = Crew::new(2).unwrap();
        let mut run = Run::new(vec![4, 4]);
        let fault =
            catch_unwind(AssertUnwindSafe(|| crew.run(&mut run, 0..2, |_, task| assert!(task < 3, "on purpose"))));
        assert!(fault.is_err());
        crew.run(&mut run, 0..2, |_, _| {});
    }
}
