//! Figures, drawings and pages of a few scored images.

use super::*;
use crate::finding::Probability;

fn output(threshold: f64, undetermined_from: Option<f64>) -> Output {
    let probability = |value: f64| Probability::try_from(value).unwrap();
    Output {
        labels: ["normal", "pneumonia", "spare"].map(String::from).to_vec(),
        positive: "pneumonia".into(),
        threshold: probability(threshold),
        undetermined_from: undetermined_from.map(probability),
    }
}

fn images() -> Vec<Scored> {
    [(0, 0.1), (0, 0.2), (0, 0.7), (1, 0.4), (1, 0.8), (1, 0.9)]
        .map(|(class, score)| Scored { class, probabilities: vec![1.0 - score, score, 0.0] })
        .to_vec()
}

#[test]
fn figures_have_the_keys_of_manifests() {
    let (output, images) = (output(0.5, Some(0.3)), images());
    let figures = Performance::new(&output, &images).figures();
    let json = figures.json();
    let number = |pointer: &str| json.pointer(pointer).unwrap().as_f64().unwrap();
    assert_eq!((number("/n"), number("/positives")), (6.0, 3.0));
    for (pointer, expected) in [
        ("/accuracy", 4.0 / 6.0),
        ("/balanced_accuracy", 4.0 / 6.0),
        ("/auc", 8.0 / 9.0),
        ("/sensitivity", 2.0 / 3.0),
        ("/ppv", 2.0 / 3.0),
        ("/undetermined/sensitivity", 1.0),
        ("/undetermined/specificity", 2.0 / 3.0),
        ("/brier_score", (0.01 + 0.04 + 0.49 + 0.36 + 0.04 + 0.01) / 6.0),
    ] {
        assert!((number(pointer) - expected).abs() < 1e-12, "{pointer}: {json}");
    }
    assert!(number("/auc_low") < number("/auc") && number("/auc_high") <= 1.0);
    let toml = figures.toml();
    assert_eq!(toml["auc"].as_float(), Some(0.8889));
    assert_eq!(toml["n"].as_integer(), Some(6));
}

#[test]
fn what_is_not_defined_is_null_and_draws_nothing() {
    let (output, images) = (output(0.5, None), images());
    let negatives = Performance::new(&output, &images[..3]);
    let json = negatives.figures().json();
    assert!(json["auc"].is_null() && json["sensitivity"].is_null() && json["specificity"].is_number());
    let names: Vec<_> = negatives.drawings("test").iter().map(|drawing| drawing.name).collect();
    assert_eq!(names, ["confusion", "reliability", "scores"]);
    assert!(Performance::new(&output, &[]).figures().json()["accuracy"].is_null());
}

#[test]
fn a_page_holds_everything_itself() {
    let (output, images) = (output(0.5, None), images());
    let performance = Performance::new(&output, &images);
    let drawings = performance.drawings("test");
    let mut page = Page::new("A <model>").refreshed_after(5);
    page.notice("shared & known");
    page.figures(&[("test".into(), performance.figures())]);
    page.drawings(&drawings);
    let html = page.finish();
    for expected in ["<title>A &lt;model&gt;</title>", "shared &amp; known", "0.8889 (", "content=\"5\"", ">ROC, test<"]
    {
        assert!(html.contains(expected), "{expected}");
    }
    // The namespace of SVG is a name, no address that is read.
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http:") && !outside.contains("https:") && !outside.contains("src="));
    // Without a label that no image has and no image got.
    assert!(!drawings[0].svg.contains("spare"));
}
