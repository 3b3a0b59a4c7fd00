//! Whose turn it is: urgent before routine, but nobody is passed for longer than the administrator allows.

use std::time::{Duration, Instant};

use crate::instance::Urgency;

/// What waits for its turn.
#[derive(Debug)]
pub(super) struct Turns<T> {
    routine_wait: Duration,
    waiting: Vec<(Instant, T)>,
}

impl<T> Turns<T> {
    /// Urgent ones go before routine ones that came up to `routine_wait` earlier.
    pub(super) fn new(routine_wait: Duration) -> Self {
        Self { routine_wait, waiting: Vec::new() }
    }

    pub(super) fn push(&mut self, item: T, urgency: Urgency, since: Instant) {
        let turn = match urgency {
            Urgency::Urgent => since,
            Urgency::Routine => since + self.routine_wait,
        };
        self.waiting.push((turn, item));
    }

    /// Makes those urgent that are meant, as if they had been from the beginning.
    pub(super) fn hasten(&mut self, meant: impl Fn(&T) -> bool) {
        for (turn, _) in self.waiting.iter_mut().filter(|(_, item)| meant(item)) {
            *turn = turn.checked_sub(self.routine_wait).unwrap_or(*turn);
        }
    }

    pub(super) fn next(&mut self) -> Option<T> {
        self.next_where(|_| true)
    }

    /// The next of those that can be taken now.
    pub(super) fn next_where(&mut self, ready: impl Fn(&T) -> bool) -> Option<T> {
        let ready = self.waiting.iter().enumerate().filter(|(_, (_, item))| ready(item));
        let (place, _) = ready.min_by_key(|(_, (turn, _))| *turn)?;
        Some(self.waiting.remove(place).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(turns: &mut Turns<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn urgent_ones_go_first_and_nobody_waits_for_ever() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut turns = Turns::new(Duration::from_secs(60));
        turns.push("routine", Urgency::Routine, at(0));
        turns.push("urgent", Urgency::Urgent, at(59));
        turns.push("urgent, a minute later", Urgency::Urgent, at(61));
        turns.push("routine, later", Urgency::Routine, at(5));
        assert_eq!(order(&mut turns), ["urgent", "routine", "urgent, a minute later", "routine, later"]);
    }

    #[test]
    fn the_same_urgency_goes_in_the_order_of_arrival() {
        let start = Instant::now();
        let mut turns = Turns::new(Duration::from_secs(60));
        for (item, second) in [("b", 2), ("a", 1), ("c", 3)] {
            turns.push(item, Urgency::Routine, start + Duration::from_secs(second));
        }
        turns.hasten(|item| *item == "c");
        assert_eq!(order(&mut turns), ["c", "a", "b"]);
    }

    #[test]
    fn one_that_cannot_be_taken_yet_holds_up_nobody() {
        let start = Instant::now();
        let mut turns = Turns::new(Duration::ZERO);
        turns.push("not ready", Urgency::Urgent, start);
        turns.push("ready", Urgency::Routine, start + Duration::from_secs(1));
        assert_eq!(turns.next_where(|item| *item == "ready"), Some("ready"));
        assert_eq!(turns.next_where(|item| *item == "ready"), None);
        assert_eq!(turns.next(), Some("not ready"));
    }
}
