//! The last rule, asked once the pixels are known: whether the image looks like what its header says.

use super::{Grounds, Verdict};
use crate::config::Select;
use crate::finding::Reason;

const RULE: &str = "plausibility";

/// Judges the score that a model's plausibility gate gives an image, where the package accepts images from `package` on;
/// `None` where the configuration switches this off.
pub fn looks_like_chest(score: f64, package: f64, settings: &Select) -> Option<Verdict> {
    let threshold = settings.plausibility.threshold(package)?;
    let grounds = Grounds { rule: RULE, values: format!("score {score:.3}, accepted from {threshold:.3}") };
    // A score that is no number is accepted by nobody.
    let accepted = score >= threshold;
    Some(if accepted { Verdict::Accepted(grounds) } else { Verdict::Declined(Reason::DoesNotLookLikeChest, grounds) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PlausibilityRule;

    #[test]
    fn the_threshold_itself_is_accepted_and_the_configuration_has_the_last_word() {
        let judged = |score, plausibility| {
            let verdict = looks_like_chest(score, -0.1, &Select { plausibility, ..Select::default() });
            verdict.map(|verdict| match verdict {
                Verdict::Accepted(grounds) => (true, grounds.to_string()),
                Verdict::Declined(_, grounds) => (false, grounds.to_string()),
            })
        };
        let accepted = |score, rule| judged(score, rule).map(|(accepted, _)| accepted);
        assert_eq!(accepted(-0.1, PlausibilityRule::Package), Some(true));
        assert_eq!(accepted(-0.1, PlausibilityRule::From(0.2)), Some(false));
        assert_eq!(accepted(f64::NAN, PlausibilityRule::Package), Some(false));
        assert_eq!(accepted(-5.0, PlausibilityRule::Off), None);
        let grounds = judged(-0.51234, PlausibilityRule::Package).unwrap().1;
        assert_eq!(grounds, "plausibility: score -0.512, accepted from -0.100");
    }
}
