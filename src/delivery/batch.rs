//! Reports of one queue that several associations bring together: each study's in their order, one at a time.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ids::StudyInstanceUid;
use crate::ledger::Pending;

/// What is due, and what of it is on its way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    reports: Mutex<Reports>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Reports {
    waiting: VecDeque<Pending>,
    /// Studies of which a report is on its way.
    in_hand: HashSet<StudyInstanceUid>,
}

impl Batch {
    pub(super) fn new(due: Vec<Pending>) -> Self {
        let reports = Reports { waiting: due.into(), in_hand: HashSet::new() };
        Self { reports: Mutex::new(reports), changed: Notify::new() }
    }

    /// The next report of a study that nobody has in hand; [`Batch::settled`] must follow. Without one, the rest is for
    /// those who have its studies in hand.
    pub(super) fn take(&self) -> Option<Pending> {
        let mut reports = self.lock();
        let free = reports.waiting.iter().position(|pending| !reports.in_hand.contains(&pending.study))?;
        let taken = reports.waiting.remove(free)?;
        reports.in_hand.insert(taken.study.clone());
        drop(reports);
        self.changed.notify_waiters();
        Some(taken)
    }

    /// The report of a study that was taken is where it belongs.
    pub(super) fn settled(&self, study: &StudyInstanceUid) {
        self.lock().in_hand.remove(study);
    }

    /// Somebody else is to bring what was taken.
    pub(super) fn put_back(&self, pending: Pending) {
        let mut reports = self.lock();
        reports.in_hand.remove(&pending.study);
        reports.waiting.push_front(pending);
    }

    /// Leaves what was not taken yet for a later round.
    pub(super) fn abandon(&self) {
        self.lock().waiting.clear();
        self.changed.notify_waiters();
    }

    /// A report that waits, to see what bringing it would need.
    pub(super) fn next(&self) -> Option<Pending> {
        self.lock().waiting.front().cloned()
    }

    /// Waits until nothing waits.
    pub(super) async fn exhausted(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().waiting.is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_one_study_are_never_on_their_way_together() {
        let [first, second, other] = [("2.25.1", "2.25.11"), ("2.25.1", "2.25.12"), ("2.25.2", "2.25.21")]
            .map(|(study, report)| Pending::sample(study, report));
        let batch = Batch::new(vec![first.clone(), second.clone(), other.clone()]);
        assert_eq!(batch.take(), Some(first.clone()));
        assert_eq!(batch.take(), Some(other));
        assert_eq!(batch.take(), None);
        batch.settled(&first.study);
        assert_eq!(batch.take(), Some(second));
    }

    #[test]
    fn what_is_put_back_keeps_its_place() {
        let (first, second) = (Pending::sample("2.25.1", "2.25.11"), Pending::sample("2.25.1", "2.25.12"));
        let batch = Batch::new(vec![first.clone(), second]);
        let taken = batch.take().unwrap();
        batch.put_back(taken);
        assert_eq!(batch.take(), Some(first));
    }
}
