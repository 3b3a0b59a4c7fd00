//! Tables and folders as people write them, and every fault with its line.

use std::fs;

use super::*;

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// Files `0.png` to `N.png` with contents of their own.
    fn new(images: usize) -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for image in 0..images {
            fs::write(bench.directory.path().join(format!("{image}.png")), format!("\u{89}PNG {image}")).unwrap();
        }
        bench
    }

    fn table(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("data.csv");
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, text: &str) -> Result<Dataset, DatasetError> {
        Dataset::read(&self.table(text), &ClassNames::Found)
    }

    fn fault(&self, text: &str) -> String {
        self.read(text).unwrap_err().to_string()
    }
}

/// A table whose images take the targets in turn; further columns by the image's number.
fn alternating(images: usize, further: impl Fn(usize) -> String, header: &str) -> String {
    let row = |image: usize| format!("{image}.png,{}{}\n", image % 2, further(image));
    format!("image_path,target{header}\n{}", (0..images).map(row).collect::<String>())
}

#[test]
fn a_table_gives_images_with_classes_and_lines() {
    let bench = Bench::new(4);
    let dataset = bench.read("\u{feff}target,age,image_path\r\n1,7,0.png\r\n 10 ,,1.png\r\n\r\n2,8,2.png\r\n").unwrap();
    assert_eq!(dataset.classes(), ["1", "2", "10"]);
    let found: Vec<_> = dataset.examples().iter().map(|example| (example.line, example.class)).collect();
    assert_eq!(found, [(Some(2), 0), (Some(3), 2), (Some(5), 1)]);
    assert_eq!(dataset.column("age").unwrap(), ["7", "", "8"]);
    let named = Dataset::read(
        &bench.table("image_path,target\n0.png,normal\n1.png,1\n"),
        &ClassNames::Given(vec!["normal".into(), "pneumonia".into()]),
    );
    assert_eq!(named.unwrap().examples().iter().map(|example| example.class).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_folder_for_each_class_is_a_dataset() {
    let bench = Bench::new(0);
    for (file, octets) in
        [("b/x.png", &b"\x89PNG\r\n\x1a\n1"[..]), ("a/deep/y.jpeg", b"\xff\xd8\xff2"), ("a/z.txt", b"3")]
    {
        let path = bench.directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, octets).unwrap();
    }
    let dataset = Dataset::read(bench.directory.path(), &ClassNames::Found).unwrap();
    assert_eq!(dataset.classes(), ["a", "b"]);
    assert_eq!(dataset.examples().iter().map(|example| example.class).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn every_fault_names_its_line() {
    let bench = Bench::new(4);
    fs::write(bench.directory.path().join("copy.png"), "\u{89}PNG 0").unwrap();
    for (text, expected) in [
        ("", "line 1: no image; write the header image_path,target"),
        ("image_path,target\n", "line 2: no image"),
        ("path,label\n0.png,1\n", "line 1: no column \"image_path\" in the header \"path,label\""),
        ("image_path,target\n0.png,0\n1.png,1,1\n", "line 3: 3 values instead of 2"),
        ("image_path,target\r\n0.png,0\r\n\r\n1.png,1,1\r\n", "line 4: 3 values instead of 2"),
        ("image_path,target\n0.png,0\n1.png,\n", "line 3: no target"),
        ("image_path,target\n0.png,0\nnone.png,1\nno.png,1\n", "line 3: "),
        (
            "image_path,target\n0.png,0\nnone.png,1\nno.png,1\n",
            "none.png: No such file or directory (os error 2) (and 1 more",
        ),
        ("image_path,target\n0.png,0\n1.png,1\n2.png,flu\n", "line 4: unknown class \"flu\"; the classes are 0, 1"),
        ("image_path,target\n0.png,0\n1.png,0\n", "line 3: all 2 images up to here are of class \"0\""),
        ("image_path,target\n0.png,0\n1.png,1\n0.png,0\n", "line 4: "),
        ("image_path,target\n0.png,0\n1.png,1\ncopy.png,1\n", "line 4: "),
        ("image_path,target\n0.png,0\n1.png,1\ncopy.png,1\n", "with another target"),
    ] {
        let message = bench.fault(text);
        assert!(message.contains("data.csv, ") && message.contains(expected), "{text:?}: {message}");
    }
    fs::write(bench.directory.path().join("data.csv"), b"image_path,target\n0.png,0\n1.png,n\xfcchtern\n").unwrap();
    let latin = Dataset::read(&bench.directory.path().join("data.csv"), &ClassNames::Found).unwrap_err().to_string();
    assert!(latin.contains("line 3: not UTF-8"), "{latin}");
    let missing = Dataset::read(Path::new("/nowhere.csv"), &ClassNames::Found).unwrap_err().to_string();
    assert!(missing.contains("/nowhere.csv: No such file"), "{missing}");
}

#[test]
fn chance_divides_by_seed_into_seventy_twenty_ten() {
    let bench = Bench::new(100);
    let dataset = bench.read(&alternating(100, |_| String::new(), "")).unwrap();
    let divide = |seed| Division::new(&dataset, &Rule::Random { seed, group: None, stratified: false }).unwrap();
    let sizes = Part::ALL.map(|part| divide(1).of(part).len());
    assert_eq!(sizes, [70, 20, 10]);
    assert_eq!(divide(1), divide(1));
    assert_ne!(divide(1), divide(2));
}

#[test]
fn strata_have_the_same_shares() {
    let bench = Bench::new(100);
    let dataset = bench.read(&alternating(100, |_| String::new(), "")).unwrap();
    let division = Division::new(&dataset, &Rule::Random { seed: 3, group: None, stratified: true }).unwrap();
    let ones = |part| division.of(part).iter().filter(|index| dataset.examples()[**index].class == 1).count();
    assert_eq!(Part::ALL.map(ones), [35, 10, 5]);
}

#[test]
fn groups_and_copies_stay_together() {
    let bench = Bench::new(90);
    fs::write(bench.directory.path().join("copy.png"), "\u{89}PNG 4").unwrap();
    let table = alternating(90, |image| format!(",{}", image / 4), ",patient") + "copy.png,0,99\n";
    let dataset = bench.read(&table).unwrap();
    let group = Some("patient".to_owned());
    for seed in 0..10 {
        let rule = Rule::Random { seed, group: group.clone(), stratified: false };
        let division = Division::new(&dataset, &rule).unwrap();
        assert_eq!(division.sharing(&dataset, "patient").unwrap().shared, 0);
        assert_eq!(division.parts()[4], division.parts()[90]);
    }
    let random = Division::new(&dataset, &Rule::Random { seed: 0, group: None, stratified: false }).unwrap();
    let sharing = random.sharing(&dataset, "patient").unwrap();
    assert!(sharing.shared > 5 && sharing.of == 28, "{sharing:?}");
}

#[test]
fn a_column_divides_and_no_image_may_be_in_two_parts() {
    let bench = Bench::new(12);
    fs::write(bench.directory.path().join("copy.png"), "\u{89}PNG 0").unwrap();
    let part = |image: usize| format!(",{}", ["train", "train", "val", "val", "Test", "test"][image % 6]);
    let table = alternating(12, part, ",split");
    let divide = |text: &str, rule: &Rule| Division::new(&bench.read(text).unwrap(), rule);
    let by_split = Rule::Column { split: "split".into(), group: None };
    assert_eq!(divide(&table, &by_split).unwrap().of(Part::Test), [4, 5, 10, 11]);
    let by_chance = Rule::Random { seed: 1, group: Some("patient".into()), stratified: false };
    for (text, rule, expected) in [
        (table.clone() + "copy.png,0,test\n", &by_split, "line 14: "),
        (table.clone() + "copy.png,0,test\n", &by_split, "which is in another part"),
        (table.replace("Test", "holdout"), &by_split, "line 6: split is \"holdout\""),
        (table.replace("val", "test"), &by_split, "no image is for validation"),
        (table.clone(), &by_chance, "line 1: no column \"patient\"; the further columns are: split"),
        (table.replace("0.png,0,train", "0.png,7,train"), &by_split, "class \"7\" has 1 of the images only"),
    ] {
        let message = divide(&text, rule).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn the_digest_depends_on_images_and_classes_only() {
    let bench = Bench::new(3);
    let digest = |text: &str| bench.read(text).unwrap().digest();
    let one = digest("image_path,target\n0.png,0\n1.png,1\n2.png,1\n");
    assert_eq!(digest("target,image_path,x\n1,2.png,\n1,1.png,\n0,0.png,\n"), one);
    assert_ne!(digest("image_path,target\n0.png,0\n1.png,0\n2.png,1\n"), one);
}

#[test]
fn a_register_knows_images_by_their_content() {
    let bench = Bench::new(30);
    let dataset = bench.read(&alternating(30, |_| String::new(), "")).unwrap();
    let division = Division::new(&dataset, &Rule::Random { seed: 5, group: None, stratified: false }).unwrap();
    let model = tempfile::tempdir().unwrap();
    assert_eq!(Register::read(model.path()).unwrap(), Register::default());
    let register = Register::new(&dataset, &division);
    fs::write(model.path().join(Register::FILE), register.csv()).unwrap();
    let again = Register::read(model.path()).unwrap();
    assert_eq!(again, register);
    assert_eq!(again.part(&dataset.examples()[7]), Some(division.parts()[7]));
    fs::write(model.path().join(Register::FILE), "blake3,split\nabc,train\n").unwrap();
    assert!(Register::read(model.path()).unwrap_err().to_string().contains("line 2"));
}

#[test]
fn folds_test_every_image_once_and_keep_groups_together() {
    let bench = Bench::new(60);
    let dataset = bench.read(&alternating(60, |image| format!(",p{}", image / 3), ",patient")).unwrap();
    let divisions: Vec<Division> = (0..5)
        .map(|fold| {
            let rule = Rule::Fold { seed: 2, group: Some("patient".into()), stratified: true, fold, of: 5 };
            Division::new(&dataset, &rule).unwrap()
        })
        .collect();
    let parts = |part| -> Vec<Vec<usize>> { divisions.iter().map(|division| division.of(part)).collect() };
    for part in [Part::Test, Part::Validation] {
        let mut all = parts(part).concat();
        all.sort_unstable();
        assert_eq!(all, (0..60).collect::<Vec<_>>(), "{part}");
    }
    assert_eq!(parts(Part::Validation)[0], parts(Part::Test)[1]);
    for division in &divisions {
        assert_eq!(division.sharing(&dataset, "patient").unwrap().shared, 0);
        assert!((9..=15).contains(&division.of(Part::Test).len()));
    }
}
