//! `auscult send`: DICOM files to a node, each with its status in words.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Failed;
use super::files;
use super::node::Node;
use crate::scu;

/// Send DICOM files to a node (C-STORE), in the transfer syntax they are in.
///
/// Exits with 1 when a file was not stored.
#[derive(clap::Args)]
pub(super) struct Send {
    #[command(flatten)]
    node: Node,
    /// DICOM Part 10 files, directories of them
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
}

impl Send {
    pub(super) fn run(self) -> Result<()> {
        let collection = files::collect(&self.files);
        for fault in &collection.faults {
            writeln!(io::stderr(), "{fault}")?;
        }
        let files = collection.dicom;
        if files.is_empty() {
            return Err(Failed("no DICOM file there".into()).into());
        }
        let peer = self.node.peer();
        let (mut stored, mut printed) = (0, Ok(()));
        let sending = scu::send_files(&peer, &files, |path, outcome| {
            let said = match outcome {
                Ok(status) => {
                    stored += usize::from(status.is_stored());
                    status.to_string()
                }
                Err(error) => error.to_string(),
            };
            if printed.is_ok() {
                printed = writeln!(io::stdout(), "{}: {said}", path.display());
            }
        });
        super::runtime()?.block_on(sending).with_context(|| peer.to_string())?;
        printed?;
        let failed = files.len() - stored + collection.faults.len();
        if failed == 0 { Ok(()) } else { Err(Failed(format!("{failed} files were not stored")).into()) }
    }
}
