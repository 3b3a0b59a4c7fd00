//! Companions of real images before foreign judges: dicom3tools and DCMTK where they are installed.
//! `TEST_COMPANIONS_OUT=dir` keeps them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};

use auscult::config::Report as Settings;
use auscult::finding::{Finding, ImageFinding, Outcome, Presence, SopReference};
use auscult::heat::HeatMap;
use auscult::instance::{Header, Instance};
use auscult::model::Model;
use auscult::pixels::{Bounds, Decoder, Radiograph};
use auscult::sr::companion::{Explained, Occasion, key_objects, presentation_state, secondary_capture};
use auscult::sr::{Device, Installation, Source, document};
use chrono::DateTime;
use support::{checkout, installed, run, shared, stderr, stdout};

/// One analysed image with all that companions are made from.
struct Analysed {
    source: Source,
    radiograph: Radiograph,
    heat: HeatMap,
    finding: Finding,
}

impl Analysed {
    fn new(path: &Path, model: &Model) -> Self {
        let instance = Instance::open(path).unwrap();
        let reference = SopReference {
            series: instance.series,
            sop_class: instance.sop_class,
            sop_instance: instance.sop_instance,
        };
        let radiograph = Decoder::in_process(Bounds { max_pixels: 100_000_000 }).decode(path).unwrap();
        let explanation = model.explain(&model.input().framed(&radiograph).unwrap()).unwrap();
        let outcome = Outcome::Analysed(explanation.score);
        Self {
            source: Source { reference: reference.clone(), header: Header::open(path).unwrap(), focus: None },
            radiograph,
            heat: explanation.heat,
            finding: Finding {
                study: instance.study,
                images: vec![ImageFinding { image: reference.clone(), outcome }],
                evidence: vec![reference],
                algorithm: model.algorithm(),
                operating_point: model.operating_point(),
            },
        }
    }

    /// The companions as files of `directory`.
    fn companions(&self, name: &str, directory: &Path) -> Vec<PathBuf> {
        let now = DateTime::parse_from_rfc3339("2026-03-01T10:15:00+01:00").unwrap();
        let device = Device::new(&Settings::default(), &"AUSCULT".parse().unwrap(), &Installation::of_this_machine());
        let report = document(&self.finding, std::slice::from_ref(&self.source), None, &device, now).unwrap();
        let occasion = Occasion { finding: &self.finding, report: &report, device: &device, now };
        let explained = Explained { source: &self.source, radiograph: &self.radiograph, heat: &self.heat };
        let key_objects = key_objects(&occasion, std::slice::from_ref(&self.source)).unwrap();
        assert_eq!(key_objects.is_some(), self.finding.presence() == Some(Presence::Present));
        let made = [
            ("sc", Some(secondary_capture(&occasion, &explained).unwrap())),
            ("pr", Some(presentation_state(&occasion, &explained).unwrap())),
            ("ko", key_objects),
        ];
        let write = |(kind, report): (&str, Option<auscult::sr::Report>)| {
            let path = directory.join(format!("{name}-{kind}.dcm"));
            std::fs::write(&path, report?.bytes).unwrap();
            Some(path)
        };
        made.into_iter().filter_map(write).collect()
    }
}

/// Bundled images, and others where they are, by name.
fn images() -> Vec<(String, PathBuf)> {
    let bundled = ["pneumonia-cr/cr-pa", "pneumonia-dx-jpeg/dx-pa-jpeg", "normal-dx/dx-pa"];
    let mut images: Vec<_> = bundled.map(|name| checkout("testdata").join(format!("{name}.dcm"))).into();
    for name in [
        "samples/sr/dx_pa.dcm",
        "samples/sr/edge_jp.dcm",
        "data/dicom/derived/monochrome1-14bit.dcm",
        "data/dicom/derived/voi-lut-sequence-12bit.dcm",
        "data/dicom/derived/pixel-aspect-4-3.dcm",
        "data/dicom/derived/no-window-12bit.dcm",
        "data/dicom/derived/sigmoid-window-12bit.dcm",
        "data/dicom/derived/gb18030.dcm",
    ] {
        images.extend(shared(name));
    }
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    images.iter().map(|path| (name(path), path.clone())).collect()
}

/// What the judges say of an image's own values, which its companions repeat.
const OF_THE_IMAGE: [&str; 3] = ["needed to build DICOMDIR", "Retired Person Name form", "<Patient's Weight>"];

fn faults(text: &str) -> Vec<&str> {
    let is_fault = |line: &&str| line.starts_with("Error") || line.starts_with("Warning") || line.starts_with("E: ");
    text.lines().filter(is_fault).filter(|line| !OF_THE_IMAGE.iter().any(|known| line.contains(known))).collect()
}

#[test]
fn dicom3tools_and_dcmtk_find_no_fault() {
    let model = Model::load(&checkout("models/cxr-pneumonia-reference")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let directory = std::env::var_os("TEST_COMPANIONS_OUT").map_or(scratch.path().to_owned(), PathBuf::from);
    let judges = ["dciodvfy", "dcentvfy", "dsrdump", "dcmpschk", "dcmdump"].map(|judge| (judge, installed(judge)));
    let mut found = Vec::new();
    for (name, path) in images() {
        let companions = Analysed::new(&path, &model).companions(&name, &directory);
        let mut study: Vec<&str> = companions.iter().map(|path| path.to_str().unwrap()).collect();
        for (judge, _) in judges.iter().filter(|(_, there)| *there) {
            let judged: Vec<&str> = match *judge {
                "dsrdump" => study.iter().copied().filter(|path| path.ends_with("ko.dcm")).collect(),
                "dcmpschk" => study.iter().copied().filter(|path| path.ends_with("pr.dcm")).collect(),
                "dcentvfy" => Vec::new(),
                _ => study.clone(),
            };
            for companion in judged {
                // DCMTK knows no character set with code extensions, and GB18030 only in part.
                if ["dsrdump", "dcmpschk"].contains(judge) && ["edge_jp", "gb18030"].contains(&name.as_str()) {
                    continue;
                }
                let output = run(judge, &[companion]);
                let text = stdout(&output) + &stderr(&output);
                found.extend(faults(&text).iter().map(|fault| format!("{judge} {companion}: {fault}")));
                assert!(output.status.success() || *judge == "dciodvfy", "{judge} {companion}: {text}");
            }
        }
        if judges[1].1 {
            study.insert(0, path.to_str().unwrap());
            let output = run("dcentvfy", &study);
            let text = stdout(&output) + &stderr(&output);
            let told: Vec<_> = text.lines().filter(|line| line.contains("Different")).collect();
            // The accession number of an image's Request Attributes, which the tool takes for one of the series.
            let ours = told.iter().filter(|line| !line.contains("<AccessionNumber>"));
            found.extend(ours.map(|line| format!("dcentvfy {name}: {line}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
