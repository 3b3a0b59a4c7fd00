//! `auscult echo`: is the node there, and does it talk to us?

use std::io::{self, Write};

use anyhow::{Context, Result};

use super::Failed;
use super::node::Node;
use crate::scu;

/// Ask a DICOM node whether it is there (C-ECHO).
#[derive(clap::Args)]
pub(super) struct Echo {
    #[command(flatten)]
    node: Node,
}

impl Echo {
    pub(super) fn run(self) -> Result<()> {
        let peer = self.node.peer();
        let status = super::runtime()?.block_on(scu::echo(&peer)).with_context(|| peer.to_string())?;
        writeln!(io::stdout(), "{peer}: {status}")?;
        if status.is_stored() { Ok(()) } else { Err(Failed(format!("{peer} does not take part")).into()) }
    }
}
