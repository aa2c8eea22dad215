//! Asking a phone for trust. The dialog stays on its screen until somebody taps, so one question is kept asked in
//! the background while callers come and go: a new question would put up a new dialog.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_wire::phone::Pairing;
use idevice::IdeviceError;
use tokio::sync::watch;

use crate::error::UsbError;
use crate::lockdown::Target;
use crate::muxer::Muxer;

/// What became of a question, for callers that come later.
#[derive(Debug, Clone)]
enum Asked {
    /// Nobody has tapped yet.
    Waiting,
    /// It is over. The words are those of an error that is no answer.
    Over(Result<Pairing, String>),
}

/// The question that is being asked, if any.
#[derive(Debug, Default)]
pub(crate) struct TrustQuestion {
    asked: Mutex<Option<watch::Receiver<Asked>>>,
}

impl TrustQuestion {
    /// Whether the dialog is on the screen because of us.
    pub(crate) fn is_open(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked
            .as_ref()
            .is_some_and(|asked| asked.has_changed().is_ok() && matches!(&*asked.borrow(), Asked::Waiting))
    }

    /// Asks, unless it is being asked already, and waits up to `patience` for the answer.
    pub(crate) async fn ask(
        &self,
        target: &Target,
        patience: Duration,
        dialog: Duration,
    ) -> Result<Pairing, UsbError> {
        let mut asked = self.begin(target, dialog);
        let over = asked.wait_for(|asked| matches!(asked, Asked::Over(_)));
        let outcome = match tokio::time::timeout(patience, over).await {
            Err(_elapsed) => return Ok(Pairing::DialogPending),
            Ok(Ok(outcome)) => outcome.clone(),
            Ok(Err(_ended)) => Asked::Over(Err("the question ended without an answer".to_owned())),
        };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match outcome {
            Asked::Over(Ok(pairing)) => Ok(pairing),
            Asked::Over(Err(words)) => Err(UsbError::protocol(words)),
            Asked::Waiting => Ok(Pairing::DialogPending),
        }
    }

    fn begin(&self, target: &Target, dialog: Duration) -> watch::Receiver<Asked> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = asked.as_ref() {
            return asked.clone();
        }
        let (sender, receiver) = watch::channel(Asked::Waiting);
        let target = target.clone();
        let runtime = tokio::runtime::Handle::current();
        // Making the keys of a pair record keeps a processor busy for seconds: not on a thread that others need.
        tokio::task::spawn_blocking(move || {
            let question = tokio::time::timeout(dialog, pair(&target));
            let answer = runtime.block_on(async {
                tokio::select! {
                    answer = question => Some(answer),
                    // The phone's handle is gone, so nobody will hear the answer.
                    () = sender.closed() => None,
                }
            });
            let outcome = match answer {
                Some(Ok(Ok(pairing))) => Ok(pairing),
                Some(Ok(Err(error))) => Err(error.kind().to_string()),
                Some(Err(_elapsed)) => Ok(Pairing::Unpaired),
                None => return,
            };
            sender.send_replace(Asked::Over(outcome));
        });
        *asked = Some(receiver.clone());
        receiver
    }
}

async fn pair(target: &Target) -> Result<Pairing, UsbError> {
    let buid = Muxer::open(&target.usbmuxd).await?.buid().await?;
    let mut lockdown = target.plain_lockdown().await?;
    match lockdown.pair(random_uuid()?, buid, Some(target.label.as_str())).await {
        Ok(record) => {
            let bytes = record.serialize()?;
            let muxer = Muxer::open(&target.usbmuxd).await?;
            muxer.save_pair_record(&target.udid, target.number, bytes).await?;
            Ok(Pairing::Paired)
        }
        Err(IdeviceError::UserDeniedPairing) => Ok(Pairing::Denied),
        Err(error) => Err(error.into()),
    }
}

/// The name of this rack in the pair record: a random UUID, version 4.
fn random_uuid() -> Result<String, UsbError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| UsbError::Disk {
        action: "draw a random name".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
