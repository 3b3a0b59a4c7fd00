//! Holds the house to its rules: floors, sizes, names. `docs/architecture.md` explains them.
//!
//! Every rule is a function over text, tried below on houses that break it, and then applied to `src/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "architecture/source.rs"]
mod source;

use source::{Paths, Source};

const LARGEST_FILE: usize = 400;
const LARGEST_DOOR: usize = 20;
const EMPTY_NAMES: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "misc", "types", "manager"];

/// Room -> floor, from the headings of `lib.rs`, and what is wrong with them.
fn floors(lib: &str) -> (BTreeMap<String, u32>, Vec<String>) {
    let (mut rooms, mut faults) = (BTreeMap::new(), Vec::new());
    let mut floor = None;
    for (line, number) in lib.lines().zip(1..) {
        if let Some(heading) = line.strip_prefix("// Floor ") {
            let next = heading.split_once(": ").and_then(|(n, _)| n.parse::<u32>().ok());
            if next.is_none() || next <= floor {
                faults.push(format!("src/lib.rs:{number}: write \"// Floor N: name\", lowest floor first: {line:?}"));
            }
            floor = next;
        } else if let Some(room) = module_declared(line) {
            match floor {
                Some(floor) => drop(rooms.insert(room.to_owned(), floor)),
                None => faults.push(format!("src/lib.rs:{number}: room {room} stands under no \"// Floor N: name\"")),
            }
        }
    }
    (rooms, faults)
}

fn module_declared(line: &str) -> Option<&str> {
    let line = line.trim();
    let declaration = ["pub(crate) mod ", "pub mod ", "mod "].iter().find_map(|start| line.strip_prefix(start))?;
    declaration.split([';', ' ', '{']).next()
}

/// The room a file belongs to: `delivery` for `delivery.rs`, `delivery/mod.rs` and `delivery/outbox.rs`.
fn room(path: &Path) -> String {
    let first = path.iter().next().map(Path::new).unwrap_or(path);
    first.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Faults of one file of the crate; `path` is relative to `src/`.
fn faults(path: &str, text: &str, rooms: &BTreeMap<String, u32>) -> Vec<String> {
    let source = Source::new(text);
    let mut faults = general_faults(path, text, &source);
    let here = room(Path::new(path));
    let Some(&floor) = rooms.get(&here) else {
        faults.push(format!("src/{path}: room {here} is not declared in src/lib.rs"));
        return faults;
    };
    for (line, other) in source.rooms_used(Paths::InCrate { depth: Path::new(path) }) {
        match rooms.get(&other) {
            _ if other == here => {}
            Some(&theirs) if theirs < floor => {}
            Some(&theirs) => faults.push(format!(
                "src/{path}:{line}: {here} (floor {floor}) uses {other} (floor {theirs}); only lower floors may be used"
            )),
            None => faults.push(format!("src/{path}:{line}: crate::{other} is no room of src/lib.rs; name the room")),
        }
    }
    faults
}

/// Faults of `main.rs`: the door opens into the highest floor and does nothing else.
fn door_faults(text: &str, rooms: &BTreeMap<String, u32>) -> Vec<String> {
    let source = Source::new(text);
    let mut faults = general_faults("main.rs", text, &source);
    let top = rooms.values().max();
    for (line, other) in source.rooms_used(Paths::InDoor) {
        if rooms.get(&other) != top {
            faults.push(format!("src/main.rs:{line}: the door uses {other}; it may use the highest floor only"));
        }
    }
    if source.code_lines() > LARGEST_DOOR {
        faults.push(format!("src/main.rs: {} code lines, at most {LARGEST_DOOR}: the door only", source.code_lines()));
    }
    faults
}

fn general_faults(path: &str, text: &str, source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("src/{path}:1: begin with a //! line that says what the module is for"));
    }
    let is_test = path.ends_with("tests.rs");
    if !is_test && source.code_lines() > LARGEST_FILE {
        faults.push(format!("src/{path}: {} code lines, at most {LARGEST_FILE}: divide it", source.code_lines()));
    }
    for name in Path::new(path).iter().map(|part| Path::new(part).file_stem().unwrap_or_default()) {
        if EMPTY_NAMES.iter().any(|empty| name == *empty) {
            faults.push(format!("src/{path}: {} says nothing; name what is in it", name.display()));
        }
    }
    for (line, word) in source.unfinished(text) {
        faults.push(format!("src/{path}:{line}: {word}: finish it, or write an issue"));
    }
    faults
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = directories.iter().flat_map(|directory| self::files(directory));
    let mut all: Vec<_> =
        files.into_iter().filter(|path| path.extension() == Some("rs".as_ref())).chain(below).collect();
    all.sort();
    all
}

#[test]
fn the_house_keeps_its_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let lib = read(&src.join("lib.rs"));
    let (rooms, mut found) = floors(&lib);
    found.extend(general_faults("lib.rs", &lib, &Source::new(&lib)));
    for file in files(&src) {
        let path = file.strip_prefix(&src).unwrap().to_str().unwrap();
        match path {
            "lib.rs" => {}
            "main.rs" => found.extend(door_faults(&read(&file), &rooms)),
            _ => found.extend(faults(path, &read(&file), &rooms)),
        }
    }
    assert!(!rooms.is_empty(), "src/lib.rs declares no room");
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

const HOUSE: &str = "//! A house.\n\n// Floor 0: words\npub mod ids;\n\n// Floor 1: values\npub mod config;\npub mod \
                     finding;\n\n// Floor 2: crafts\npub mod sr;\n";

fn faults_of(path: &str, body: &str) -> Vec<String> {
    faults(path, &format!("//! A room.\n{body}\n"), &floors(HOUSE).0)
}

#[test]
fn floors_come_from_the_headings() {
    let (rooms, found) = floors(HOUSE);
    assert_eq!(rooms, [("ids", 0), ("config", 1), ("finding", 1), ("sr", 2)].map(|(r, f)| (r.into(), f)).into());
    assert!(found.is_empty());
    for (bad, expected) in [
        ("pub mod ids;", "lib.rs:1: room ids stands under no"),
        ("// Floor 1: a\n// Floor 1: b", "lib.rs:2: write"),
        ("// Floor two: a", "lib.rs:1: write"),
    ] {
        let (_, found) = floors(bad);
        assert!(found.len() == 1 && found[0].contains(expected), "{bad:?}: {found:?}");
    }
}

#[test]
fn lower_floors_and_the_own_room_may_be_used() {
    for (path, body) in [
        ("sr/document.rs", "use crate::finding::Finding;\nuse crate::{ids::{Uid, AeTitle}, config};"),
        ("sr/document.rs", "use super::codes;\nuse crate::sr::codes;\nmod tests { use super::super::codes; }"),
        ("sr/mod.rs", "// crate::daemon\n/* crate::cli /* nested */ crate::cli */\nconst A: &str = \"crate::cli\";"),
        (
            "sr.rs",
            "const R: &str = r#\"a \" crate::cli\"#;\nfn f<'a>(_: &'a str) -> char { '\"' }\nconst Q: char = '\\'';",
        ),
        ("config.rs", "pub(crate) fn f() { crate::ids::x(); }\nmod tests { use super::*; }"),
    ] {
        assert_eq!(faults_of(path, body), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn higher_and_equal_floors_may_not_be_used() {
    for (path, body, expected) in [
        ("config.rs", "use crate::sr::Report;", "config.rs:2: config (floor 1) uses sr (floor 2)"),
        ("config/load.rs", "use crate::finding;", "config (floor 1) uses finding (floor 1)"),
        ("ids.rs", "use crate::{\n    ids,\n    config::{self, Config},\n};", "ids.rs:4: ids (floor 0) uses config"),
        ("finding.rs", "fn f() -> crate::sr::Report { crate::ids::x() }", "finding (floor 1) uses sr"),
        ("finding.rs", "use super::sr::Report;", "finding (floor 1) uses sr"),
        ("finding.rs", "mod tests {\n    use super::super::sr;\n}", "finding.rs:3: finding (floor 1) uses sr"),
        ("config/load.rs", "use super::super::{sr, ids};", "config (floor 1) uses sr"),
        ("sr.rs", "use crate::cli;", "crate::cli is no room"),
        ("sr.rs", "use crate::*;", "crate::* is no room"),
        ("extra.rs", "", "room extra is not declared"),
    ] {
        let found = faults_of(path, body);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {body}: {found:?}");
    }
}

#[test]
fn the_door_opens_into_the_highest_floor() {
    let rooms = floors(HOUSE).0;
    assert!(door_faults("//! The door.\nfn main() { auscult::sr::main() }\n", &rooms).is_empty());
    let found = door_faults("//! The door.\nuse auscult::config::Config;\nfn main() {}\n", &rooms);
    assert!(found.len() == 1 && found[0].contains("main.rs:2: the door uses config"), "{found:?}");
    let long = format!("//! The door.\nfn main() {{\n{}}}\n", "    work();\n".repeat(LARGEST_DOOR));
    assert!(door_faults(&long, &rooms)[0].contains("the door only"));
}

#[test]
fn large_nameless_and_unfinished_files_are_refused() {
    let code = "fn f() {}\n\n// a comment\n/// another\n";
    assert_eq!(faults_of("sr.rs", &code.repeat(LARGEST_FILE)), Vec::<String>::new());
    assert!(faults_of("sr.rs", &code.repeat(LARGEST_FILE + 1))[0].contains("401 code lines, at most 400"));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn f() {}\n".repeat(LARGEST_FILE));
    assert_eq!(faults_of("sr.rs", &(code.to_owned() + &tests)), Vec::<String>::new());
    assert_eq!(faults_of("sr/tests.rs", &code.repeat(LARGEST_FILE + 1)), Vec::<String>::new());
    for (path, body, expected) in [
        ("sr/utils.rs", "", "utils says nothing"),
        ("sr/common/mod.rs", "", "common says nothing"),
        ("sr.rs", "fn f() { todo!() }", "sr.rs:2: todo!"),
        ("sr.rs", "fn f() { unimplemented!(\"later\") }", "sr.rs:2: unimplemented!"),
        ("sr.rs", "// FIXME later", "sr.rs:2: FIXME"),
    ] {
        let found = faults_of(path, body);
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {body}: {found:?}");
    }
    assert!(faults("sr.rs", "fn f() {}\n", &floors(HOUSE).0)[0].contains("begin with a //! line"));
}
