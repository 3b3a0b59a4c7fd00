//! tmp
#[derive(clap::Args)] pub(super) struct Echo {}
impl Echo { pub(super) fn run(self)->anyhow::Result<()> {Ok(())} }
