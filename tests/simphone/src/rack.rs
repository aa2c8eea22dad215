//! A rack of pretend phones: what is on its bus, who listens, and the sockets that lead there. One phone's place is
//! in [`seat`](crate::seat), one client's talk in [`usbmux`](crate::usbmux).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plist::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cable::{Attachment, Cable};
use crate::control;
use crate::framing::dict;
use crate::inflict::inflict;
use crate::lockdown;
use crate::phone::Phone;
use crate::plan::{Presence, build};
use crate::seat::{self, Inbox, Order, Seat};
use crate::service::BoxStream;
use crate::trigger;
use crate::usbmux::{self, PairRecords};

pub use crate::plan::{Pairedness, PhonePlan, RackConfig};

/// How many hotplug events a slow listener may be behind before its connection is closed.
const HOTPLUG_MAX: usize = 1_024;

/// USB gives a bus 127 addresses; a rack spreads its phones so that each bus has a few.
const PHONES_PER_BUS: usize = 16;

/// USB addresses go from 1 to this.
const ADDRESS_MAX: u32 = 127;

/// What USB 2 negotiates, in bits a second.
const SPEED_USB2: u64 = 480_000_000;

/// Something happened on the bus.
#[derive(Debug, Clone)]
pub enum Hotplug {
    /// A phone came.
    Attached(Present),
    /// A phone left.
    Detached {
        /// The number it had.
        device_id: u32,
    },
    /// A computer paired with a phone.
    Paired {
        /// Its number.
        device_id: u32,
    },
}

/// A phone on the bus, as usbmuxd tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Another at each attach.
    pub device_id: u32,
    /// `bus << 16 | address`.
    pub location_id: u32,
    /// Which phone.
    pub udid: String,
    /// The negotiated speed.
    pub speed_bits_per_second: u64,
}

/// A rack of pretend phones, shared by everything that serves it.
#[derive(Debug)]
pub struct Rack {
    seats: Vec<Seat>,
    records: PairRecords,
    bus: Mutex<Bus>,
    hotplug: broadcast::Sender<Hotplug>,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Bus {
    last_device_id: u32,
    /// By the position of the seat.
    present: BTreeMap<usize, Attachment>,
    last_listener: u32,
    listeners: BTreeMap<u32, (String, String)>,
}

/// A rack that serves until it is stopped or dropped.
#[derive(Debug)]
pub struct RunningRack {
    /// The rack itself, for looking and for faults.
    pub rack: Arc<Rack>,
    /// Where it listens, when it was told to listen on TCP.
    pub address: Option<SocketAddr>,
    tasks: TaskTracker,
    socket_files: Vec<PathBuf>,
    /// Removed with the rack when the caller named no folder.
    _own_folder: Option<tempfile::TempDir>,
}

/// A rack cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the rack of simulated phones while {doing}")]
pub struct StartError {
    /// What was being done.
    pub doing: String,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

impl StartError {
    /// For `map_err`: names what was being done.
    pub fn when(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self { doing, source }
    }
}

impl Rack {
    /// Builds the phones, plugs them in and serves. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when a folder cannot be made or a socket cannot be bound.
    pub async fn start(config: RackConfig) -> Result<RunningRack, StartError> {
        let own_folder = match config.data {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(StartError::when("making a folder for the phones"))?),
        };
        let named = config.data.clone().unwrap_or_default();
        let folder = own_folder.as_ref().map_or(named, |own| own.path().to_owned());
        let (rack, inboxes) = Self::build(&config, &folder)?;
        let tasks = TaskTracker::new();
        for (position, inbox) in inboxes.into_iter().enumerate() {
            tasks.spawn(seat::run(Arc::clone(&rack), position, inbox));
        }
        let mut running =
            RunningRack { rack, address: None, tasks, socket_files: Vec::new(), _own_folder: own_folder };
        for (seat, plan) in running.rack.seats.iter().zip(&config.phones) {
            for (bundle_id, behaviour) in &config.apps {
                seat.phone().processes.set_behaviour(bundle_id, behaviour.clone());
            }
            for fault in &plan.begins_with {
                let wrong = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
                let doing = format!("preparing phone {}", seat.phone().identity.udid);
                inflict(&running.rack, seat, fault).await.map_err(wrong).map_err(StartError::when(doing))?;
            }
            if plan.presence == Presence::Attached {
                seat.order(Order::Attach).await;
            }
        }
        running.listen(&config).await?;
        running.plan_faults(&config);
        Ok(running)
    }

    fn build(config: &RackConfig, folder: &std::path::Path) -> Result<(Arc<Self>, Vec<Inbox>), StartError> {
        let records = PairRecords::open(folder.join("pairings"))
            .map_err(StartError::when("reading the pair records"))?;
        let mut seats = Vec::new();
        let mut inboxes = Vec::new();
        for (position, plan) in config.phones.iter().enumerate() {
            let (phone, power) = build(position, plan, folder, &records)?;
            let (seat, inbox) = Seat::new(Arc::new(phone), power);
            seats.push(seat);
            inboxes.push(inbox);
        }
        let rack = Self {
            seats,
            records,
            bus: Mutex::default(),
            hotplug: broadcast::Sender::new(HOTPLUG_MAX),
            closing: CancellationToken::new(),
        };
        Ok((Arc::new(rack), inboxes))
    }

    /// Its places, in order.
    #[must_use]
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// The place of the phone with this UDID.
    #[must_use]
    pub fn seat(&self, udid: &str) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.phone().identity.udid == udid)
    }

    /// The computer's pair records.
    #[must_use]
    pub fn records(&self) -> &PairRecords {
        &self.records
    }

    /// The name of the computer's usbmuxd.
    #[must_use]
    pub fn buid(&self) -> &'static str {
        lockdown::SYSTEM_BUID
    }

    /// Cancelled when the rack stops.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// The phones on the bus, in the order of their numbers.
    #[must_use]
    pub fn present(&self) -> Vec<Present> {
        self.present_on(&self.bus())
    }

    /// The stay of a phone on the bus, by the position of its seat.
    #[must_use]
    pub fn attachment_at(&self, position: usize) -> Option<Attachment> {
        self.bus().present.get(&position).cloned()
    }

    /// The cable and stay of the phone with this number.
    #[must_use]
    pub fn attachment(&self, device_id: u32) -> Option<(Arc<Cable>, Attachment)> {
        let bus = self.bus();
        let (position, attachment) =
            bus.present.iter().find(|(_, attachment)| attachment.device_id == device_id)?;
        Some((Arc::clone(self.seats[*position].cable()), attachment.clone()))
    }

    /// Puts the phone of a seat on the bus; `None` when it is there already.
    pub fn attach(&self, position: usize) -> Option<u32> {
        let mut bus = self.bus();
        if bus.present.contains_key(&position) {
            return None;
        }
        bus.last_device_id += 1;
        let device_id = bus.last_device_id;
        let location_id = free_location(&bus, position, device_id);
        let attachment = Attachment { device_id, location_id, cut: CancellationToken::new() };
        let present = self.describe(position, &attachment);
        bus.present.insert(position, attachment);
        // Sent under the lock, so that a new listener sees each phone once. Nobody listening is fine.
        let _listeners = self.hotplug.send(Hotplug::Attached(present));
        Some(device_id)
    }

    /// Takes the phone of a seat off the bus and cuts its connections; `false` when it is not there.
    pub fn detach(&self, position: usize) -> bool {
        let mut bus = self.bus();
        let Some(attachment) = bus.present.remove(&position) else { return false };
        attachment.cut.cancel();
        let _listeners = self.hotplug.send(Hotplug::Detached { device_id: attachment.device_id });
        true
    }

    /// Tells listeners that a computer has paired with a phone.
    pub fn announce_paired(&self, udid: &str) {
        if let Some(present) = self.present().into_iter().find(|present| present.udid == udid) {
            let _listeners = self.hotplug.send(Hotplug::Paired { device_id: present.device_id });
        }
    }

    /// Events from now on and the phones on the bus now, without a gap or a repeat between the two.
    pub fn listen(
        self: &Arc<Self>,
        program: &str,
        bundle: &str,
    ) -> (broadcast::Receiver<Hotplug>, Vec<Present>, Listening) {
        let mut bus = self.bus();
        bus.last_listener += 1;
        let number = bus.last_listener;
        bus.listeners.insert(number, (program.to_owned(), bundle.to_owned()));
        let present = self.present_on(&bus);
        (self.hotplug.subscribe(), present, Listening { rack: Arc::clone(self), number })
    }

    /// Who listens, as `ListListeners` tells it.
    #[must_use]
    pub fn listeners(&self) -> Vec<Value> {
        let entry = |(number, (program, bundle)): (&u32, &(String, String))| {
            dict([
                ("Blacklisted", false.into()),
                ("BundleID", bundle.as_str().into()),
                ("ConnType", 0_u32.into()),
                ("ID String", format!("{number}-{program}").into()),
                ("ProgName", program.as_str().into()),
            ])
        };
        self.bus().listeners.iter().map(entry).collect()
    }

    fn present_on(&self, bus: &Bus) -> Vec<Present> {
        let mut present: Vec<Present> =
            bus.present.iter().map(|(position, attachment)| self.describe(*position, attachment)).collect();
        present.sort_by_key(|phone| phone.device_id);
        present
    }

    fn describe(&self, position: usize, attachment: &Attachment) -> Present {
        Present {
            device_id: attachment.device_id,
            location_id: attachment.location_id,
            udid: self.seats[position].phone().identity.udid.clone(),
            speed_bits_per_second: SPEED_USB2,
        }
    }

    fn bus(&self) -> MutexGuard<'_, Bus> {
        self.bus.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listening client; it is forgotten when this is dropped.
#[derive(Debug)]
pub struct Listening {
    rack: Arc<Rack>,
    number: u32,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.rack.bus().listeners.remove(&self.number);
    }
}

impl RunningRack {
    /// The phones, in the order of their places.
    pub fn phones(&self) -> impl Iterator<Item = &Arc<Phone>> {
        self.rack.seats().iter().map(Seat::phone)
    }

    /// Stops serving, cuts every connection and waits until all is closed.
    pub async fn stop(self) {
        self.rack.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn listen(&mut self, config: &RackConfig) -> Result<(), StartError> {
        if let Some(wanted) = config.listen {
            let doing = format!("listening on {wanted}");
            let listener = TcpListener::bind(wanted).await.map_err(StartError::when(doing))?;
            let address = listener.local_addr().map_err(StartError::when("asking for the bound address"))?;
            self.address = Some(address);
            let rack = Arc::clone(&self.rack);
            self.tasks.spawn(until_closing(Arc::clone(&rack), async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            // Small packets go back and forth; without this each waits for the one before.
                            let _unsupported = stream.set_nodelay(true);
                            serve(&rack, Box::new(stream));
                        }
                        Err(error) => pause_after(&error).await,
                    }
                }
            }));
        }
        if let Some(path) = &config.socket {
            self.accept_unix(path, serve)?;
        }
        if let Some(path) = &config.control {
            self.accept_unix(path, serve_control)?;
        }
        Ok(())
    }

    fn accept_unix(&mut self, path: &PathBuf, serve: fn(&Arc<Rack>, BoxStream)) -> Result<(), StartError> {
        let listener = self.bind_unix(path)?;
        let rack = Arc::clone(&self.rack);
        self.tasks.spawn(until_closing(Arc::clone(&rack), async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => serve(&rack, Box::new(stream)),
                    Err(error) => pause_after(&error).await,
                }
            }
        }));
        Ok(())
    }

    fn plan_faults(&self, config: &RackConfig) {
        for planned in &config.faults {
            let positions = match planned.phone {
                Some(position) => position..position + 1,
                None => 0..self.rack.seats.len(),
            };
            for position in positions {
                let rack = Arc::clone(&self.rack);
                self.tasks.spawn(trigger::run(rack, position, planned.when.clone(), planned.inflict.clone()));
            }
        }
    }

    fn bind_unix(&mut self, path: &PathBuf) -> Result<UnixListener, StartError> {
        // A file left by a rack that was killed is in the way; one that answers belongs to somebody else.
        if std::os::unix::net::UnixStream::connect(path).is_err() {
            let _not_there = std::fs::remove_file(path);
        }
        let doing = format!("listening on {}", path.display());
        let listener = UnixListener::bind(path).map_err(StartError::when(doing))?;
        self.socket_files.push(path.clone());
        Ok(listener)
    }
}

impl Drop for RunningRack {
    fn drop(&mut self) {
        self.rack.closing.cancel();
        for position in 0..self.rack.seats.len() {
            self.rack.detach(position);
            self.rack.seats[position].phone().boot_ended().cancel();
        }
        for path in &self.socket_files {
            let _gone_already = std::fs::remove_file(path);
        }
    }
}

async fn until_closing(rack: Arc<Rack>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = rack.closing.cancelled() => {}
        () = work => {}
    }
}

fn serve(rack: &Arc<Rack>, client: BoxStream) {
    let rack = Arc::clone(rack);
    tokio::spawn(async move {
        let closing = rack.closing.clone();
        let result = tokio::select! {
            () = closing.cancelled() => Ok(()),
            result = usbmux::serve(client, rack) => result,
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a client of the usbmuxd socket was cut off");
        }
    });
}

fn serve_control(rack: &Arc<Rack>, client: BoxStream) {
    let rack = Arc::clone(rack);
    tokio::spawn(async move {
        let closing = rack.closing.clone();
        let result = tokio::select! {
            () = closing.cancelled() => Ok(()),
            result = control::serve(client, rack) => result,
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a client of the control socket was cut off");
        }
    });
}

/// Without a pause, a process out of file descriptors would spin.
async fn pause_after(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a client; trying again");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

/// Another address at each stay, and never one that another phone of the bus has now.
fn free_location(bus: &Bus, position: usize, device_id: u32) -> u32 {
    let number = u32::try_from(position / PHONES_PER_BUS).unwrap_or(0) + 1;
    let taken = |location: u32| bus.present.values().any(|attachment| attachment.location_id == location);
    (0..ADDRESS_MAX)
        .map(|step| number << 16 | ((device_id + step) % ADDRESS_MAX + 1))
        .find(|location| !taken(*location))
        .unwrap_or(number << 16)
}
