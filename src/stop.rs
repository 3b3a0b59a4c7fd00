//! The word to stop: a flag that whoever drains raises, and that every station waits for beside its work.

use tokio::sync::watch;

/// Returns when `stop` turns true or its sender is gone.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
