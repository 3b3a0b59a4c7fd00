//! The flagged images, for viewers that jump to what is of interest: Key Object Selection (PS3.3 A.35.4, TID 2010).

use dicom::dictionary_std::{tags, uids};

use super::{Kind, Occasion};
use crate::finding::{Presence, SopReference};
use crate::sr::codes::Concept;
use crate::sr::content::Content;
use crate::sr::content::Relationship::{Contains, HasConceptMod};
use crate::sr::content::sequence;
use crate::sr::document::{Report, Source, SrError};
use crate::sr::modules::hierarchy;
use crate::sr::scribe::Scribe;
use crate::sr::template::device_observer;
use crate::sr::{identity, wording};

const KIND: Kind = Kind {
    name: "key objects",
    sop_class: uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE,
    modality: "KO",
    series: 3,
    description: "AI: possible pneumonia",
};

/// The images in which pneumonia is reported to be present; `None` when there is none. `sources` are the finding's
/// images.
///
/// # Errors
/// [`SrError::Sources`] when a flagged image is not among `sources`; [`SrError::Encoding`].
pub fn key_objects(occasion: &Occasion, sources: &[Source]) -> Result<Option<Report>, SrError> {
    let finding = occasion.finding;
    let is_flagged = |score| finding.operating_point.presence(score) == Presence::Present;
    let flagged: Vec<&SopReference> =
        finding.analysed().filter(|(_, score)| is_flagged(*score)).map(|(image, _)| image).collect();
    let Some(first) = flagged.first() else { return Ok(None) };
    let source = sources.iter().find(|source| source.reference == **first).ok_or(SrError::Sources)?;
    let scribe = Scribe::english();
    let mut rows = vec![scribe.coded(Concept::Language, &scribe.language_code()).related(HasConceptMod)];
    rows.extend(device_observer(occasion.device, &scribe));
    let caption = occasion.caption();
    let description = format!("{} {}", wording::conclusion(finding), caption.caution);
    rows.push(scribe.text(Concept::KeyObjectDescription, &description).related(Contains));
    rows.extend(flagged.iter().map(|image| Content::key_image(image).related(Contains)));
    let document = scribe.container(Concept::OfInterest, rows).following("2010");
    let image = source.header.octets();
    let mut own: Vec<_> = document.into_elements().collect();
    own.push(sequence(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new()));
    own.push(sequence(
        tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE,
        vec![hierarchy(&finding.study, flagged.iter().copied())],
    ));
    let request = identity::request(image, &finding.study);
    own.extend(request.map(|request| sequence(tags::REFERENCED_REQUEST_SEQUENCE, vec![request])));
    occasion.companion(&KIND, source, 1, own).map(Some)
}
