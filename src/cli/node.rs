//! The DICOM node that `echo` and `send` talk to.

use crate::ids::AeTitle;
use crate::scu::Peer;

/// Host, port and AE titles; without any of them, the service on this machine.
#[derive(clap::Args)]
pub(super) struct Node {
    /// Host name or address of the node
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// TCP port of the node
    #[arg(long, default_value_t = 11112, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// AE title of the node
    #[arg(long, value_name = "AE", default_value = "AUSCULT")]
    called: AeTitle,
    /// Our AE title
    #[arg(long, value_name = "AE", default_value = "AUSCULT-CLI")]
    calling: AeTitle,
}

impl Node {
    pub(super) fn peer(self) -> Peer {
        Peer::new(&self.host, self.port, self.called, self.calling)
    }
}
