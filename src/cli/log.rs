//! Where log lines go: standard error, in the administrator's form.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging. Under systemd the journal adds the time and takes no colours. Libraries are heard only at level
/// debug: what they write was not looked through for patient data.
pub(super) fn start(settings: &Log) {
    let filter = EnvFilter::new(match settings.level {
        LogLevel::Error => "auscult=error",
        LogLevel::Warn => "auscult=warn",
        LogLevel::Info => "auscult=info",
        LogLevel::Debug => "debug",
    });
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(terminal);
    // A second start in one process (tests) keeps the first one's log.
    let _ = match settings.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text if journal => builder.without_time().try_init(),
        LogFormat::Text => builder.try_init(),
    };
}
