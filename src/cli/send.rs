//! tmp
#[derive(clap::Args)] pub(super) struct Send {}
impl Send { pub(super) fn run(self)->anyhow::Result<()> {Ok(())} }
