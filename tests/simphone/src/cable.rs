//! The cable between the rack and one phone: every connection's bytes pass here, and so do the faults of the link
//! (cut, hang, slow, cut in mid-upload). When the phone is plugged in and out is decided in [`seat`](crate::seat).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lockdown::Door;
use crate::phone::Phone;
use crate::service::BoxStream;

/// How many bytes may be on the way in one direction of one connection: usbmuxd's own window is as large.
const WINDOW_BYTES: usize = 128 * 1024;

/// The most bytes moved at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A slow link moves about this many chunks a second, so that it looks even.
const CHUNKS_PER_SECOND: u64 = 20;

/// How long the client may take to close after the phone closed, so that it can read the last bytes.
const LINGER: Duration = Duration::from_secs(1);

/// The cable of one phone.
#[derive(Debug)]
pub struct Cable {
    phone: Arc<Phone>,
    hang: watch::Sender<Motion>,
    link: Mutex<Link>,
    upload_reached: mpsc::UnboundedSender<()>,
}

/// Whether bytes move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// As the link allows.
    Moving,
    /// Nothing moves and nothing is closed.
    Hung,
}

/// One stay of a phone on the bus.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// usbmuxd's number for this stay.
    pub device_id: u32,
    /// `bus << 16 | address`; the address is another at each stay.
    pub location_id: u32,
    /// Cancelled when the phone leaves the bus.
    pub cut: CancellationToken,
}

#[derive(Debug)]
struct Link {
    /// When the link has moved all that was given to it.
    free_at: Instant,
    /// How many bytes to the phone may still pass before it leaves the bus.
    upload_left: Option<u64>,
}

impl Cable {
    /// The cable of a phone. The receiver is told each time the limit of [`Self::cut_after_upload`] is reached.
    #[must_use]
    pub fn new(phone: Arc<Phone>) -> (Self, mpsc::UnboundedReceiver<()>) {
        let (upload_reached, reached) = mpsc::unbounded_channel();
        let link = Mutex::new(Link { free_at: Instant::now(), upload_left: None });
        (Self { phone, hang: watch::Sender::new(Motion::Moving), link, upload_reached }, reached)
    }

    /// The phone at its end.
    #[must_use]
    pub fn phone(&self) -> &Arc<Phone> {
        &self.phone
    }

    /// Stops or resumes all motion.
    pub fn set_motion(&self, motion: Motion) {
        self.hang.send_replace(motion);
    }

    /// Whether bytes move now.
    #[must_use]
    pub fn motion(&self) -> Motion {
        *self.hang.borrow()
    }

    /// Waits until bytes move.
    pub async fn moving(&self) {
        let mut hang = self.hang.subscribe();
        // The sender lives as long as `self`.
        let _current = hang.wait_for(|motion| *motion == Motion::Moving).await;
    }

    /// Makes the phone leave the bus when so many more bytes of services (not of lockdown) have gone to it.
    /// `None` takes the trap away.
    pub fn cut_after_upload(&self, bytes: Option<u64>) {
        self.link().upload_left = bytes;
    }

    /// Waits until the shared link has had time for these bytes, and does not hang.
    async fn pass(&self, bytes: usize) {
        if let Some(speed) = self.phone.faults.link_bytes_per_second() {
            let takes = Duration::from_secs_f64(bytes as f64 / speed.max(1) as f64);
            let done = {
                let mut link = self.link();
                link.free_at = link.free_at.max(Instant::now()) + takes;
                link.free_at
            };
            tokio::time::sleep_until(done).await;
        }
        self.moving().await;
    }

    fn chunk(&self) -> usize {
        let even = |speed: u64| usize::try_from(speed / CHUNKS_PER_SECOND).unwrap_or(CHUNK_BYTES);
        self.phone.faults.link_bytes_per_second().map_or(CHUNK_BYTES, even).clamp(1, CHUNK_BYTES)
    }

    /// How many of these bytes to the phone get there before the trap of [`Self::cut_after_upload`] closes.
    fn admit(&self, bytes: usize) -> Admitted {
        let mut link = self.link();
        let Some(left) = link.upload_left else { return Admitted::All };
        let after = left.saturating_sub(bytes as u64);
        if after > 0 {
            link.upload_left = Some(after);
            return Admitted::All;
        }
        link.upload_left = None;
        drop(link);
        // Nobody receives only while the rack is being closed.
        let _gone = self.upload_reached.send(());
        Admitted::Part(usize::try_from(left).unwrap_or(bytes))
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Admitted {
    All,
    Part(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    AsUpload,
    No,
}

/// Carries one connection between a client and what listens behind `door`, until either closes, the phone leaves
/// the bus, or it reboots.
pub async fn carry(client: BoxStream, door: Door, cable: Arc<Cable>, attachment: Attachment) {
    let (outside, inside) = tokio::io::duplex(WINDOW_BYTES);
    let phone = Arc::clone(cable.phone());
    let counts = match door {
        Door::Lockdown => Counts::No,
        Door::Service { .. } => Counts::AsUpload,
    };
    let ended = phone.boot_ended();
    let cut = attachment.cut.clone();
    let serving = async move {
        tokio::select! {
            () = cut.cancelled() => {}
            () = ended.cancelled() => {}
            () = door.serve(Box::new(inside), phone) => {}
        }
    };
    // A task of its own: a service may finish its work after the client has gone, and a panic stays in there.
    let _detached = tokio::spawn(serving);

    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_phone, mut to_phone) = tokio::io::split(outside);
    tokio::select! {
        () = attachment.cut.cancelled() => return,
        () = carry_one_way(&mut from_client, &mut to_phone, &cable, counts) => return,
        () = carry_one_way(&mut from_phone, &mut to_client, &cable, Counts::No) => {}
    }
    // The phone closed. A socket closed while bytes of the client wait unread would be reset, and the client would
    // lose the last answer: so wait for the client to close.
    let _closed = to_client.shutdown().await;
    let mut ignored = tokio::io::sink();
    let draining = tokio::io::copy(&mut from_client, &mut ignored);
    let _closed_or_late = tokio::time::timeout(LINGER, draining).await;
}

async fn carry_one_way<R, W>(from: &mut R, to: &mut W, cable: &Cable, counts: Counts)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer[..cable.chunk()]).await else { return };
        cable.pass(read).await;
        let admitted = if counts == Counts::AsUpload { cable.admit(read) } else { Admitted::All };
        let passes = match admitted {
            Admitted::All => read,
            Admitted::Part(bytes) => bytes.min(read),
        };
        if to.write_all(&buffer[..passes]).await.is_err() || to.flush().await.is_err() {
            return;
        }
        if passes < read || matches!(admitted, Admitted::Part(_)) {
            // The phone is about to leave the bus: nothing more may pass.
            return std::future::pending().await;
        }
    }
}
