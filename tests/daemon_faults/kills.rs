//! SIGKILL at random moments: while images arrive, while reports leave, and during the start.

use crate::support::Service;
use crate::support::audit::settled;
use crate::support::destination::{Behaviour, Destination};
use crate::support::image::{Image, SMALL};
use crate::support::load::Sender;
use crate::{QUICK, delivering, let_run, seed, setting};

/// Kills of one test; TEST_KILLS asks for another number.
fn kills(usual: u64) -> u64 {
    setting("TEST_KILLS").unwrap_or(usual)
}

#[test]
fn nothing_acknowledged_is_lost_or_reported_twice_when_killed_under_load() {
    let mut random = fastrand::Rng::with_seed(seed());
    let destination = Destination::start(Behaviour::Takes);
    let mut service = Service::start(&delivering(QUICK, &[&destination]));
    let sender = Sender::to(service.port);
    let kills = kills(30);
    for kill in 0..kills {
        let load = sender.load(random.u64(..), 3, 12);
        let_run(&mut random, 100..1600);
        service.kill();
        sender.end(load);
        // Without a quiet time every image is a study of its own, and reports are under way at every moment.
        match kill % 2 {
            0 => service.reconfigure("quiet_seconds = 1", "quiet_seconds = 0"),
            _ => service.reconfigure("quiet_seconds = 0", "quiet_seconds = 1"),
        }
        service.launch();
        service.wait_until_listening();
    }
    settled(&sender, &[&destination]);
    let (acknowledged, reports) = (sender.ledger.acknowledged(), destination.seen().stored.len());
    eprintln!("{kills} kills, {acknowledged} images acknowledged, {reports} reports received");
}

#[test]
fn a_full_queue_survives_kills_while_it_drains_and_while_it_starts() {
    let mut random = fastrand::Rng::with_seed(seed());
    let destination = Destination::start(Behaviour::Down);
    let mut service = Service::start(&delivering(QUICK, &[&destination]));
    let sender = Sender::to(service.port);
    for _ in 0..20 {
        sender.send(&Image::study(&mut random, &[SMALL, SMALL]));
    }
    service.kill();
    for _ in 0..kills(10) {
        service.launch();
        let_run(&mut random, 0..700);
        service.kill();
    }
    destination.behave(Behaviour::Slow(std::time::Duration::from_millis(100)));
    for _ in 0..kills(6) {
        service.launch();
        service.wait_until_listening();
        let_run(&mut random, 0..1800);
        service.kill();
    }
    service.launch();
    service.wait_until_listening();
    settled(&sender, &[&destination]);
}
