//! Instances become studies: complete after a quiet time, or after the longest wait. It has no clock of its
//! own: every call brings `now`, so tests need no sleep.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config;
use crate::ids::StudyInstanceUid;
use crate::instance::{Instance, PatientKey, Study};

/// What one report is about. Two patients under one Study Instance UID are two reports: a fault of the sender's must
/// not put one patient's result into the other's record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    study: StudyInstanceUid,
    patient: PatientKey,
}

impl Key {
    /// What an instance belongs to.
    pub fn of(instance: &Instance) -> Self {
        Self { study: instance.study.clone(), patient: instance.patient }
    }
}

impl From<&Study> for Key {
    fn from(study: &Study) -> Self {
        Self { study: study.uid.clone(), patient: study.patient }
    }
}

/// A study that is still arriving.
struct Arriving {
    instances: Vec<Instance>,
    first: Instant,
    last: Instant,
}

/// The studies that are still arriving.
pub struct Assembler {
    quiet: Duration,
    max_wait: Duration,
    arriving: HashMap<Key, Arriving>,
    /// Patients under a Study Instance UID: more than one is a fault of the sender's.
    patients: HashMap<StudyInstanceUid, usize>,
    /// No study is complete before.
    soonest: Option<Instant>,
}

impl Assembler {
    /// An assembler with the administrator's times.
    pub fn new(settings: &config::Study) -> Self {
        Self {
            quiet: Duration::from_secs(settings.quiet_seconds),
            max_wait: Duration::from_secs(settings.max_wait_seconds),
            arriving: HashMap::new(),
            patients: HashMap::new(),
            soonest: None,
        }
    }

    /// Takes an instance that arrived at `now`, and says whether it is new. One that is there already counts as news
    /// but not twice.
    pub fn add(&mut self, instance: Instance, now: Instant) -> bool {
        let study = self.arriving.entry(Key::of(&instance)).or_insert_with(|| {
            *self.patients.entry(instance.study.clone()).or_default() += 1;
            Arriving { instances: Vec::new(), first: now, last: now }
        });
        study.last = now;
        let due = study.due(self.quiet, self.max_wait);
        self.soonest = Some(self.soonest.map_or(due, |soonest| soonest.min(due)));
        let new = study.instances.iter().all(|known| known.location != instance.location);
        if new {
            study.instances.push(instance);
        }
        new
    }

    /// The studies that are complete at `now`, the longest waiting first.
    pub fn take_complete(&mut self, now: Instant) -> Vec<Study> {
        let (quiet, max_wait) = (self.quiet, self.max_wait);
        let mut complete: Vec<(Key, Arriving)> =
            self.arriving.extract_if(|_, study| study.due(quiet, max_wait) <= now).collect();
        complete.sort_by_key(|(_, study)| study.first);
        for (key, _) in &complete {
            if let Some(patients) = self.patients.get_mut(&key.study) {
                *patients -= 1;
            }
        }
        self.patients.retain(|_, patients| *patients > 0);
        self.soonest = self.arriving.values().map(|study| study.due(quiet, max_wait)).min();
        complete.into_iter().map(|(key, study)| study.assembled(key)).collect()
    }

    /// Whether images of another patient are arriving under the same Study Instance UID.
    pub fn mixes_patients(&self, instance: &Instance) -> bool {
        let own = usize::from(self.arriving.contains_key(&Key::of(instance)));
        self.patients.get(&instance.study).is_some_and(|patients| *patients > own)
    }

    /// When to ask for complete studies next: none is complete before.
    pub fn next_due(&self) -> Option<Instant> {
        self.soonest
    }

    /// How many studies are arriving.
    pub fn len(&self) -> usize {
        self.arriving.len()
    }

    /// Whether no study is arriving.
    pub fn is_empty(&self) -> bool {
        self.arriving.is_empty()
    }
}

impl Arriving {
    fn due(&self, quiet: Duration, max_wait: Duration) -> Instant {
        (self.last + quiet).min(self.first + max_wait)
    }

    fn assembled(mut self, Key { study: uid, patient }: Key) -> Study {
        self.instances.sort_by(|a, b| (&a.sop_instance, &a.location).cmp(&(&b.sop_instance, &b.location)));
        Study { uid, patient, instances: self.instances }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(study: &str, sop: &str) -> Instance {
        of_patient("P1", study, sop)
    }

    fn of_patient(id: &str, study: &str, sop: &str) -> Instance {
        let patient = PatientKey::new(Some(id.as_bytes()), None);
        Instance {
            study: study.parse().unwrap(),
            series: "1.2".parse().unwrap(),
            sop_class: "1.2.840.10008.5.1.4.1.1.1".parse().unwrap(),
            sop_instance: sop.parse().unwrap(),
            patient,
            transfer_syntax: "1.2.840.10008.1.2".parse().unwrap(),
            location: format!("/spool/{study}/{sop}.dcm").into(),
        }
    }

    fn assembler() -> (Assembler, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let assembler =
            Assembler::new(&config::Study { quiet_seconds: 10, max_wait_seconds: 25, ..config::Study::default() });
        (assembler, move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn a_study_is_complete_after_the_quiet_time_and_each_image_starts_it_anew() {
        let (mut assembler, at) = assembler();
        assembler.add(instance("1.1", "2.2"), at(0));
        assembler.add(instance("1.1", "2.1"), at(8));
        assembler.add(instance("1.1", "2.1"), at(8));
        assert_eq!(assembler.next_due(), Some(at(10)), "as long as nobody asked");
        assert!(assembler.take_complete(at(17)).is_empty());
        assert_eq!(assembler.next_due(), Some(at(18)));
        let complete = assembler.take_complete(at(18));
        let sops: Vec<_> = complete[0].instances.iter().map(|i| i.sop_instance.as_str()).collect();
        assert_eq!((complete.len(), sops), (1, vec!["2.1", "2.2"]));
        assert!(assembler.is_empty() && assembler.next_due().is_none());
    }

    #[test]
    fn a_trickle_of_images_does_not_hold_a_study_for_ever() {
        let (mut assembler, at) = assembler();
        for second in [0, 6, 12, 18, 24] {
            assembler.add(instance("1.1", &format!("2.{}", second + 1)), at(second));
        }
        assert_eq!(assembler.take_complete(at(25))[0].instances.len(), 5);
    }

    #[test]
    fn two_patients_under_one_study_uid_are_two_studies() {
        let (mut assembler, at) = assembler();
        assembler.add(of_patient("P1", "1.1", "2.1"), at(0));
        assert!(assembler.mixes_patients(&of_patient("P2", "1.1", "2.2")));
        assembler.add(of_patient("P2", "1.1", "2.2"), at(0));
        let complete = assembler.take_complete(at(10));
        assert!(complete.len() == 2 && complete.iter().all(|study| study.instances.len() == 1));
    }

    #[test]
    fn studies_do_not_wait_for_each_other() {
        let (mut assembler, at) = assembler();
        assembler.add(instance("1.1", "2.1"), at(0));
        assembler.add(instance("1.2", "2.2"), at(5));
        let complete = assembler.take_complete(at(10));
        assert_eq!(complete.iter().map(|s| s.uid.as_str()).collect::<Vec<_>>(), ["1.1"]);
        assert_eq!(assembler.len(), 1);
    }
}
