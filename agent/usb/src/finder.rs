//! Which phones are on the bus: listens to usbmuxd, and comes back when it restarts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_device::{Attachment, Fault, FaultKind, Finder, FinderEvent};
use holdfast_wire::id::Udid;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::UsbError;
use crate::muxer::{Listener, Muxer, MuxerDevice, MuxerEvent};
use crate::phone::UsbPhone;
use crate::settings::UsbSettings;
use crate::slots;

/// Events that may wait for the rack. When it is full the listener waits: usbmuxd's socket holds the rest, and
/// nothing is lost. A rack of forty phones that all come at once fits.
const EVENTS_MAX: usize = 256;

/// First and longest pause before usbmuxd is tried again: it restarts within a second, or somebody has to mend it.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Finds phones through usbmuxd. Dropping it ends its task.
#[derive(Debug)]
pub struct UsbFinder {
    settings: Arc<UsbSettings>,
    events: mpsc::Receiver<FinderEvent>,
    present: Arc<Present>,
    task: JoinHandle<()>,
}

impl UsbFinder {
    /// Begins to listen. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(settings: UsbSettings) -> Self {
        let settings = Arc::new(settings);
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let present = Arc::new(Present::default());
        let watcher = Watcher { settings: Arc::clone(&settings), sender, present: Arc::clone(&present) };
        Self { settings, events, present, task: tokio::spawn(watcher.run()) }
    }
}

impl Drop for UsbFinder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Finder for UsbFinder {
    type Phone = UsbPhone;

    async fn next(&mut self) -> FinderEvent {
        match self.events.recv().await {
            Some(event) => event,
            // The task ends only by a panic: listening is begun anew, as after a loss of usbmuxd.
            None => {
                let reason = "the listener stopped".to_owned();
                *self = Self::start(self.settings.as_ref().clone());
                FinderEvent::BusLost { reason }
            }
        }
    }

    fn open(&self, attachment: &Attachment) -> Result<UsbPhone, Fault> {
        if self.present.has(attachment.number, &attachment.udid) {
            Ok(UsbPhone::new(Arc::clone(&self.settings), attachment))
        } else {
            Err(Fault::new(format!("open phone {}", attachment.udid), FaultKind::Gone))
        }
    }
}

/// The plugging-ins that last.
#[derive(Debug, Default)]
struct Present {
    phones: Mutex<BTreeMap<u64, Udid>>,
}

impl Present {
    fn has(&self, number: u64, udid: &Udid) -> bool {
        self.lock().get(&number) == Some(udid)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Udid>> {
        self.phones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    settings: Arc<UsbSettings>,
    sender: mpsc::Sender<FinderEvent>,
    present: Arc<Present>,
}

/// The rack is no longer listening.
struct Unheard;

impl Watcher {
    async fn run(self) {
        let mut pause = PAUSE_MIN;
        let mut lost = false;
        loop {
            let reason = match self.connect().await {
                Ok(listener) => {
                    pause = PAUSE_MIN;
                    if std::mem::take(&mut lost) && self.tell(FinderEvent::BusFound).await.is_err() {
                        return;
                    }
                    match self.listen(listener).await {
                        Ok(error) => error,
                        Err(Unheard) => return,
                    }
                }
                Err(error) => error,
            };
            self.present.lock().clear();
            if !std::mem::replace(&mut lost, true) {
                tracing::warn!(usbmuxd = %self.settings.usbmuxd, %reason, "usbmuxd is gone; trying again");
                let reason = reason.kind().to_string();
                if self.tell(FinderEvent::BusLost { reason }).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn connect(&self) -> Result<Listener, UsbError> {
        Muxer::open(&self.settings.usbmuxd).await?.listen().await
    }

    /// Passes events on until usbmuxd is lost.
    async fn listen(&self, mut listener: Listener) -> Result<UsbError, Unheard> {
        loop {
            match listener.next().await {
                Ok(MuxerEvent::Attached(device)) => self.attached(device).await?,
                Ok(MuxerEvent::Detached(number)) => {
                    let udid = self.present.lock().remove(&number);
                    if let Some(udid) = udid {
                        self.tell(FinderEvent::Detached { udid, number }).await?;
                    }
                }
                Ok(MuxerEvent::Other) => {}
                Err(error) => return Ok(error),
            }
        }
    }

    async fn attached(&self, device: MuxerDevice) -> Result<(), Unheard> {
        let slot = slots::slot(device.location, &device.udid).await;
        self.present.lock().insert(device.number, device.udid.clone());
        let attachment =
            Attachment { udid: device.udid, number: device.number, slot, speed_bps: device.speed_bps };
        self.tell(FinderEvent::Attached(attachment)).await
    }

    async fn tell(&self, event: FinderEvent) -> Result<(), Unheard> {
        self.sender.send(event).await.map_err(|_closed| Unheard)
    }
}
