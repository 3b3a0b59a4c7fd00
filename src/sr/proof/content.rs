//! The content tree, read back: references, codes, conclusion, answers.

use std::collections::BTreeSet;

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::{Fault, plain, reference};
use crate::finding::{Finding, OperatingPoint, Presence, Probability};
use crate::sr::attribute::{items, verbatim};
use crate::sr::codes::Concept;
use crate::sr::document::Form;
use crate::sr::scribe::Scribe;
use crate::sr::template::Subject;
use crate::sr::wording;

/// Every content item of a tree, the root first.
fn all(root: &InMemDicomObject) -> Vec<&InMemDicomObject> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(item) = found.get(at).copied() {
        found.extend(items(item, tags::CONTENT_SEQUENCE));
        at += 1;
    }
    found
}

/// What the content items refer to.
pub(super) fn references(root: &InMemDicomObject) -> BTreeSet<(String, String)> {
    let referring = all(root).into_iter().skip(1);
    referring.flat_map(|item| items(item, tags::REFERENCED_SOP_SEQUENCE)).map(reference).collect()
}

/// A concept by its code, whatever its meaning says.
fn concept(item: &InMemDicomObject, tag: Tag) -> Option<Concept> {
    let code = items(item, tag).first()?;
    let (value, scheme) = (plain(code, tags::CODE_VALUE)?, plain(code, tags::CODING_SCHEME_DESIGNATOR)?);
    Concept::ALL.iter().copied().find(|concept| concept.value() == value && concept.scheme() == scheme)
}

fn name(item: &InMemDicomObject) -> Option<Concept> {
    concept(item, tags::CONCEPT_NAME_CODE_SEQUENCE)
}

/// The children of an item that have this name.
fn named(item: &InMemDicomObject, wanted: Concept) -> impl Iterator<Item = &InMemDicomObject> {
    items(item, tags::CONTENT_SEQUENCE).iter().filter(move |child| name(child) == Some(wanted))
}

/// Every code is complete, and every one of ours has the meaning of the report's language. The image's own codes for
/// procedure and view are quoted as the image has them.
pub(super) fn codes(root: &InMemDicomObject, scribe: &Scribe) -> Result<(), Fault> {
    for item in all(root) {
        let measured = items(item, tags::MEASURED_VALUE_SEQUENCE).iter();
        let units = measured.flat_map(|value| items(value, tags::MEASUREMENT_UNITS_CODE_SEQUENCE));
        let own = items(item, tags::CONCEPT_NAME_CODE_SEQUENCE).iter().chain(units);
        let values = items(item, tags::CONCEPT_CODE_SEQUENCE);
        let quoted = matches!(name(item), Some(Concept::ProcedureReported | Concept::ImageView));
        if name(item).is_none() {
            return Err(Fault::ForeignCode);
        }
        for code in own.chain(values) {
            let octets =
                |tag| verbatim(code, tag).map(|value| value.trim_ascii_end().to_vec()).ok_or(Fault::IncompleteCode);
            let (value, scheme) = (octets(tags::CODE_VALUE)?, octets(tags::CODING_SCHEME_DESIGNATOR)?);
            let meaning = octets(tags::CODE_MEANING)?;
            let is_quoted = quoted && values.iter().any(|quotation| std::ptr::eq(quotation, code));
            if !is_quoted && !is_ours(&value, &scheme, &meaning, scribe) {
                return Err(Fault::ForeignCode);
            }
        }
    }
    Ok(())
}

fn is_ours(value: &[u8], scheme: &[u8], meaning: &[u8], scribe: &Scribe) -> bool {
    let language = scribe.language_code();
    let table = Concept::ALL.iter().map(|concept| scribe.code(*concept)).chain([language]);
    table.into_iter().any(|code| *code.value == *value && *code.scheme == *scheme && *code.meaning == *meaning)
}

/// The report's first line is what the finding amounts to.
pub(super) fn conclusion(root: &InMemDicomObject, subject: &Subject) -> Result<(), Fault> {
    let (finding, scribe) = (subject.finding, subject.scribe);
    let said: Vec<_> = named(root, Concept::Conclusion).map(|item| verbatim(item, tags::TEXT_VALUE)).collect();
    let expected = scribe.octets(&wording::conclusion_in(finding, scribe.language));
    match said.as_slice() {
        [Some(said)] if said.trim_ascii_end() == expected.trim_ascii_end() => Ok(()),
        _ => Err(Fault::Conclusion),
    }
}

/// Every analysed image has a group whose score, threshold and presence agree with each other and with the finding; the
/// summary agrees with them all.
pub(super) fn answers(root: &InMemDicomObject, finding: &Finding, form: Form) -> Result<(), Fault> {
    if form == Form::PlainText {
        let lines = named(root, Concept::Summary).count();
        return if lines == finding.images.len() { Ok(()) } else { Err(Fault::Answer) };
    }
    let groups: Vec<_> = named(root, Concept::ImagingMeasurements)
        .flat_map(|container| named(container, Concept::MeasurementGroup))
        .collect();
    let scores: Vec<_> = finding.analysed().map(|(_, score)| score).collect();
    let agree = groups.len() == scores.len()
        && groups
            .iter()
            .zip(&scores)
            .all(|(group, score)| agrees(group, *score, &finding.operating_point) == Some(true));
    if agree && summary_agrees(root, finding) == Some(true) { Ok(()) } else { Err(Fault::Answer) }
}

fn agrees(group: &InMemDicomObject, score: Probability, point: &OperatingPoint) -> Option<bool> {
    let measured = items(named(group, Concept::CertaintyOfFinding).next()?, tags::MEASURED_VALUE_SEQUENCE).first()?;
    let printed: f64 = plain(measured, tags::NUMERIC_VALUE)?.parse().ok()?;
    let parameters: Vec<_> =
        named(group, Concept::AlgorithmParameters).filter_map(|item| plain(item, tags::TEXT_VALUE)).collect();
    let bound = |name: &str| {
        let text = parameters.iter().find_map(|parameter| parameter.strip_prefix(name)?.strip_suffix('%'))?;
        text.parse::<f64>().ok()
    };
    let threshold = bound("threshold=")?;
    let presence = match bound("undetermined_from=") {
        _ if printed >= threshold => Presence::Present,
        Some(lower) if printed >= lower => Presence::Undetermined,
        _ => Presence::Absent,
    };
    let said = match concept(named(group, Concept::Pneumonia).next()?, tags::CONCEPT_CODE_SEQUENCE)? {
        Concept::Present => Presence::Present,
        Concept::Absent => Presence::Absent,
        Concept::Undetermined => Presence::Undetermined,
        _ => return None,
    };
    let flagged = named(group, Concept::Finding).count() == usize::from(said == Presence::Present);
    // Four decimals, or a step towards its side of a bound.
    let close = (printed - score.percent()).abs() <= 1e-4;
    Some(said == presence && said == point.presence(score) && flagged && close)
}

fn summary_agrees(root: &InMemDicomObject, finding: &Finding) -> Option<bool> {
    let evaluations = named(root, Concept::QualitativeEvaluations).next()?;
    let said = concept(named(evaluations, Concept::CadSummary).next()?, tags::CONCEPT_CODE_SEQUENCE)?;
    let declined = finding.declined().count();
    Some(match said {
        Concept::NoneSucceeded => declined == finding.images.len(),
        Concept::AllSucceededWithFindings => declined == 0 && finding.presence()? != Presence::Absent,
        Concept::AllSucceededWithoutFindings => declined == 0 && finding.presence()? == Presence::Absent,
        Concept::SomeSucceededWithFindings => declined > 0 && finding.presence()? != Presence::Absent,
        Concept::SomeSucceededWithoutFindings => declined > 0 && finding.presence()? == Presence::Absent,
        _ => false,
    })
}
