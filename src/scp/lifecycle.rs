//! From connection to end of one association (PS3.8 9.2): request, answer, messages, and how it ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dicom_ul::pdu::AssociationRQ;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Station;
use super::association::{Association, Fault};
use super::negotiation::{Agreement, Refusal, negotiate};
use crate::dimse::{Abort, Pdu, Wire, WireError};
use crate::stop::stopped;

type TcpWire = Wire<TcpStream>;

/// Serves one connection to its end.
pub(super) async fn run(station: Arc<Station>, stream: TcpStream, peer: SocketAddr, mut stop: watch::Receiver<bool>) {
    let settings = station.settings();
    let patience = Duration::from_secs(settings.negotiation_seconds);
    let mut wire = Wire::over_tcp(stream, settings.max_pdu_bytes, patience);
    let first = tokio::select! {
        () = stopped(&mut stop) => return wire.abort(Abort::BY_USER).await,
        first = wire.read() => first,
    };
    match first {
        Ok(Pdu::AssociateRq(request)) => establish(station, wire, peer, &request, stop).await,
        Ok(Pdu::Abort(_)) | Err(WireError::Closed) => tracing::debug!(%peer, "connected and left"),
        Ok(_) => no_association(&station, wire, peer, "its first PDU is no A-ASSOCIATE-RQ").await,
        Err(error) => no_association(&station, wire, peer, &error.to_string()).await,
    }
}

/// Ends a connection that did not become an association (PS3.8 9.2, state 2: A-ABORT by the service user).
async fn no_association(station: &Station, wire: TcpWire, peer: SocketAddr, why: &str) {
    station.stats.associations_aborted.fetch_add(1, Relaxed);
    tracing::info!(%peer, why, "connection without an association");
    wire.abort(Abort::BY_USER).await;
}

async fn establish(
    station: Arc<Station>,
    mut wire: TcpWire,
    peer: SocketAddr,
    request: &AssociationRQ,
    stop: watch::Receiver<bool>,
) {
    let refusal =
        match seat(&station).and_then(|seat| Ok((seat, negotiate(request, &station.settings(), station.offer())?))) {
            Ok((seat, (agreement, answer))) => {
                station.stats.associations_accepted.fetch_add(1, Relaxed);
                match wire.send(&Pdu::AssociateAc(answer)).await {
                    Ok(()) => serve(station, wire, peer, agreement, stop).await,
                    Err(error) => no_association(&station, wire, peer, &error.to_string()).await,
                }
                return drop(seat);
            }
            Err(refusal) => refusal,
        };
    station.stats.associations_rejected.fetch_add(1, Relaxed);
    let calling = request.calling_ae_title.escape_default().to_string();
    let called = request.called_ae_title.escape_default().to_string();
    tracing::warn!(%peer, calling, called, why = %refusal, "association refused");
    let Some(reject) = refusal.reject() else { return wire.abort(Abort::INVALID_PARAMETER).await };
    if wire.send(&Pdu::AssociateRj(reject)).await.is_ok() {
        wire.close().await;
    }
}

fn seat(station: &Station) -> Result<OwnedSemaphorePermit, Refusal> {
    station.seats.clone().try_acquire_owned().map_err(|_| Refusal::Busy(station.settings().max_associations))
}

async fn serve(
    station: Arc<Station>,
    mut wire: TcpWire,
    peer: SocketAddr,
    agreement: Agreement,
    mut stop: watch::Receiver<bool>,
) {
    let began = Instant::now();
    wire.set_patience(station.silence());
    let calling = agreement.calling.clone();
    let stats = station.stats.clone();
    let mut association = Association::new(station, wire, agreement);
    let end = association.converse(&mut stop).await;
    let (wire, tally, reporting) = association.into_parts();
    if end.is_err() {
        stats.associations_aborted.fetch_add(1, Relaxed);
    }
    let how = match &end {
        Ok(()) => "released".to_owned(),
        Err(fault) => fault.to_string(),
    };
    tracing::info!(
        calling = calling.as_str(), %peer, stored = tally.stored, refused = tally.refused,
        milliseconds = began.elapsed().as_millis(), end = how, "association ended"
    );
    match end.as_ref().map_err(Fault::abort) {
        Err(Some(abort)) => wire.abort(abort).await,
        _ => wire.close().await,
    }
    reporting.finish().await;
}
