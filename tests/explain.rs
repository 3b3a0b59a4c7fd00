//! `auscult explain`: the whole way of one image on the terminal, and its faults in one line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use support::{AUSCULT, checkout, files_below, run, stderr, stdout};

fn image(study: &str) -> String {
    files_below(&checkout("testdata").join(study), "dcm")[0].display().to_string()
}

#[test]
fn an_analysed_image_is_explained_to_the_words_of_its_report() {
    let directory = tempfile::tempdir().unwrap();
    let png = directory.path().join("heat.png");
    let output = run(AUSCULT, &["explain", &image("pneumonia-cr"), "--png", png.to_str().unwrap()]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    for expected in [
        "selection    passes    modality: Modality (0008,0060) = CR",
        "passes    view: View Position (0018,5101) = PA",
        "accepted  frontal chest radiograph: ",
        "pixels       ",
        "window centre",
        "stretched to 224 rows x 224 columns",
        "result       score 91.2 % for pneumonia; present from 50.0 %",
        "heat map     strongest at column ",
        "report       AI: possible pneumonia",
        "Conclusion: Possible pneumonia. Score 91.2 % (threshold 50.0 %).",
        "Comment: Computer-generated result",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let picture = image::open(&png).unwrap().into_rgb8();
    let coloured = picture.pixels().filter(|pixel| pixel.0[0] > pixel.0[2].saturating_add(60)).count();
    assert!(picture.width().max(picture.height()) >= 512 && coloured > 1000, "{coloured}");
}

#[test]
fn a_declined_image_is_explained_to_the_rule_that_declined_it() {
    let output = run(AUSCULT, &["explain", &image("lateral-only")]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.contains("declined, lateral view is not supported"), "{text}");
    assert!(text.contains("NOT ANALYSED") && !text.contains("score"), "{text}");
}

#[test]
fn facts_are_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    let png = directory.path().join("luminance.png");
    let facts = |arguments: &[&str]| {
        let output = run(AUSCULT, &[&["explain", "--json"], arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let accepted = facts(&[&image("normal-dx"), "--luminance", png.to_str().unwrap()]);
    assert_eq!((&accepted["verdict"], &accepted["reason"]), (&"accept".into(), &serde_json::Value::Null));
    let picture = image::open(&png).unwrap().into_luma8();
    let luminance = &accepted["luminance"];
    assert_eq!(
        (picture.height(), picture.width()),
        (luminance["rows"].as_u64().unwrap() as u32, luminance["columns"].as_u64().unwrap() as u32)
    );
    let mean = picture.pixels().map(|pixel| f64::from(pixel.0[0])).sum::<f64>() / picture.len() as f64;
    assert!((mean - luminance["mean"].as_f64().unwrap()).abs() < 0.5);
    assert_eq!(luminance["blocks16"].as_array().unwrap().len(), 256);
    let declined = facts(&[&image("lateral-only")]);
    assert_eq!((&declined["verdict"], &declined["rule"]), (&"decline".into(), &"view".into()));
    assert!(declined["reason"].as_str().unwrap().contains("lateral") && declined["luminance"]["p50"].is_number());
}

#[test]
fn faults_are_one_line_with_an_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let notes = directory.path().join("notes.txt");
    std::fs::write(&notes, "no image").unwrap();
    let cut = directory.path().join("cut.dcm");
    let whole = std::fs::read(image("normal-dx")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let nowhere = directory.path().join("none").join("heat.png");
    let normal = image("normal-dx");
    for (arguments, expected) in [
        (vec!["explain", notes.to_str().unwrap()], "auscult import makes one of a picture"),
        (vec!["explain", "/nowhere/image.dcm"], "No such file"),
        (vec!["explain", cut.to_str().unwrap()], "cut.dcm"),
        (vec!["explain", &normal, "--png", nowhere.to_str().unwrap()], "the picture cannot be written there"),
    ] {
        let output = run(AUSCULT, &arguments);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn a_mirrored_image_is_turned_for_the_model_and_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let turned = directory.path().join("turned.dcm");
    let mut octets = std::fs::read(image("normal-dx")).unwrap();
    let place = octets.windows(3).position(|window| window == br"L\F").unwrap();
    octets[place] = b'R';
    std::fs::write(&turned, octets).unwrap();
    let facts = |file: &str| {
        let output = run(AUSCULT, &["explain", "--json", file]);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let (stored, mirrored) = (facts(&image("normal-dx")), facts(turned.to_str().unwrap()));
    assert_eq!(stored["preprocessing"]["turn"], "as stored");
    assert_eq!(mirrored["preprocessing"]["turn"], "mirrored left to right");
    assert_eq!(stored["luminance"], mirrored["luminance"]);
    assert_eq!(mirrored["preprocessing"]["inset"]["rows"], serde_json::json!([0, 224]));
    let text = stdout(&run(AUSCULT, &["explain", turned.to_str().unwrap()]));
    assert!(
        text.contains("input        the whole image mirrored left to right, stretched to 224 rows x 224 columns"),
        "{text}"
    );
}
