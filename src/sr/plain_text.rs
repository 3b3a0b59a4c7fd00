//! The tree of a Basic Text SR (PS3.3 A.35.1), for systems that read nothing else: the same statements in words, on one
//! level, without numbers and groups. It follows no template; those there are for Basic Text SR pose as a physician's
//! report.

use super::codes::Concept;
use super::content::Content;
use super::content::Relationship::Contains;
use super::template::{Subject, algorithm_identification, heading};
use super::wording;

/// Conclusion, comment and context, what became of each image, the algorithm, and the images.
pub(super) fn plain_text(subject: &Subject) -> Content {
    let Subject { finding, images, scribe, .. } = *subject;
    let mut rows = heading(subject).to_vec();
    let lines = (1..).zip(&finding.images).map(|(number, image)| {
        let line = wording::image_line(number, image.outcome, &finding.operating_point, scribe.language);
        scribe.text(Concept::Summary, &line).related(Contains)
    });
    rows.extend(lines);
    rows.extend(algorithm_identification(&finding.algorithm, &finding.operating_point, scribe));
    rows.extend(images.iter().map(|image| scribe.image(Concept::Source, image.reference).related(Contains)));
    scribe.container(Concept::ChestCadReport, rows)
}
