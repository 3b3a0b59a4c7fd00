//! The threads that share out one run: every step is cut into tasks, each thread begins with a share of its own, and whoever
//! is free takes what is left of the others'.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::geometry::part_of;
use crate::background;

/// Looks at a step's progress between two tasks before a waiting thread lets others have its processor.
const SPINS: usize = 10_000;

/// A pool of threads of its own.
pub(super) struct Crew {
    pool: ThreadPool,
}

/// On cache lines of its own, for one processor fetches two at once.
#[repr(align(128))]
struct Apart<T>(T);

/// The tasks of a step that one thread begins with: those of neighbouring places go to the same thread step after step, which
/// finds what it has written in its own cache.
struct Share {
    /// The next one, or, from `end` on, none.
    next: Apart<AtomicUsize>,
    first: usize,
    end: usize,
}

/// How far one step of a run is.
struct Progress {
    /// One a thread.
    shares: Vec<Share>,
    tasks: usize,
    done: Apart<AtomicUsize>,
}

/// How far a run is; made once for a list of steps and used for every run of it.
pub(super) struct Run {
    progress: Vec<Progress>,
    failed: AtomicBool,
}

impl Progress {
    fn new(tasks: usize, threads: usize) -> Self {
        let share = |thread| {
            let Range { start, end } = part_of(thread, threads, tasks);
            Share { next: Apart(AtomicUsize::new(start)), first: start, end }
        };
        Self { shares: (0..threads).map(share).collect(), tasks, done: Apart(AtomicUsize::new(0)) }
    }

    fn reset(&mut self) {
        *self.done.0.get_mut() = 0;
        for share in &mut self.shares {
            *share.next.0.get_mut() = share.first;
        }
    }

    /// The next task for a thread: one of its own share, or else of the shares behind it.
    fn next(&self, thread: usize) -> Option<usize> {
        let (before, from) = self.shares.split_at_checked(thread).unwrap_or((&[], &self.shares));
        from.iter().chain(before).find_map(|share| {
            let number = share.next.0.fetch_add(1, Ordering::Relaxed);
            (number < share.end).then_some(number)
        })
    }
}

impl Run {
    /// For steps of so many tasks each, by so many threads.
    pub(super) fn new(tasks: Vec<usize>, threads: usize) -> Self {
        let progress = tasks.into_iter().map(|tasks| Progress::new(tasks, threads)).collect();
        Self { progress, failed: AtomicBool::new(false) }
    }

    fn reset(&mut self) {
        *self.failed.get_mut() = false;
        self.progress.iter_mut().for_each(Progress::reset);
    }

    /// One thread's part in some of the steps.
    fn work(&self, thread: usize, steps: &Range<usize>, task: &(impl Fn(usize, usize) + Sync)) {
        let guard = Guard(&self.failed);
        for (step, progress) in self.progress.iter().enumerate().take(steps.end).skip(steps.start) {
            while let Some(number) = progress.next(thread) {
                task(step, number);
                // What the task wrote is there for whoever sees that it is done.
                progress.done.0.fetch_add(1, Ordering::Release);
            }
            if !self.finished(progress) {
                break;
            }
        }
        drop(guard);
    }

    /// Waits until all tasks of a step are done; false where one of them panicked.
    fn finished(&self, progress: &Progress) -> bool {
        let mut spins = 0;
        while progress.done.0.load(Ordering::Acquire) < progress.tasks {
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
        self.pool.broadcast(|context| run.work(context.index(), &steps, &task));
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
        let mut run = Run::new(tasks.clone(), 3);
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
    fn a_thread_begins_with_its_own_share_and_then_helps_the_others() {
        let progress = Progress::new(7, 3);
        let mine: Vec<usize> = std::iter::from_fn(|| progress.next(1)).take(3).collect();
        assert_eq!(mine, [2, 3, 4]);
        assert_eq!(progress.next(0), Some(0));
        let rest: Vec<usize> = std::iter::from_fn(|| progress.next(1)).collect();
        assert_eq!(rest, [5, 6, 1]);
        assert_eq!(progress.next(2), None);
    }

    #[test]
    fn a_panic_ends_the_run_and_not_the_crew() {
        let crew = Crew::new(2).unwrap();
        let mut run = Run::new(vec![4, 4], 2);
        let fault =
            catch_unwind(AssertUnwindSafe(|| crew.run(&mut run, 0..2, |_, task| assert!(task < 3, "on purpose"))));
        assert!(fault.is_err());
        crew.run(&mut run, 0..2, |_, _| {});
    }
}
