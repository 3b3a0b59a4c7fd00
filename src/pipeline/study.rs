//! What becomes of one complete study: everything known of it is examined, and its report concluded.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::examine::reference;
use super::parcels::Parcel;
use super::{Examination, Examiner, Foreknowledge, Foreseen, PipelineError};
use crate::config::NotAnalysed;
use crate::delivery::Delivery;
use crate::finding::{Outcome, SopReference};
use crate::ids::SopInstanceUid;
use crate::instance::{Instance, Study};
use crate::ledger::{Conclusion, Covered, Dossier, Ledger, LedgerError, NewDocument};
use crate::part10::Location;
use crate::select::Verdict;
use crate::sr::{self, Device};

/// The line from spool to outbox.
#[derive(Clone)]
pub struct Pipeline {
    /// Selection to classification.
    pub examiner: Examiner,
    /// Who signs the report.
    pub device: Arc<Device>,
    /// Whether a study without an analysed image gets a report.
    pub not_analysed: NotAnalysed,
    /// What is known of studies.
    pub ledger: Ledger,
    /// Where the reports go.
    pub delivery: Delivery,
}

/// What is examined for one report.
struct Material {
    /// The latest content under each SOP Instance UID that can be read.
    study: Study,
    /// What was said of these earlier.
    known: Foreknowledge,
    /// Every instance that the report will cover.
    covers: Vec<Instance>,
    /// Covered images that only their references are left of, or that another model saw.
    bygone: Vec<SopReference>,
    /// Files that no report covers yet.
    new: HashSet<Location>,
    /// The report that stands.
    earlier: Option<SopReference>,
    /// Whether that report rests on a score which cannot be repeated.
    unrepeatable: bool,
}

impl Pipeline {
    /// Brings one complete study to the outbox. On an error it stays as it was.
    pub async fn process(&self, study: &Study, foreseen: Foreknowledge) -> Result<(), PipelineError> {
        let Some(material) = self.material(study, foreseen).await? else { return Ok(()) };
        let examination = self.examiner.examine(&material.study, &material.known).await?;
        if let Some(examination) = &examination {
            log(examination);
        } else {
            tracing::info!(study = %study.uid, instances = material.covers.len(), "no image, no report");
        }
        self.conclude(material, examination).await
    }

    /// Everything that is known of the study; `None` when nothing waits any more: it was discarded, or concluded
    /// together with an earlier image.
    async fn material(&self, study: &Study, foreseen: Foreknowledge) -> Result<Option<Material>, PipelineError> {
        let (ledger, study, algorithm) = (self.ledger.clone(), study.clone(), self.examiner.algorithm());
        let material = spawn_blocking(move || {
            let Some(dossier) = ledger.dossier(&study.uid, study.patient)? else { return Ok(None) };
            let mut dossier = without_lost(dossier, &ledger)?;
            if dossier.waiting.is_empty() {
                return Ok(None);
            }
            let returned = take_returned(&mut dossier, &ledger)?;
            let mut material = Material::of(&study, dossier, foreseen, &algorithm);
            material.covers.extend(returned);
            Ok::<_, LedgerError>(Some(material))
        });
        Ok(material.await.map_err(|_| PipelineError::Panic("the ledger"))??)
    }

    async fn conclude(&self, material: Material, examination: Option<Examination>) -> Result<(), PipelineError> {
        let outcomes = material.covers.iter().map(|instance| outcome(instance, examination.as_ref())).collect();
        let parcels = match examination {
            Some(examination) if self.wants_report(&material, &examination) => {
                self.parcels(examination, &material.bygone, material.earlier.clone()).await?
            }
            _ => Vec::new(),
        };
        let pipeline = self.clone();
        let concluded = spawn_blocking(move || {
            let documents = parcels.into_iter().map(|parcel| pipeline.put(parcel)).collect::<Result<_, _>>()?;
            let study = Study { instances: material.covers, ..material.study };
            let (algorithm, at) = (pipeline.examiner.algorithm(), SystemTime::now());
            pipeline.ledger.conclude(&Conclusion { study: &study, outcomes, algorithm, documents, at })?;
            pipeline.delivery.ring();
            Ok(())
        });
        concluded.await.map_err(|_| PipelineError::Panic("the report"))?
    }

    /// Makes a parcel durable.
    fn put(&self, parcel: Parcel) -> Result<NewDocument, PipelineError> {
        let Parcel { reference, format, part, headline, octets, destinations } = parcel;
        let file = self.delivery.put(&reference.sop_instance, format, &octets)?;
        let bytes = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        Ok(NewDocument { reference, part, headline, file, bytes, destinations })
    }

    /// Whether there is something to report. An image that comes late leads to a report that covers all images and
    /// names the one before; nothing takes back what that one says.
    fn wants_report(&self, material: &Material, examination: &Examination) -> bool {
        let study = &material.study.uid;
        let answered = examination.finding.presence().is_some();
        if !answered && self.not_analysed == NotAnalysed::LogOnly {
            tracing::info!(%study, "no report: report.not_analysed is log-only");
            return false;
        }
        let images = examination.images.iter().map(|image| &image.instance);
        let all = images.chain(examination.others.iter().map(|(instance, _)| instance));
        let new = all.filter(|instance| material.new.contains(&instance.location)).count();
        if let Some(earlier) = &material.earlier
            && (new == 0 || !answered && material.unrepeatable)
        {
            tracing::info!(%study, report = %earlier.sop_instance, "late objects; the report stands");
            return false;
        }
        true
    }
}

impl Material {
    fn of(study: &Study, dossier: Dossier, foreseen: Foreknowledge, algorithm: &str) -> Self {
        let Dossier { waiting, covered, last_report, .. } = dossier;
        let (mut latest, mut known, mut bygone) = (BTreeMap::<SopInstanceUid, Instance>::new(), foreseen, Vec::new());
        let (mut covers, mut unrepeatable) = (Vec::new(), false);
        for covered in covered {
            covers.push(covered.instance.clone());
            match examined_again(&covered, algorithm) {
                Some(said) => {
                    known.extend(said.map(|said| (covered.instance.location.clone(), said)));
                    latest.insert(covered.instance.sop_instance.clone(), covered.instance);
                }
                None => {
                    unrepeatable |= matches!(covered.outcome, Some(Outcome::Analysed(_)));
                    bygone.extend(covered.outcome.map(|_| reference(&covered.instance)));
                }
            }
        }
        let new = waiting.iter().map(|instance| instance.location.clone()).collect();
        for instance in waiting {
            covers.push(instance.clone());
            latest.insert(instance.sop_instance.clone(), instance);
        }
        bygone.retain(|reference| !latest.contains_key(&reference.sop_instance));
        let study = Study { uid: study.uid.clone(), patient: study.patient, instances: latest.into_values().collect() };
        Self { study, known, covers, bygone, new, earlier: last_report, unrepeatable }
    }
}

/// Whether a covered image can stand in a further report, and what is known of it; with its pixels, another model can
/// look at it again.
fn examined_again(covered: &Covered, algorithm: &str) -> Option<Option<Foreseen>> {
    let same_model = covered.algorithm.as_deref() == Some(algorithm);
    if !covered.readable || !covered.instance.location.is_there().unwrap_or(false) || !(covered.whole || same_model) {
        return None;
    }
    let said = covered.outcome.filter(|_| same_model).map(|outcome| Foreseen {
        outcome,
        grounds: "as reported before".into(),
        algorithm: algorithm.to_owned(),
    });
    Some(said)
}

/// Leaves out, and tells of, acknowledged images whose file is gone.
fn without_lost(mut dossier: Dossier, ledger: &Ledger) -> Result<Dossier, LedgerError> {
    let gone = |location: &Location| matches!(location.is_there(), Ok(false));
    for instance in dossier.waiting.iter().filter(|instance| gone(&instance.location)) {
        let (study, instance_uid, file) = (&instance.study, &instance.sop_instance, &instance.location);
        tracing::error!(%study, instance = %instance_uid, %file, "an acknowledged image is gone; have it sent again");
        ledger.lost(instance, "its file is gone from images/", SystemTime::now())?;
    }
    dossier.waiting.retain(|instance| !gone(&instance.location));
    Ok(dossier)
}

/// Takes out what Auscult made itself and a PACS sent back: it is no news, or every report would lead to the next one.
fn take_returned(dossier: &mut Dossier, ledger: &Ledger) -> Result<Vec<Instance>, LedgerError> {
    let (mut returned, mut others) = (Vec::new(), Vec::new());
    for instance in std::mem::take(&mut dossier.waiting) {
        match ledger.has_report(&instance.sop_instance)? {
            true => {
                let (study, document) = (&instance.study, &instance.sop_instance);
                tracing::info!(%study, %document, "a document of Auscult's own came back");
                returned.push(instance);
            }
            false => others.push(instance),
        }
    }
    dossier.waiting = others;
    Ok(returned)
}

/// What was said of an instance; `None` where it is no image, or another content took its place.
fn outcome(instance: &Instance, examination: Option<&Examination>) -> Option<Outcome> {
    let examination = examination?;
    let image = examination.images.iter().find(|image| image.instance.location == instance.location);
    let other = examination.others.iter().find(|(other, _)| other.location == instance.location);
    image.map(|image| image.outcome).or_else(|| match &other?.1 {
        Verdict::Declined(reason, _) => Some(Outcome::NotAnalysed(*reason)),
        Verdict::Accepted(_) => None,
    })
}

fn log(examination: &Examination) {
    let finding = &examination.finding;
    for image in &examination.images {
        let instance = &image.instance.sop_instance;
        match image.outcome {
            Outcome::Analysed(score) => {
                let score = sr::score_text(score, &finding.operating_point);
                tracing::info!(study = %finding.study, %instance, score_percent = %score, "image analysed");
            }
            Outcome::NotAnalysed(reason) => {
                let (reason, grounds) = (reason.text(), image.grounds.as_str());
                tracing::info!(study = %finding.study, %instance, reason, grounds, "image not analysed");
            }
        }
    }
    for (instance, error) in &examination.unreadable {
        tracing::warn!(study = %finding.study, instance = %instance.sop_instance, %error, "header unreadable");
    }
    let analysed = finding.analysed().count();
    tracing::info!(study = %finding.study, images = finding.images.len(), analysed, "{}", finding.headline());
}
