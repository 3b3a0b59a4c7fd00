//! One delivery after the other: a reload brings the next.

use tokio::sync::{mpsc, watch};

use crate::delivery::Delivery;
use crate::stop::stopped;

/// Delivers until `stop` turns true. Each further delivery takes over from the one before, once that one's couriers
/// have put down what they carry: no two couriers ever share a queue.
pub(super) async fn run(first: Delivery, mut next: mpsc::UnboundedReceiver<Delivery>, mut stop: watch::Receiver<bool>) {
    let mut delivery = first;
    loop {
        let (leave, left) = watch::channel(false);
        let couriers = tokio::spawn(async move { delivery.run(left).await });
        let successor = tokio::select! {
            successor = next.recv() => successor,
            () = stopped(&mut stop) => None,
        };
        let _ = leave.send(true);
        if couriers.await.is_err() {
            tracing::error!("delivery ended in an internal error; please report it");
        }
        match successor {
            Some(successor) => delivery = successor,
            None => return,
        }
    }
}
