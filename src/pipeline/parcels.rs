//! What leaves for one finding: the report in its forms, what goes along with it, and messages about it, each with the
//! destinations that it is for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, Local};
use tokio::task::spawn_blocking;

use super::{Examination, LookError, Pipeline, PipelineError, Seen};
use crate::background;
use crate::config::{Companion, Destination};
use crate::delivery::Format;
use crate::finding::{Finding, Outcome, Presence, SopReference};
use crate::heat::{Extent, HeatMap};
use crate::hl7::{Message, Observation, Parties, Reported};
use crate::ids::SopInstanceUid;
use crate::instance::Instance;
use crate::ledger::Part;
use crate::model::Explanation;
use crate::pixels::Radiograph;
use crate::sr::companion::{Explained, Occasion, key_objects, presentation_state, secondary_capture};
use crate::sr::{self, Device, Report, Source};

const PANIC: &str = "a fault of Auscult's own";

/// One document on its way to the outbox.
pub(super) struct Parcel {
    pub(super) reference: SopReference,
    pub(super) format: Format,
    pub(super) part: Part,
    pub(super) headline: String,
    pub(super) octets: Vec<u8>,
    pub(super) destinations: Vec<String>,
}

/// A report that was made, with what it was made from.
struct Occurrence {
    examination: Examination,
    report: Report,
    /// Heat maps that are known already.
    heats: Heats,
    device: Arc<Device>,
    now: DateTime<FixedOffset>,
}

/// Heat maps by image.
type Heats = HashMap<SopInstanceUid, HeatMap>;

impl Occurrence {
    fn occasion(&self) -> Occasion<'_> {
        Occasion { finding: &self.examination.finding, report: &self.report, device: &self.device, now: self.now }
    }
}

impl Pipeline {
    /// Everything that leaves for an examination, the report first; nothing where the same report was made before.
    pub(super) async fn parcels(
        &self,
        mut examination: Examination,
        bygone: &[SopReference],
        earlier: Option<SopReference>,
    ) -> Result<Vec<Parcel>, PipelineError> {
        examination.finding.evidence.extend(bygone.iter().cloned());
        let heats = if self.device.wants_focus() { self.focus(&mut examination).await } else { Heats::new() };
        let (ledger, device) = (self.ledger.clone(), self.device.clone());
        let made = spawn_blocking(move || {
            let reports = examination.reports(&device, earlier.as_ref())?;
            let known = reports.first().map(|report| ledger.has_report(&report.sop_instance)).transpose()?;
            Ok::<_, PipelineError>((examination, reports, known.unwrap_or(true)))
        });
        let (examination, mut reports, known) = made.await.map_err(|_| PipelineError::Panic("the report"))??;
        let (study, headline) = (examination.finding.study.clone(), examination.finding.headline().to_owned());
        if known || reports.is_empty() {
            tracing::info!(%study, "the same report was made before");
            return Ok(Vec::new());
        }
        let (report, now) = (reports.remove(0), Local::now().fixed_offset());
        let occurrence = Arc::new(Occurrence { examination, report, heats, device: self.device.clone(), now });
        let mut parcels = vec![self.object(occurrence.report.clone(), Part::Report, &headline)];
        parcels.extend(reports.into_iter().map(|report| self.object(report, Part::Companion, &headline)));
        for (kind, companion) in self.companions(&occurrence).await {
            let destinations = self.wanting(kind);
            parcels.push(Parcel { destinations, ..self.object(companion, Part::Companion, name(kind)) });
        }
        parcels.extend(self.delivery.destinations().iter().filter_map(|to| message(to, &occurrence, self)));
        let (report, documents) = (&occurrence.report.sop_instance, parcels.len());
        tracing::info!(%study, %report, documents, "report queued");
        Ok(parcels)
    }

    /// Finds out where in the images the model sees what it reports. Where that fails, the report says the whole image.
    async fn focus(&self, examination: &mut Examination) -> Heats {
        let Examination { finding, images, sources, .. } = examination;
        let mut heats = Heats::new();
        for (image, source) in images.iter().zip(sources).filter(|(image, _)| is_notable(finding, image.outcome)) {
            match self.examiner.look(&image.instance.location).await {
                Ok(Seen { radiograph, explanation: Explanation { heat, .. }, .. }) => {
                    source.focus = heat.focus(Extent::of(radiograph.rows, radiograph.columns));
                    heats.insert(image.instance.sop_instance.clone(), heat);
                }
                Err(why) => {
                    let (study, instance) = (&finding.study, &image.instance.sop_instance);
                    tracing::warn!(%study, %instance, %why, "the report gives this image as a whole, not the focus");
                }
            }
        }
        heats
    }

    /// A DICOM object for every destination that takes objects.
    fn object(&self, report: Report, part: Part, headline: &str) -> Parcel {
        let takes = |to: &&Destination| !matches!(to, Destination::Hl7 { .. });
        let takers = self.delivery.destinations().iter().filter(takes);
        Parcel {
            reference: report.reference(),
            format: Format::Dicom,
            part,
            headline: headline.to_owned(),
            octets: report.bytes,
            destinations: takers.map(|to| to.name().to_owned()).collect(),
        }
    }

    fn wanting(&self, kind: Companion) -> Vec<String> {
        let wants = |to: &&Destination| to.companions().contains(&kind);
        self.delivery.destinations().iter().filter(wants).map(|to| to.name().to_owned()).collect()
    }

    /// What goes along with a report. A companion that cannot be made is told of and left out: the report does not wait
    /// for it.
    async fn companions(&self, occurrence: &Arc<Occurrence>) -> Vec<(Companion, Report)> {
        let destinations = self.delivery.destinations();
        let wanted: HashSet<Companion> = destinations.iter().flat_map(|to| to.companions().iter().copied()).collect();
        let mut made = Vec::new();
        if wanted.contains(&Companion::SecondaryCapture) || wanted.contains(&Companion::PresentationState) {
            let images = occurrence.examination.images.iter().enumerate();
            for (index, image) in images.filter(|(_, image)| is_notable(&occurrence.examination.finding, image.outcome))
            {
                match self.pictures(occurrence, index, &image.instance, &wanted).await {
                    Ok(pictures) => made.extend(pictures),
                    Err(why) => {
                        let (study, instance) = (&occurrence.report.study, &image.instance.sop_instance);
                        tracing::warn!(%study, %instance, %why, "the report goes without the heat map of this image");
                    }
                }
            }
        }
        if wanted.contains(&Companion::KeyObjects) {
            match key_objects(&occurrence.occasion(), &occurrence.examination.sources) {
                Ok(selection) => made.extend(selection.map(|selection| (Companion::KeyObjects, selection))),
                Err(error) => {
                    tracing::warn!(study = %occurrence.report.study, %error, "the report goes without key objects");
                }
            }
        }
        made
    }

    /// What shows where the model sees it in one image.
    async fn pictures(
        &self,
        occurrence: &Arc<Occurrence>,
        index: usize,
        instance: &Instance,
        wanted: &HashSet<Companion>,
    ) -> Result<Vec<(Companion, Report)>, String> {
        let (radiograph, heat) = self.picture(occurrence, instance).await.map_err(|why| why.to_string())?;
        let (occurrence, wanted) = (occurrence.clone(), wanted.clone());
        let draw = move || {
            let source: &Source = occurrence.examination.sources.get(index).ok_or("its header is not there")?;
            let explained = Explained { source, radiograph: &radiograph, heat: &heat };
            let mut made = Vec::new();
            for (kind, make) in [
                (Companion::SecondaryCapture, secondary_capture as fn(&Occasion, &Explained) -> _),
                (Companion::PresentationState, presentation_state),
            ] {
                if wanted.contains(&kind) {
                    made.push((kind, make(&occurrence.occasion(), &explained).map_err(|error| error.to_string())?));
                }
            }
            Ok::<_, String>(made)
        };
        background::run(draw).await.map_err(|_| PANIC)?
    }

    /// An image once more, with its heat map.
    async fn picture(&self, occurrence: &Occurrence, instance: &Instance) -> Result<(Radiograph, HeatMap), LookError> {
        match occurrence.heats.get(&instance.sop_instance) {
            Some(heat) => Ok((self.examiner.decode(&instance.location).await?, heat.clone())),
            None => self.examiner.look(&instance.location).await.map(|seen| (seen.radiograph, seen.explanation.heat)),
        }
    }
}

/// Whether there is something to point at: beside "not detected", a coloured place would say the opposite.
fn is_notable(finding: &Finding, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Analysed(score) => finding.operating_point.presence(score) != Presence::Absent,
        Outcome::NotAnalysed(_) => false,
    }
}

/// What a list says of a companion.
fn name(kind: Companion) -> &'static str {
    match kind {
        Companion::SecondaryCapture => "heat map",
        Companion::PresentationState => "focus as presentation state",
        Companion::KeyObjects => "flagged images as key objects",
    }
}

/// The message about a report to a destination that takes messages.
fn message(to: &Destination, occurrence: &Occurrence, pipeline: &Pipeline) -> Option<Parcel> {
    let Destination::Hl7 { name, sending_facility, receiving_application, receiving_facility, .. } = to else {
        return None;
    };
    let (finding, report) = (&occurrence.examination.finding, &occurrence.report);
    let header = &occurrence.examination.sources.first()?.header;
    let image = sr::header_in_unicode(header);
    let parties = Parties {
        sending_application: pipeline.delivery.calling().to_string(),
        sending_facility: sending_facility.clone(),
        receiving_application: receiving_application.clone(),
        receiving_facility: receiving_facility.clone(),
    };
    let message = Message::new(
        &parties,
        &Reported {
            image: &image,
            study: &report.study,
            report: &report.sop_instance,
            observations: &observations(finding, &occurrence.device),
            presence: finding.presence(),
            at: occurrence.now,
        },
    );
    let sop_instance = SopInstanceUid::derived(&["hl7", report.sop_instance.as_str(), name]);
    Some(Parcel {
        reference: SopReference { sop_instance, ..report.reference() },
        format: Format::Hl7,
        part: Part::Message,
        headline: finding.headline().to_owned(),
        octets: message.octets().to_vec(),
        destinations: vec![name.clone()],
    })
}

/// The report in a few values, its conclusion first.
fn observations(finding: &Finding, device: &Device) -> Vec<Observation> {
    let code = |value: &str, meaning: &str, scheme: &str| [value, meaning, scheme].map(str::to_owned);
    let words = sr::words(finding, device);
    let mut observations =
        vec![Observation::Text { concept: code("121077", "Conclusion", "DCM"), text: words.conclusion }];
    if let (Some(presence), Some(score)) = (finding.presence(), finding.score()) {
        observations.push(Observation::Percent {
            concept: code("111012", "Certainty of Finding", "DCM"),
            number: sr::score_number(score, &finding.operating_point),
        });
        let answer = match presence {
            Presence::Present => code("52101004", "Present", "SCT"),
            Presence::Absent => code("272519000", "Absent", "SCT"),
            Presence::Undetermined => code("373068000", "Undetermined", "SCT"),
        };
        observations.push(Observation::Code { concept: code("233604007", "Pneumonia", "SCT"), answer });
    }
    observations.push(Observation::Text { concept: code("121106", "Comment", "DCM"), text: words.comment });
    observations
}
