//! Where the files lie that ship with Auscult: the model package, the demonstration's studies.

use std::path::{Path, PathBuf};

/// Where distribution packages put them.
const SHARED: &str = "/usr/share/auscult";

/// A file or directory that is in none of the places where it could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} not found; looked in {looked_in}", name = name.display())]
pub struct NotFound {
    /// What was looked for.
    pub name: PathBuf,
    /// The directories searched, separated by commas.
    pub looked_in: String,
}

/// Finds a path: an absolute one as it is; a relative one in the working directory, then in the directories
/// above the executable (a checkout, an unpacked archive), then in `/usr/share/auscult`.
pub fn find(name: &Path) -> Result<PathBuf, NotFound> {
    let executable = std::env::current_exe().unwrap_or_default();
    let working_directory = std::env::current_dir().unwrap_or_default();
    let places = std::iter::once(working_directory.as_path())
        .chain(executable.ancestors().skip(1).take(4))
        .chain(std::iter::once(Path::new(SHARED)));
    find_in(name, places)
}

fn find_in<'a>(name: &Path, places: impl Iterator<Item = &'a Path>) -> Result<PathBuf, NotFound> {
    let mut looked_in = Vec::new();
    for place in places {
        let candidate = place.join(name);
        if candidate.exists() {
            return Ok(candidate);
        }
        if name.is_relative() {
            looked_in.push(place.display().to_string());
        }
    }
    if name.is_absolute() {
        looked_in.push("its absolute path only".into());
    }
    Err(NotFound { name: name.to_owned(), looked_in: looked_in.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_that_has_it_wins() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(b.path().join("models")).unwrap();
        let find = |name: &Path| find_in(name, [a.path(), b.path()].into_iter());
        assert_eq!(find(Path::new("models")).unwrap(), b.path().join("models"));
        assert_eq!(find(&b.path().join("models")).unwrap(), b.path().join("models"));
        let message = find(Path::new("testdata")).unwrap_err().to_string();
        assert!(message.starts_with("testdata not found; looked in /"), "{message}");
    }
}
