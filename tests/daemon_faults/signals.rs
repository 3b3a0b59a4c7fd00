//! SIGTERM and SIGHUP under load.

use crate::support::audit::settled;
use crate::support::destination::{Behaviour, Destination};
use crate::support::load::Sender;
use crate::support::{Service, wait_for};
use crate::{QUICK, delivering, let_run, seed};

#[test]
fn a_stop_under_load_ends_well_and_loses_nothing() {
    let mut random = fastrand::Rng::with_seed(seed());
    let destination = Destination::start(Behaviour::Takes);
    let mut service = Service::start(&delivering(QUICK, &[&destination]));
    let sender = Sender::to(service.port);
    for _ in 0..5 {
        let load = sender.load(random.u64(..), 3, 20);
        let_run(&mut random, 100..2500);
        assert!(service.stop().success());
        sender.end(load);
        service.launch();
        service.wait_until_listening();
    }
    settled(&sender, &[&destination]);
}

#[test]
fn reloads_under_load_lose_nothing_and_refuse_nothing() {
    let mut random = fastrand::Rng::with_seed(seed());
    let destinations = [Behaviour::Takes, Behaviour::LosesEvery(4)].map(Destination::start);
    let destinations = destinations.each_ref();
    let service = Service::start(&delivering(QUICK, &destinations));
    let sender = Sender::to(service.port);
    let load = sender.load(random.u64(..), 3, 100);
    for reload in 1..=6 {
        let_run(&mut random, 0..1500);
        service.signal("HUP");
        wait_for("the reload", || (service.log().matches(" reloaded").count() == reload).then_some(()));
    }
    sender.end(load);
    assert_eq!(sender.ledger.acknowledged(), sender.ledger.images().len(), "an image was not taken");
    settled(&sender, &destinations);
}
