//! `auscult bench`: the figures that size a machine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use std::process::Command;

use serde_json::Value;
use support::{AUSCULT, run, stderr, stdout};

#[test]
fn its_figures_are_of_this_machine_and_agree_with_each_other() {
    let output = run(AUSCULT, &["bench", "--seconds", "1", "--batch", "2", "--threads", "1", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["batch"], &said["threads"], &said["device"]), (&2.into(), &1.into(), &"CPU".into()), "{said}");
    assert_eq!(said["version"], "0.1.0+sha256:bf253d463ce462c6", "{said}");
    let number = |name: &str| said[name].as_f64().unwrap();
    let rate = 2e3 / number("median_ms");
    assert!((number("images_per_second") - rate).abs() < 1e-6 * rate, "{said}");
    assert!(number("runs") >= 5.0 && number("median_ms") <= number("p90_ms"), "{said}");
    assert!(number("load_ms") < number("first_answer_ms"), "{said}");
    // The weights alone are 95 MB.
    assert!(number("peak_rss_bytes") > 95e6, "{said}");
}

#[test]
fn people_get_a_line_for_each_figure() {
    let output = run(AUSCULT, &["bench", "--seconds", "1"]);
    let said = stdout(&output);
    let about: Vec<&str> = said.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(about, ["machine", "model", "load", "speed", "memory"], "{said}{}", stderr(&output));
    assert!(said.contains(" images/s; 1 together: median "), "{said}");
    let none = run(AUSCULT, &["bench", "--batch", "0"]);
    assert!(none.status.code() == Some(2) && stderr(&none).contains("1..=256"), "{}", stderr(&none));
}

#[test]
fn bf16_is_f32_on_a_processor_that_has_no_instructions_for_it() {
    for isa in ["avx2", "plain"] {
        let mut bench = Command::new(AUSCULT);
        let bench = bench.args(["bench", "--seconds", "1", "--precision", "bf16"]).env("AUSCULT_ISA", isa);
        let output = bench.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let model = stdout(&output).lines().find(|line| line.starts_with("model")).unwrap().to_owned();
        assert!(model.ends_with(", f32"), "{model}");
        let why = "the processor has no instructions for bf16, so it computes in f32";
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
}
