//! Reports of real images before foreign judges: DCMTK's and dicom3tools' checkers where they are installed, and
//! the project's acceptance check where `../shared` is there. `TEST_SR_OUT=dir` keeps the reports.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr, reason = "a test says what it finds")]

use std::path::{Path, PathBuf};
use std::process::Command;

use auscult::config::{BasicText, Language, Report as Settings, ReportForm, ReportSopClass};
use auscult::finding::{Algorithm, Finding, ImageFinding, OperatingPoint, Outcome, Probability, Reason, SopReference};
use auscult::heat::{Axis, Extent, HeatMap, Region};
use auscult::instance::{Header, Instance};
use auscult::sr::{Device, Installation, Report, Source, documents};
use chrono::{DateTime, FixedOffset};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");

fn scored(score: f64) -> Outcome {
    Outcome::Analysed(Probability::try_from(score).unwrap())
}

const fn declined(reason: Reason) -> Outcome {
    Outcome::NotAnalysed(reason)
}

/// What the judges say of an image's own values, which its report repeats.
const OF_THE_IMAGE: [&str; 4] =
    ["needed to build DICOMDIR", "<Patient's Weight>", "Retired Person Name form", "Character Set: GB18030"];

fn is_ours(line: &&str) -> bool {
    !OF_THE_IMAGE.iter().any(|known| line.contains(known))
}

/// Images of one study with what became of them, and what the judge is to find in their report.
struct Case {
    name: String,
    images: Vec<(PathBuf, Outcome)>,
    settings: Settings,
    /// Where in its images the model sees what it says.
    focus: Option<Region>,
    expect: &'static str,
}

impl Case {
    fn new(name: &str, images: &[(&str, Outcome)], expect: &'static str) -> Self {
        let images = images.iter().map(|(path, outcome)| (Path::new(SHARED).join(path), *outcome)).collect();
        Self { name: name.to_owned(), images, settings: Settings::default(), focus: None, expect }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Whether its report has the judge's words. An image with an octet that its character set does not have gets an
    /// English one.
    fn is_english(&self) -> bool {
        self.settings.language == Language::En || self.images.iter().any(|(image, _)| image.ends_with("edge_jp.dcm"))
    }

    /// Whether the report has another character set than its image.
    fn became_unicode(&self, report: &Path) -> bool {
        let set = |path: &Path| Header::open(path).unwrap().texts(dicom::dictionary_std::tags::SPECIFIC_CHARACTER_SET);
        set(report) != set(&self.images[0].0)
    }

    fn is_plain_text(&self) -> bool {
        self.settings.basic_text == BasicText::Instead
    }

    fn report(&self) -> Report {
        let mut sources: Vec<(Source, Outcome)> =
            self.images.iter().map(|(path, outcome)| (source(path), *outcome)).collect();
        sources.sort_by(|(a, _), (b, _)| a.reference.sop_instance.cmp(&b.reference.sop_instance));
        let images: Vec<_> = sources
            .iter()
            .map(|(source, outcome)| ImageFinding { image: source.reference.clone(), outcome: *outcome })
            .collect();
        let half = Probability::try_from(0.5).unwrap();
        let lower = Probability::try_from(0.3).unwrap();
        let finding = Finding {
            study: Instance::open(&self.images[0].0).unwrap().study,
            evidence: images.iter().map(|image| image.image.clone()).collect(),
            images,
            algorithm: Algorithm {
                name: "cxr-pneumonia-reference".into(),
                version: "1.0.0".into(),
                weights_sha256: "0123456789abcdef".repeat(4),
                parameters: vec!["input=224x224x3".into()],
            },
            operating_point: OperatingPoint::new(half, Some(lower)),
        };
        let device = Device::new(&self.settings, &"AUSCULT".parse().unwrap(), &Installation::of_this_machine());
        let sources: Vec<Source> =
            sources.into_iter().map(|(source, _)| Source { focus: self.focus.clone(), ..source }).collect();
        let report = documents(&finding, &sources, None, &device, now()).unwrap().remove(0);
        let language = if self.is_english() { "en-US" } else { device.language() };
        assert_eq!(report.language, language, "{}", self.name);
        report
    }
}

fn source(path: &Path) -> Source {
    let instance = Instance::open(path).unwrap();
    let reference =
        SopReference { series: instance.series, sop_class: instance.sop_class, sop_instance: instance.sop_instance };
    Source { reference, header: Header::open(path).unwrap(), focus: None }
}

fn now() -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339("2026-03-01T10:15:00+01:00").unwrap()
}

/// The region of a map over the sample image that has one place.
fn focus() -> Region {
    let mut evidence = vec![0.0; 14 * 14];
    evidence[5 * 14 + 4] = 1.0;
    let axis = || Axis::new(14, 0.5 / 14.0, 1.0 / 14.0);
    HeatMap::new(axis(), axis(), &evidence).unwrap().focus(Extent::of(512, 416)).unwrap()
}

fn cases(scratch: &Path) -> Vec<Case> {
    const PA: &str = "samples/sr/dx_pa.dcm";
    const LATERAL: &str = "samples/sr/dx_lat.dcm";
    const MR: &str = "data/dicom/pydicom_test_files/MR_small.dcm";
    const CT: &str = "data/dicom/pydicom_test_files/CT_small.dcm";
    let lateral = (LATERAL, declined(Reason::LateralView));
    // The Japanese sample without the one octet that its ISO 2022 IR 87 does not have.
    let japanese = scratch.join("iso-2022-ir-87.dcm");
    let stray = std::fs::read(Path::new(SHARED).join("samples/sr/edge_jp.dcm")).unwrap();
    let sound: Vec<u8> = stray
        .iter()
        .enumerate()
        .map(|(at, octet)| if stray[..at].ends_with(b"Arzt^") && *octet == 0xdc { b'U' } else { *octet })
        .collect();
    std::fs::write(&japanese, sound).unwrap();
    let japanese = japanese.to_str().unwrap();
    let mut cases = vec![
        Case::new("positive", &[(PA, scored(0.931_187))], "positive"),
        Case::new("negative", &[(PA, scored(0.0725))], "negative"),
        Case::new("undetermined", &[(PA, scored(0.499_96))], "undetermined"),
        Case::new("not-analysed", &[lateral], "failed"),
        Case::new("not-analysed-ct", &[(CT, declined(Reason::NotARadiograph))], "failed"),
        Case::new("not-analysed-mr", &[(MR, declined(Reason::NotARadiograph))], "failed"),
        Case::new("partial", &[(PA, scored(0.0725)), lateral], "partial"),
        Case::new("two-images", &[(PA, scored(0.0725)), (LATERAL, scored(0.8))], "positive"),
    ];
    for reason in Reason::ALL {
        let name = format!("not-analysed-{reason:?}").to_lowercase();
        cases.push(Case::new(&name, &[(PA, declined(reason))], "failed"));
    }
    let classes = [("enhanced", ReportSopClass::Enhanced), ("comprehensive-3d", ReportSopClass::Comprehensive3d)];
    for (name, sop_class) in classes {
        let positive = Case::new(name, &[(PA, scored(0.931_187))], "positive");
        cases.push(positive.with(|report| report.sop_class = sop_class));
    }
    for (form, name) in [(ReportForm::Reading, "focus"), (ReportForm::Measurement, "measurement-focus")] {
        let focused = Case { focus: Some(focus()), ..Case::new(name, &[(PA, scored(0.931_187))], "positive") };
        cases.push(focused.with(|report| report.form = form));
    }
    let outcomes = || {
        [
            Case::new("positive", &[(PA, scored(0.931_187))], "positive"),
            Case::new("negative", &[(PA, scored(0.0725))], "negative"),
            Case::new("undetermined", &[(PA, scored(0.4))], "undetermined"),
            Case::new("not-analysed", &[lateral], "failed"),
            Case::new("partial", &[(PA, scored(0.0725)), lateral], "partial"),
        ]
    };
    let named = |case: Case, prefix: &str| Case { name: format!("{prefix}-{}", case.name), ..case };
    for (name, sop_class) in [("measurement", ReportSopClass::Comprehensive)].into_iter().chain(classes) {
        let measured = outcomes().map(|case| {
            named(case, &format!("measurement-{name}")).with(|report| {
                (report.form, report.sop_class) = (ReportForm::Measurement, sop_class);
            })
        });
        cases.extend(measured);
    }
    for language in Language::ALL {
        let prefix = format!("{language:?}").to_lowercase();
        let plain = outcomes().map(|case| named(case, &format!("plain-{prefix}")));
        cases.extend(
            plain.map(|case| case.with(|report| (report.language, report.basic_text) = (language, BasicText::Instead))),
        );
        if language == Language::En {
            continue;
        }
        let all = [ReportSopClass::Comprehensive].into_iter().chain(classes.map(|(_, class)| class));
        for class in all {
            let prefix = format!("{prefix}-{class:?}").to_lowercase();
            cases.extend(outcomes().map(|case| {
                named(case, &prefix).with(|report| (report.language, report.sop_class) = (language, class))
            }));
        }
        for image in ["dx_utf8", "edge_cr", "edge_jp", "edge_tz"] {
            let case = Case::new(image, &[(&format!("samples/sr/{image}.dcm"), scored(0.7))], "positive");
            cases.push(named(case, &prefix).with(|report| report.language = language));
        }
        let sound = Case::new("iso-2022-ir-87", &[(japanese, scored(0.7))], "positive");
        cases.push(named(sound, &prefix).with(|report| report.language = language));
        for image in ["utf8-japanese", "gb18030", "implicit-le-12bit", "cr-no-view"] {
            let case = Case::new(image, &[(&format!("data/dicom/derived/{image}.dcm"), scored(0.2))], "negative");
            cases.push(named(case, &prefix).with(|report| report.language = language));
        }
    }
    for name in ["dx_utf8", "edge_cr", "edge_jp", "edge_tz"] {
        cases.push(Case::new(name, &[(&format!("samples/sr/{name}.dcm"), scored(0.7))], "positive"));
    }
    for name in ["utf8-japanese", "gb18030", "implicit-le-12bit", "explicit-be-12bit", "deflated-12bit", "cr-no-view"] {
        cases.push(Case::new(name, &[(&format!("data/dicom/derived/{name}.dcm"), scored(0.2))], "negative"));
    }
    cases
}

/// The reports as files: in `TEST_SR_OUT`, else in `scratch`.
fn written(scratch: &Path) -> Vec<(Case, PathBuf)> {
    let directory = std::env::var_os("TEST_SR_OUT").map_or(scratch.to_owned(), PathBuf::from);
    let write = |case: Case| {
        let path = directory.join(format!("sr_{}.dcm", case.name));
        std::fs::write(&path, case.report().bytes).unwrap();
        (case, path)
    };
    cases(scratch).into_iter().map(write).collect()
}

fn has_shared() -> bool {
    let there = Path::new(SHARED).join("samples/sr").is_dir();
    if !there {
        eprintln!("skipped: no ../shared with sample images");
    }
    there
}

/// Standard output and error of a program; `None`, said aloud, when it is not installed.
fn said(program: impl AsRef<std::ffi::OsStr>, arguments: &[&std::ffi::OsStr]) -> Option<(bool, String)> {
    let name = program.as_ref().to_owned();
    let Ok(output) = Command::new(program).args(arguments).output() else {
        eprintln!("skipped: {} is not installed", name.display());
        return None;
    };
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat();
    Some((output.status.success(), text))
}

#[test]
fn dicom3tools_and_dcmtk_find_no_fault() {
    if !has_shared() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    for (case, path) in written(scratch.path()) {
        if let Some((_, text)) = said("dciodvfy", &[path.as_os_str()]) {
            let faults: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with("Error") || line.starts_with("Warning"))
                .filter(is_ours)
                .collect();
            assert_eq!(faults, Vec::<&str>::new(), "{}", case.name);
        }
        // DCMTK's SR tools read no character set with code extensions.
        if case.name.ends_with("edge_jp") {
            continue;
        }
        if let Some((success, text)) = said("dsrdump", &[path.as_os_str()]) {
            assert!(success && !text.contains("E: "), "{}: {text}", case.name);
        }
        let page = scratch.path().join("page.html");
        if let Some((success, text)) = said("dsr2html", &[path.as_os_str(), page.as_os_str()]) {
            let size = std::fs::metadata(&page).map_or(0, |page| page.len());
            assert!(success && size > 1000, "{}: {text}", case.name);
        }
    }
}

#[test]
fn dcmtk_reads_the_same_names_in_unicode() {
    let directory = Path::new(SHARED).join("data/dicom/charset");
    let Ok(files) = std::fs::read_dir(&directory) else {
        eprintln!("skipped: no ../shared with files in many character sets");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let (report, mut compared) = (scratch.path().join("report.dcm"), 0);
    let name = |file: &Path| {
        let arguments =
            ["-q", "+U8", "+P", "0010,0010"].map(std::ffi::OsStr::new).into_iter().chain([file.as_os_str()]);
        let text = said("dcmdump", &arguments.collect::<Vec<_>>()).filter(|(success, _)| *success)?.1;
        Some(text.split_once('[')?.1.rsplit_once(']')?.0.trim_end().to_owned())
    };
    for file in files {
        let file = file.unwrap().path();
        if Instance::open(&file).is_err() {
            continue;
        }
        let case = Case::new("name", &[(file.to_str().unwrap(), declined(Reason::NotARadiograph))], "failed");
        std::fs::write(&report, case.with(|report| report.language = Language::Ja).report().bytes).unwrap();
        // Some sets are unknown to some builds of DCMTK.
        let Some(expected) = name(&file) else { continue };
        assert_eq!(name(&report).unwrap(), expected, "{}", file.display());
        compared += 1;
    }
    eprintln!("{compared} names compared");
}

/// Checks of the judge that compare with the English words, which other languages do not have.
const OF_THE_WORDS: [&str; 7] = [
    "codes complete, current schemes, meaning matches the code",
    "conclusion and series description say the same as the codes",
    "conclusion quotes the highest score",
    "disclaimer present",
    "a failed analysis says why",
    "generated text is ASCII",
    "renders, headline visible",
];

/// Checks that compare octets of copied texts, which change with the character set; DCMTK compares the texts above.
const OF_THE_OCTETS: [&str; 3] =
    ["charset and timezone are byte-identical", "same patient/study entity", "patient name decodes as in the image"];

#[test]
fn the_acceptance_check_passes_every_report() {
    if std::env::var_os("TEST_ACCEPTANCE").is_none() || !has_shared() {
        eprintln!("skipped: a quarter of an hour of foreign tools; TEST_ACCEPTANCE=1 runs it");
        return;
    }
    let judge = Path::new(SHARED).join("tools/check_sr/check_sr");
    let scratch = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (case, path) in written(scratch.path()).into_iter().filter(|(case, _)| !case.is_plain_text()) {
        let mut arguments = vec![path.as_os_str()];
        arguments.extend(case.images.iter().map(|(image, _)| image.as_os_str()));
        arguments.extend(["--fast", "--expect", case.expect].map(std::ffi::OsStr::new));
        let Some((_, text)) = said(&judge, &arguments) else { return };
        let excused = |line: &&str| {
            let of = |words: &[&str]| words.iter().any(|known| line.contains(known));
            !case.is_english() && (of(&OF_THE_WORDS) || case.became_unicode(&path) && of(&OF_THE_OCTETS))
        };
        let faults = text.lines().filter(|line| line.starts_with("FAIL")).filter(is_ours).filter(|line| !excused(line));
        found.extend(faults.map(|fault| format!("{}: {fault}", case.name)));
        assert!(text.contains("RESULT "), "{}: {text}", case.name);
    }
    assert!(found.is_empty(), "{found:#?}");
}
