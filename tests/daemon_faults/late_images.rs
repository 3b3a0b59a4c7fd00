//! Images that come after their study's report, and images that come again: the report that stands covers them all.

use crate::support::Service;
use crate::support::audit::{kept, settled};
use crate::support::destination::{Behaviour, Destination};
use crate::support::image::{ANALYSED, Image, SMALL};
use crate::support::load::Sender;
use crate::{QUICK, delivering, seed};

/// Whether the daemon is killed and started between two parts of a study.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Running,
    Restarted,
}

/// Sends a study in parts, each after the report of the parts before it.
fn in_parts(sizes: &[(u16, u16)], parts: &[usize], between: Between) {
    let destination = Destination::start(Behaviour::Takes);
    let mut service = Service::start(&delivering(QUICK, &[&destination]));
    let sender = Sender::to(service.port);
    let mut random = fastrand::Rng::with_seed(seed());
    let study = Image::study(&mut random, sizes);
    let mut left = study.as_slice();
    let mut standing: Option<String> = None;
    for part in parts {
        let (now, later) = left.split_at(*part);
        sender.send(now);
        kept(&sender, &[&destination]);
        let stored = destination.seen().stored;
        let is_followed = |earlier: &String| stored.iter().any(|document| document.predecessors.contains(earlier));
        if let Some(earlier) = standing {
            assert!(is_followed(&earlier), "no report names {earlier}");
        }
        standing = stored.iter().map(|document| document.sop_instance.clone()).find(|uid| !is_followed(uid));
        left = later;
        if between == Between::Restarted {
            service.restart_after_kill();
        }
    }
    assert!(left.is_empty());
    settled(&sender, &[&destination]);
}

#[test]
fn a_late_image_leads_to_a_report_of_the_whole_study() {
    in_parts(&[ANALYSED, ANALYSED, SMALL], &[1, 2], Between::Running);
}

#[test]
fn a_late_image_after_a_restart_leads_to_a_report_of_the_whole_study() {
    in_parts(&[ANALYSED, ANALYSED, ANALYSED, SMALL], &[1, 2, 1], Between::Restarted);
}

#[test]
fn a_late_image_that_is_not_analysed_is_covered_too() {
    in_parts(&[ANALYSED, SMALL, SMALL], &[1, 2], Between::Running);
    in_parts(&[SMALL, SMALL, SMALL], &[1, 2], Between::Restarted);
}

#[test]
fn a_study_that_comes_again_keeps_one_report() {
    let destination = Destination::start(Behaviour::Takes);
    let mut service = Service::start(&delivering(QUICK, &[&destination]));
    let sender = Sender::to(service.port);
    let mut random = fastrand::Rng::with_seed(seed());
    let studies = [&[ANALYSED, SMALL][..], &[SMALL, SMALL, SMALL]].map(|sizes| Image::study(&mut random, sizes));
    for again in 0..4 {
        studies.iter().for_each(|study| sender.send(study));
        settled(&sender, &[&destination]);
        // A part of a study, as after an answer that was lost.
        studies.iter().for_each(|study| sender.send(&study[..again.min(study.len())]));
        settled(&sender, &[&destination]);
        if again == 2 {
            service.restart_after_kill();
        }
    }
}

#[test]
fn images_that_are_complete_studies_one_by_one_lead_to_one_report_that_stands() {
    let destination = Destination::start(Behaviour::Takes);
    let mut service = Service::start(&delivering(QUICK, &[&destination]));
    service.reconfigure("quiet_seconds = 1", "quiet_seconds = 0");
    service.restart_after_kill();
    let sender = Sender::to(service.port);
    let mut random = fastrand::Rng::with_seed(seed());
    for _ in 0..6 {
        sender.send(&Image::study(&mut random, &[ANALYSED, ANALYSED, ANALYSED]));
    }
    settled(&sender, &[&destination]);
}
