//! Destinations that are down, silent, slow or refusing. A second, healthy one beside each tells when everything has
//! been queued, and must get its reports as if it were alone.

use std::time::Duration;

use auscult::dimse::Status;

use crate::support::audit::{kept, settled};
use crate::support::destination::{Behaviour, Destination, Seen};
use crate::support::image::{ANALYSED, Image, SMALL};
use crate::support::load::Sender;
use crate::support::{Service, files_below, wait_for};
use crate::{PATIENT, QUICK, delivering, seed};

/// Studies of one test.
const STUDIES: usize = 9;

/// A daemon with a healthy destination and another one, and images that it has acknowledged.
struct Scene {
    service: Service,
    sender: Sender,
    healthy: Destination,
    other: Destination,
}

impl Scene {
    fn with(behaviour: Behaviour, times: &str) -> Self {
        let (healthy, other) = (Destination::start(Behaviour::Takes), Destination::start(behaviour));
        let service = Service::start(&delivering(times, &[&healthy, &other]));
        let scene = Self { sender: Sender::to(service.port), service, healthy, other };
        scene.send_studies();
        scene
    }

    fn send_studies(&self) {
        let mut random = fastrand::Rng::with_seed(seed());
        for number in 0..STUDIES {
            let sizes = if number % 4 == 0 { [ANALYSED, SMALL] } else { [SMALL, SMALL] };
            self.sender.send(&Image::study(&mut random, &sizes));
        }
    }

    /// Waits for something at the other destination.
    fn wait_until_other(&self, what: &str, has: impl Fn(&Seen) -> bool) {
        wait_for(what, || has(&self.other.seen()).then_some(()));
    }

    /// The fault ends, and everything arrives.
    fn mend(&self) {
        self.other.behave(Behaviour::Takes);
        settled(&self.sender, &[&self.healthy, &self.other]);
    }
}

#[test]
fn reports_wait_for_a_destination_that_is_down_and_survive_a_kill_meanwhile() {
    let mut scene = Scene::with(Behaviour::Down, QUICK);
    kept(&scene.sender, &[&scene.healthy]);
    scene.service.restart_after_kill();
    scene.send_studies();
    kept(&scene.sender, &[&scene.healthy]);
    assert!(scene.other.seen().stored.is_empty());
    scene.mend();
}

#[test]
fn a_black_hole_holds_up_no_other_destination() {
    let scene = Scene::with(Behaviour::BlackHole, PATIENT);
    scene.wait_until_other("a swallowed connection", |seen| seen.swallowed == 1);
    scene.send_studies();
    kept(&scene.sender, &[&scene.healthy]);
    let seen = scene.other.seen();
    assert_eq!((seen.swallowed, seen.given_up), (1, 0), "the black hole's first connection did not outlast the rest");
    assert!(seen.stored.is_empty());
}

#[test]
fn a_black_hole_is_tried_again_and_gets_everything_once_it_speaks() {
    let scene = Scene::with(Behaviour::BlackHole, QUICK);
    scene.wait_until_other("three tries", |seen| seen.given_up >= 3);
    scene.mend();
}

#[test]
fn a_destination_that_falls_silent_in_an_association_gets_everything_later() {
    let scene = Scene::with(Behaviour::Slow(Duration::from_millis(300)), QUICK);
    scene.wait_until_other("a first report", |seen| !seen.stored.is_empty());
    scene.other.behave(Behaviour::BlackHole);
    scene.send_studies();
    scene.wait_until_other("a swallowed connection", |seen| seen.swallowed > 0);
    kept(&scene.sender, &[&scene.healthy]);
    scene.mend();
}

#[test]
fn every_third_report_refused_for_lack_of_resources_arrives_all_the_same() {
    let scene = Scene::with(Behaviour::RefusesEvery(3, Status::OUT_OF_RESOURCES), QUICK);
    settled(&scene.sender, &[&scene.healthy, &scene.other]);
    assert!(scene.other.seen().refused.len() >= STUDIES / 3);
}

#[test]
fn every_third_report_refused_for_good_is_kept_aside_and_blocks_no_other() {
    let scene = Scene::with(Behaviour::RefusesEvery(3, Status::CANNOT_UNDERSTAND), QUICK);
    kept(&scene.sender, &[&scene.healthy, &scene.other]);
    let refused = scene.other.seen().refused;
    assert!(refused.len() >= STUDIES / 3);
    let aside = || files_below(&scene.service.state().join("failed/second"), "dcm");
    wait_for("what was given up", || (aside().len() == refused.len()).then_some(()));
    for (document, _) in &refused {
        let file = format!("{}.dcm", document.sop_instance);
        assert!(aside().iter().any(|path| path.ends_with(&file)), "{file} is not in failed/");
    }
    scene.mend();
    assert_eq!(scene.other.seen().refused.len(), refused.len());
    assert!(files_below(&scene.service.state().join("failed/first"), "dcm").is_empty());
}

#[test]
fn a_slow_destination_gets_everything() {
    let scene = Scene::with(Behaviour::Slow(Duration::from_millis(700)), QUICK);
    settled(&scene.sender, &[&scene.healthy, &scene.other]);
}

#[test]
fn much_that_waits_is_brought_over_several_associations() {
    let scene = Scene::with(Behaviour::Down, QUICK);
    (0..3).for_each(|_| scene.send_studies());
    kept(&scene.sender, &[&scene.healthy]);
    scene.other.behave(Behaviour::Slow(Duration::from_millis(100)));
    settled(&scene.sender, &[&scene.healthy, &scene.other]);
    let most = scene.other.seen().most_at_once;
    assert!((2..=3).contains(&most), "{most} associations");
}

#[test]
fn a_destination_with_one_association_at_a_time_gets_everything_over_it() {
    let scene = Scene::with(Behaviour::Down, QUICK);
    (0..3).for_each(|_| scene.send_studies());
    kept(&scene.sender, &[&scene.healthy]);
    scene.other.behave(Behaviour::OneAtATime);
    settled(&scene.sender, &[&scene.healthy, &scene.other]);
    assert_eq!(scene.other.seen().most_at_once, 1);
}

#[test]
fn a_report_whose_answer_was_lost_comes_again_under_its_own_uid() {
    let scene = Scene::with(Behaviour::LosesEvery(2), QUICK);
    settled(&scene.sender, &[&scene.healthy, &scene.other]);
    let seen = scene.other.seen();
    assert!(seen.lost > 0);
    assert!(seen.stored.len() > scene.healthy.seen().stored.len(), "nothing came twice");
}
