//! Memory that is used again: a step of training needs the same volumes as the one before, and new memory has to be
//! cleared by the system first, which takes a tenth of a step.

use std::sync::{Mutex, PoisonError};

/// Values that are worth keeping.
const WORTH: usize = 1 << 18;

/// Values that are kept at most; those that were given back first go first.
const KEPT: usize = 1 << 28;

/// What was given back.
static SPARE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// So many values, of which nothing is known.
pub(super) fn room(length: usize) -> Vec<f32> {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |(_, values): &(usize, &Vec<f32>)| (length..=2 * length).contains(&values.len());
    let found = spare.iter().enumerate().filter(fits).min_by_key(|(_, values)| values.len()).map(|(place, _)| place);
    match found {
        Some(place) => {
            let mut values = spare.remove(place);
            values.truncate(length);
            values
        }
        None => {
            drop(spare);
            vec![0.0; length]
        }
    }
}

/// Takes back what is not needed any more.
pub(super) fn give_back(values: Vec<f32>) {
    if values.len() < WORTH {
        return;
    }
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    spare.push(values);
    while spare.iter().map(Vec::len).sum::<usize>() > KEPT {
        spare.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_used_again_where_it_fits() {
        // A length that nobody else asks for.
        let length = 7 * WORTH + 3;
        give_back(vec![5.0; length]);
        assert_eq!(room(length / 3).first(), Some(&0.0), "far too much is not wasted");
        assert_eq!(room(length - 1), vec![5.0; length - 1]);
        assert_eq!(room(length - 1), vec![0.0; length - 1], "nothing is used twice");
    }
}
