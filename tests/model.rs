//! `auscult model`: packages are shown, verified, compared and handed on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use support::{AUSCULT, checkout, run, stderr, stdout};

fn reference() -> String {
    checkout("models/cxr-pneumonia-reference").display().to_string()
}

fn auscult(arguments: &[&str]) -> String {
    let output = run(AUSCULT, &[&["model"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// A copy of the package that ships.
fn copy(directory: &Path) -> PathBuf {
    for file in ["model.toml", "model.safetensors", "gate.safetensors", "int8.safetensors", "README.md"] {
        fs::copy(Path::new(&reference()).join(file), directory.join(file)).unwrap();
    }
    directory.to_owned()
}

/// Changes the weights by `change`, and the manifest so that it belongs to them.
fn reweighted(package: &Path, change: impl Fn(&mut Vec<u8>)) {
    let (weights, manifest) = (package.join("model.safetensors"), package.join("model.toml"));
    let mut octets = fs::read(&weights).unwrap();
    let digest = |octets: &[u8]| Sha256::digest(octets).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let before = digest(&octets);
    change(&mut octets);
    fs::write(&weights, &octets).unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace(&before, &digest(&octets))).unwrap();
}

/// Writes the last tensor's last value, half precision, the file's last two octets.
fn last_value(half: u16) -> impl Fn(&mut Vec<u8>) {
    move |octets| {
        let length = octets.len();
        octets[length - 2..].copy_from_slice(&half.to_le_bytes());
    }
}

#[test]
fn a_package_is_shown_to_people_and_to_programs() {
    let text = auscult(&["show", &reference()]);
    for expected in [
        "model         cxr-pneumonia-reference 0.1.0, resnet50-dense128, research\n",
        "labels        normal, pneumonia\n",
        "reports       pneumonia, present from 0.5\n",
        "patients      of all ages\n",
        "self-test     gives 0.725239, 0.274761 within 0.001\n",
        "plausibility  accepts images from -0.143 on\n",
        "SHA-256       bf253d463ce462c65d60de89255d08b9ca9b287cf462c71f559a9bd5f38cbf06 model.safetensors\n",
        "mean [0.485, 0.456, 0.406]",
        "children_held_out: ",
        "auc 0.9965 (0.9935 to 0.9988), ",
        "# cxr-pneumonia-reference 0.1.0: model card",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&auscult(&["show", "--json", &reference()])).unwrap();
    assert_eq!(json["manifest"]["output"]["threshold"], 0.5);
    assert_eq!(json["manifest"]["input"]["mean"][0], 0.485);
    assert_eq!(json["manifest"]["performance"]["children_held_out"]["auc"], 0.9965);
    assert!(json["card"].as_str().unwrap().contains("model card"));
}

#[test]
fn a_whole_package_is_verified_and_a_damaged_one_named() {
    let text = auscult(&["verify", &reference()]);
    for expected in [
        "ok    digest: model.safetensors",
        "ok    digest: gate.safetensors",
        "ok    card: README.md speaks of this model",
        "ok    self-test: f32",
        "ok    digest: int8.safetensors",
        "ok    self-test: int8",
        "cxr-pneumonia-reference 0.1.0 is whole and answers as it promises",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let directory = tempfile::tempdir().unwrap();
    let package = copy(directory.path());
    let fault = || {
        let output = run(AUSCULT, &["model", "verify", package.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
        stderr(&output)
    };
    let replaced = |file: &str, octets: &[u8]| {
        let path = package.join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, octets).unwrap();
        let said = fault();
        fs::write(path, before).unwrap();
        said
    };
    for file in ["model.safetensors", "gate.safetensors", "int8.safetensors"] {
        let said = replaced(file, b"other");
        assert!(said.contains(file) && said.contains("SHA-256 is"), "{said}");
    }
    let said = replaced("README.md", b"# cxr-pneumonia-reference 0.0.9: model card");
    assert!(said.contains("README.md: 0.1.0 of model.toml does not occur in it"), "{said}");
    let manifest = fs::read_to_string(package.join("model.toml")).unwrap();
    for (from, to) in [("[0.725239", "[0.8"), ("0.274761]", "0.2]"), ("0.279648]", "0.2]")] {
        let said = replaced("model.toml", manifest.replace(from, to).as_bytes());
        assert!(said.contains("self-test gives"), "{said}");
    }
    fs::rename(package.join("README.md"), package.join("card")).unwrap();
    assert!(fault().contains("README.md: No such file"), "{}", fault());
    reweighted(&package, last_value(0x7e00));
    assert!(fault().contains("1 of the tensors hold values that are no numbers"), "{}", fault());
    reweighted(&package, |octets| octets.truncate(octets.len() - 2));
    assert!(fault().contains("model.safetensors: unreadable weights"), "{}", fault());
}

#[test]
fn what_two_packages_have_otherwise_is_listed() {
    assert_eq!(auscult(&["diff", &reference(), &reference()]), "no difference\n");
    let directory = tempfile::tempdir().unwrap();
    let package = copy(directory.path());
    reweighted(&package, last_value(0x4000));
    let manifest = package.join("model.toml");
    let text = fs::read_to_string(&manifest).unwrap().replace("auc = 0.9965", "auc = 0.5");
    fs::write(&manifest, text).unwrap();
    let text = auscult(&["diff", &reference(), package.to_str().unwrap()]);
    assert!(text.contains("performance.children_held_out.auc: 0.9965 -> 0.5\n"), "{text}");
    let tensors: Vec<&str> = text.lines().filter(|line| line.starts_with("tensor ")).collect();
    assert!(tensors.len() == 1 && tensors[0].contains("values differ by at most"), "{text}");
    assert!(text.contains("sha256: \"bf253d463ce462c6"), "{text}");
}

#[test]
fn weights_are_handed_on_under_torchvisions_names() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("weights.safetensors");
    auscult(&["export", &reference(), out.to_str().unwrap()]);
    let octets = fs::read(&out).unwrap();
    let tensors = SafeTensors::deserialize(&octets).unwrap();
    for (name, shape) in [
        ("conv1.weight", &[64, 3, 7, 7][..]),
        ("layer4.2.bn3.running_var", &[2048]),
        ("layer1.0.downsample.0.weight", &[256, 64, 1, 1]),
        ("fc.0.weight", &[128, 2048]),
        ("fc.2.bias", &[2]),
    ] {
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!((tensor.shape(), tensor.dtype()), (shape, safetensors::Dtype::F32), "{name}");
    }
    let again = run(AUSCULT, &["model", "export", &reference(), out.to_str().unwrap()]);
    assert!(!again.status.success() && stderr(&again).contains("exists; name another file"), "{}", stderr(&again));
}

#[test]
fn exported_weights_are_a_trunk_to_train_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    auscult(&["export", &reference(), &path("weights.safetensors")]);
    for (class, level) in [("dark", 40), ("bright", 160)] {
        fs::create_dir_all(directory.path().join("data").join(class)).unwrap();
        for image in 0..5 {
            let picture = image::GrayImage::from_fn(32, 32, |x, y| image::Luma([level + ((x + y * image) % 80) as u8]));
            picture.save(directory.path().join("data").join(class).join(format!("{image}.png"))).unwrap();
        }
    }
    let of = |init: &str, out: &str| {
        let arguments = ["train", &path("data"), "--out", &path(out), "--init", init, "--cache", &path("cache")];
        let output = run(AUSCULT, &[&arguments[..], &["--epochs", "1", "--stratify"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        path(out)
    };
    let (one, other) = (of(&reference(), "one"), of(&path("weights.safetensors"), "other"));
    let text = auscult(&["diff", &one, &other]);
    assert!(
        text.contains("training.trunk: \"cxr-pneumonia-reference 0.1.0 (SHA-256 bf253d463ce462c6)\" -> \""),
        "{text}"
    );
    // The same trunk in f16 and in f32 leads to the same weights, but for what each says of it.
    assert!(!text.contains("tensor "), "{text}");
    auscult(&["verify", &other]);
}

#[test]
fn weights_with_a_head_become_a_package_and_others_are_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (weights, package) = (path("weights.safetensors"), path("package"));
    auscult(&["export", &reference(), &weights]);
    let text = auscult(&["import", &weights, "--out", &package, "--labels", "normal,pneumonia", "--name", "taken"]);
    assert!(text.contains("package: resnet50-dense128 from weights.safetensors (SHA-256 "), "{text}");
    auscult(&["verify", &package]);
    let text = auscult(&["diff", &reference(), &package]);
    assert!(text.contains("name: \"cxr-pneumonia-reference\" -> \"taken\"") && !text.contains("tensor "), "{text}");
    let json: serde_json::Value = serde_json::from_str(&auscult(&["show", "--json", &package])).unwrap();
    let answer = json["manifest"]["self_test"]["probabilities"][1].as_f64().unwrap();
    assert!((answer - 0.274_761).abs() < 1e-5, "{answer}");

    let fault = |arguments: &[&str]| {
        let output = run(AUSCULT, &[&["model", "import"], arguments].concat());
        assert!(!output.status.success());
        stderr(&output)
    };
    let labels = ["--labels", "a,b,c"];
    let said = fault(&[&[weights.as_str(), "--out", &path("three")][..], &labels].concat());
    assert!(said.contains("--labels names 3 classes, the file has 2 outputs"), "{said}");
    let said = fault(&[&[weights.as_str(), "--out", &package][..], &labels].concat());
    assert!(said.contains("is a model package already"), "{said}");
    let octets = fs::read(&weights).unwrap();
    let mut tensors = SafeTensors::deserialize(&octets).unwrap().tensors();
    tensors.retain(|(name, _)| !name.starts_with("fc."));
    let trunk = path("trunk.safetensors");
    fs::write(&trunk, safetensors::serialize(tensors, None).unwrap()).unwrap();
    let said = fault(&[&[trunk.as_str(), "--out", &path("headless")][..], &labels].concat());
    assert!(said.contains("no head of Dense 128 and Dense") && said.contains("auscult train --init"), "{said}");
    assert!(!Path::new(&path("headless")).exists());
}
