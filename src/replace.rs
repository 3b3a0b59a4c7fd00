//! A file is replaced as a whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file aside, syncs it and gives it its name, so that nobody ever sees half of it, whatever happens meanwhile.
/// Others may read it as the process's umask lets them.
pub fn file(path: &Path, octets: &[u8]) -> io::Result<()> {
    let aside = aside(path, octets)?;
    aside.as_file().sync_all()?;
    aside.persist(path).map_err(|error| error.error)?;
    File::open(directory(path))?.sync_all()
}

/// The same for what can be made again: whole for whoever reads it, but a power failure may take it away.
pub fn view(path: &Path, octets: &[u8]) -> io::Result<()> {
    aside(path, octets)?.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn aside(path: &Path, octets: &[u8]) -> io::Result<NamedTempFile> {
    fs::create_dir_all(directory(path))?;
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".part-").permissions(Permissions::from_mode(0o666));
    let mut aside = builder.tempfile_in(directory(path))?;
    aside.write_all(octets)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/figures.json");
        file(&path, b"one").unwrap();
        view(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
