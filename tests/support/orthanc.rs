//! Orthanc, as a PACS beside the one under test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::{Peer, free_port, wait_for_port};

/// Forwards every image, and no report, to Auscult.
const FORWARD: &str = r#"
function OnStoredInstance(instanceId, tags, metadata, origin)
  if tags["Modality"] ~= "SR" then
    SendToModality(instanceId, "auscult")
  end
end
"#;

/// An Orthanc server with storage, ports and a forwarding rule of its own.
pub struct Orthanc {
    http: u16,
    _directory: tempfile::TempDir,
    _process: Peer,
}

impl Orthanc {
    /// Starts one that listens on a port and knows where Auscult does.
    pub fn start(dicom: u16, auscult: u16) -> Self {
        let (http, directory) = (free_port(), tempfile::tempdir().unwrap());
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("forward.lua"), FORWARD).unwrap();
        let configuration = json!({
            "Name": "PACS", "StorageDirectory": path("db"), "IndexDirectory": path("db"),
            "HttpPort": http, "RemoteAccessAllowed": false, "AuthenticationEnabled": false,
            "DicomAet": "PACS", "DicomPort": dicom, "DicomAlwaysAllowStore": true, "Plugins": [],
            "DicomModalities": { "auscult": ["AUSCULT", "127.0.0.1", auscult] },
            "LuaScripts": [path("forward.lua")],
        });
        std::fs::write(path("orthanc.json"), configuration.to_string()).unwrap();
        let process = Peer::start("Orthanc", &[&path("orthanc.json")]);
        wait_for_port(http);
        wait_for_port(dicom);
        Self { http, _directory: directory, _process: process }
    }

    /// What it answers over HTTP.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n").unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let start = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        serde_json::from_slice(&answer[start..]).unwrap_or(Value::Null)
    }

    /// The same, without a body.
    pub fn get(&self, path: &str) -> Value {
        self.request("GET", path, b"")
    }

    /// Stores a file and returns the study that it belongs to.
    pub fn store(&self, file: &Path) -> String {
        let stored = self.request("POST", "/instances", &std::fs::read(file).unwrap());
        stored["ParentStudy"].as_str().unwrap_or_else(|| panic!("Orthanc: {stored}")).to_owned()
    }

    /// The tags of a study's reports.
    pub fn reports(&self, study: &str) -> Vec<Value> {
        let all = self.objects(study);
        all.into_iter().filter(|tags| tags["Modality"] == "SR").collect()
    }

    /// The tags of everything in a study.
    pub fn objects(&self, study: &str) -> Vec<Value> {
        let instances = self.get(&format!("/studies/{study}/instances"));
        let tags = |instance: &Value| {
            self.get(&format!("/instances/{}/simplified-tags", instance["ID"].as_str().unwrap_or_default()))
        };
        let all = instances.as_array().cloned().unwrap_or_default();
        all.iter().map(tags).collect()
    }
}
