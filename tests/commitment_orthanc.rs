//! Storage Commitment with Orthanc on the other side, which always reports on an association of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use auscult::commitment::{Custody, FailureReason, Outcome, Reference, Request};
use auscult::dimse::Status;
use auscult::scp::{Commitment, Reported, Unreported};
use auscult::scu::{self, Association, Peer, Proposal, Role};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

mod scp_station;
mod support;
use scp_station::{CR, Station};
use support::orthanc::Orthanc;
use support::{checkout, files_below, free_port, installed, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// Has all but one.
struct Archive;

impl Custody for Archive {
    fn outcome(&self, request: &Request) -> Outcome {
        Outcome::judged(request, |reference| match reference.sop_instance.as_str() {
            "1.2.3.3" => Err(FailureReason::NO_SUCH_INSTANCE),
            _ => Ok(()),
        })
    }
}

struct Scene {
    _station: Station,
    orthanc: Orthanc,
    peer: Peer,
    unreported: mpsc::Receiver<Unreported>,
    outcomes: mpsc::Receiver<Reported>,
}

async fn scene() -> Option<Scene> {
    if !installed("Orthanc") {
        return None;
    }
    let (hand_over, unreported) = mpsc::channel(8);
    let (take, outcomes) = mpsc::channel(8);
    let commitment = Commitment { custody: Arc::new(Archive), unreported: hand_over, outcomes: take };
    let station = Station::with_commitment(|_| {}, commitment).await;
    let dicom = free_port();
    let orthanc = Orthanc::start(dicom, station.port());
    let peer = Peer::new("127.0.0.1", dicom, "PACS".parse().unwrap(), "AUSCULT".parse().unwrap());
    Some(Scene { _station: station, orthanc, peer, unreported, outcomes })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_and_takes_the_outcome_on_an_association_of_ours() {
    let Some(mut scene) = scene().await else { return };
    let asked = json!({ "DicomInstances": [[CR, "1.2.3.2"], [CR, "1.2.3.3"]] });
    let begun = scene.orthanc.request("POST", "/modalities/auscult/storage-commitment", asked.to_string().as_bytes());
    let path = begun["Path"].as_str().unwrap_or_else(|| panic!("Orthanc: {begun}")).to_owned();
    let Unreported { calling, outcome } = timeout(PATIENCE, scene.unreported.recv()).await.unwrap().unwrap();
    assert_eq!(calling.as_str(), "PACS");
    assert_eq!(scu::report_outcome(&scene.peer, &outcome).await.unwrap(), Status::SUCCESS);
    let said: Value =
        wait_for("Orthanc's word", || Some(scene.orthanc.get(&path)).filter(|said| said["Status"] != "Pending"));
    assert_eq!((&said["Status"], &said["RemoteAET"]), (&json!("Failure"), &json!("AUSCULT")));
    assert_eq!(said["Success"], json!([{ "SOPClassUID": CR, "SOPInstanceUID": "1.2.3.2" }]));
    assert_eq!(said["Failures"][0]["SOPInstanceUID"], "1.2.3.3");
    assert_eq!(said["Failures"][0]["FailureReason"], 0x0112);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_and_reports_on_an_association_of_its_own() {
    let Some(mut scene) = scene().await else { return };
    scene.orthanc.store(&files_below(&checkout("testdata/normal-dx"), "dcm")[0]);
    let instances = scene.orthanc.get("/instances?expand");
    let instance = instances[0]["ID"].as_str().unwrap_or_else(|| panic!("Orthanc: {instances}"));
    let tags = scene.orthanc.get(&format!("/instances/{instance}/simplified-tags"));
    let uid = |name: &str| tags[name].as_str().unwrap().to_owned();
    let here = Reference {
        sop_class: uid("SOPClassUID").parse().unwrap(),
        sop_instance: uid("SOPInstanceUID").parse().unwrap(),
    };
    let elsewhere = Reference { sop_instance: "1.2.3.3".parse().unwrap(), ..here.clone() };
    let request = Request { transaction: "2.25.9".parse().unwrap(), references: vec![elsewhere.clone(), here.clone()] };
    let mut association = Association::open(&scene.peer, &Proposal::commitment(Role::User).unwrap()).await.unwrap();
    assert_eq!(association.request_commitment(&request).await.unwrap(), Status::SUCCESS);
    association.release().await.unwrap();
    let Reported { calling, outcome, accepted } = timeout(PATIENCE, scene.outcomes.recv()).await.unwrap().unwrap();
    assert_eq!((calling.as_str(), &outcome.transaction), ("PACS", &request.transaction));
    assert_eq!(outcome.committed, [here]);
    assert_eq!(outcome.failed, [(elsewhere, FailureReason::NO_SUCH_INSTANCE)]);
    accepted.send(()).unwrap();
}
