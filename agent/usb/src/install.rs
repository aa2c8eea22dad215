//! An install from beginning to end: sweep, upload, install or upgrade, remove the upload.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_device::{FaultKind, InstallProgress, InstallSource};

use crate::afc::Afc;
use crate::apps::{self, Before};
use crate::error::UsbError;
use crate::guard::heard;
use crate::lockdown::Lockdown;
use crate::settings::{CHUNK_BYTES_MAX, UsbSettings, WINDOW_MAX};
use crate::talk::Talk;
use crate::upload::{self, Pace};

/// The file service.
const AFC: &str = "com.apple.afc";

/// Whoever installs on a phone, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Installer {
    /// This phone once failed with several writes on the way; from then on it gets one at a time.
    one_by_one: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

impl Installer {
    /// Puts the archive on the phone. Every wait inside has a deadline of its own.
    pub(crate) async fn install(
        &self,
        lockdown: &Lockdown,
        source: &InstallSource,
        settings: &UsbSettings,
        progress: &(dyn Fn(InstallProgress) + Send + Sync),
    ) -> Result<(), UsbError> {
        let _turn = self.turn.lock().await;
        let question = settings.deadlines.question;
        let remote = upload::remote_name()?;
        let (mut afc, uploaded) = self.upload(lockdown, &source.archive, &remote, settings, progress).await?;
        let outcome = match uploaded {
            Ok(()) => finish(lockdown, source, &remote, settings, progress).await,
            failed => failed,
        };
        // A phone that is gone or deaf keeps the file until the next install sweeps it.
        let unreachable = outcome.as_ref().is_err_and(|error| {
            matches!(error.kind(), FaultKind::Gone | FaultKind::Silent { .. } | FaultKind::Bus { .. })
        });
        if !unreachable {
            // After a failed write this connection may hold answers that nobody waits for.
            if afc.outstanding() > 0 {
                afc = heard(question, connect(lockdown)).await?;
            }
            let removed = heard(question, afc.remove(&remote)).await;
            if let Err(error) = removed {
                tracing::warn!(%error, remote, "cannot remove an upload; the next install will");
            }
        }
        outcome
    }

    /// Uploads with the configured window, and anew with one write at a time when that fails in a way that many
    /// writes at once could have caused. The connection of the last try is handed back for removing the file.
    async fn upload(
        &self,
        lockdown: &Lockdown,
        archive: &Path,
        remote: &str,
        settings: &UsbSettings,
        progress: &(dyn Fn(InstallProgress) + Send + Sync),
    ) -> Result<(Afc, Result<(), UsbError>), UsbError> {
        let question = settings.deadlines.question;
        let told = |sent, total| progress(InstallProgress::Uploading { sent, total });
        let mut afc = heard(question, connect(lockdown)).await?;
        heard(question, upload::sweep(&mut afc)).await?;
        let mut pace = Pace {
            window: if self.one_by_one.load(Ordering::Relaxed) {
                1
            } else {
                settings.window.clamp(1, WINDOW_MAX)
            },
            chunk_bytes: settings.chunk_bytes.clamp(1, CHUNK_BYTES_MAX),
            silence: settings.deadlines.upload_silence,
        };
        let outcome = upload::send(&mut afc, archive, remote, pace, &told).await;
        let Err(error) = outcome else { return Ok((afc, Ok(()))) };
        if !may_be_the_window(pace, &error) {
            return Ok((afc, Err(error)));
        }
        tracing::warn!(%error, "an upload with {} writes at once failed; sending one at a time", pace.window);
        pace.window = 1;
        drop(afc);
        let mut afc = heard(question, connect(lockdown)).await?;
        let outcome = upload::send(&mut afc, archive, remote, pace, &told).await;
        // Only a success with one at a time shows that it was the window's fault.
        if outcome.is_ok() {
            self.one_by_one.store(true, Ordering::Relaxed);
        }
        Ok((afc, outcome))
    }
}

async fn connect(lockdown: &Lockdown) -> Result<Afc, UsbError> {
    lockdown.service(AFC).await.map(Afc::new)
}

async fn finish(
    lockdown: &Lockdown,
    source: &InstallSource,
    remote: &str,
    settings: &UsbSettings,
    progress: &(dyn Fn(InstallProgress) + Send + Sync),
) -> Result<(), UsbError> {
    let question = settings.deadlines.question;
    let mut talk = Talk::new(heard(question, lockdown.service(apps::SERVICE)).await?);
    let before = match heard(question, apps::lookup(&mut talk, &source.bundle_id)).await? {
        Some(_) => Before::Present,
        None => Before::Absent,
    };
    let told = |percent| progress(InstallProgress::Installing { percent });
    let silence = settings.deadlines.install_silence;
    apps::install(&mut talk, remote, &source.bundle_id, before, silence, &told).await
}

/// Whether one write at a time might do better. A full phone, a deaf one and a bad disk are what they are.
fn may_be_the_window(pace: Pace, error: &UsbError) -> bool {
    let unclear =
        matches!(error.kind(), FaultKind::Protocol { .. } | FaultKind::Gone | FaultKind::FileMissing);
    pace.window > 1 && unclear
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_many_writes_may_have_caused_is_tried_again_with_one() {
        let refused = |status| UsbError::Afc { action: "write a file", status };
        let reset = || UsbError::stream(std::io::ErrorKind::ConnectionReset.into());
        let cases = [
            (4, refused(7), true),
            (4, UsbError::protocol("AFC answered 3 before 2"), true),
            (4, reset(), true),
            (4, refused(18), false),
            (4, UsbError::Silent { waited_ms: 1 }, false),
            (4, UsbError::Disk { action: "read".to_owned(), source: std::io::Error::other("x") }, false),
            (1, refused(7), false),
            (1, reset(), false),
        ];
        for (window, error, expected) in cases {
            let pace = Pace { window, chunk_bytes: 1, silence: Duration::from_secs(1) };
            assert_eq!(may_be_the_window(pace, &error), expected, "{window} {error:?}");
        }
    }
}
