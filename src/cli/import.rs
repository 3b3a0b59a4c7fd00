//! tmp
#[derive(clap::Args)] pub(super) struct Import {}
impl Import { pub(super) fn run(self)->anyhow::Result<()> {Ok(())} }
