//! One pretend phone: who it is, what is on it, what state it is in. How clients reach it is told in
//! [`usbmux`](crate::usbmux) and [`lockdown`](crate::lockdown).

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::behave::Processes;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::events::{Event, Events};
use crate::faults::Faults;
use crate::identity::Identity;
use crate::install::Apps;
use crate::lockdown::Lockdown;
use crate::log::LogBus;
use crate::reports::Reports;
use crate::services::{Images, Profiles};

/// How many notifications a slow listener may be behind before it misses some.
const NOTICES_MAX: usize = 64;

/// One pretend phone, shared as `Arc<Phone>` by everything that serves it.
#[derive(Debug)]
pub struct Phone {
    /// Who it is.
    pub identity: Identity,
    /// Its files.
    pub disk: Disk,
    /// Its clock.
    pub clock: Clock,
    /// What is wrong with it.
    pub faults: Faults,
    /// Its system log, for clients.
    pub log: LogBus,
    /// Its installed apps.
    pub apps: Apps,
    /// Its processes.
    pub processes: Processes,
    /// Its crash reports.
    pub reports: Reports,
    /// What really happened, for tests.
    pub events: Events,
    /// What its lockdownd remembers.
    pub lockdown: Lockdown,
    /// Its mounted disk images.
    pub images: Images,
    /// Its provisioning profiles.
    pub profiles: Profiles,
    state: Mutex<State>,
    notices: broadcast::Sender<String>,
    power: mpsc::UnboundedSender<PowerRequest>,
}

/// What of a phone changes while it lives.
#[derive(Debug, Clone)]
pub struct State {
    /// The name its owner gave it.
    pub name: String,
    /// Its battery.
    pub battery: Battery,
    /// How hot it says it is.
    pub thermal: Thermal,
    /// The passcode.
    pub passcode: Passcode,
    /// What its owner answers to "Trust This Computer?".
    pub trust: Trust,
    /// Whether Developer Mode is on (iOS 16 and newer ask for it).
    pub developer_mode: bool,
    /// The current boot.
    pub boot: Boot,
}

/// The battery of a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Battery {
    /// 0 to 100.
    pub percent: u8,
    /// Whether the cable charges it.
    pub charging: bool,
    /// Hundredths of a degree Celsius, as the registry tells it.
    pub temperature_centidegrees: i32,
    /// How often it was charged.
    pub cycles: u32,
    /// Capacity when new, in milliampere hours.
    pub design_capacity_mah: u32,
    /// Capacity now, in milliampere hours.
    pub full_capacity_mah: u32,
}

/// `ProcessInfo.thermalState` by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thermal {
    /// Cool.
    Nominal,
    /// Warm.
    Fair,
    /// Hot: the system slows down.
    Serious,
    /// Too hot to go on.
    Critical,
}

/// The passcode of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passcode {
    /// None set: never locked.
    None,
    /// Set, and the phone is unlocked.
    Unlocked,
    /// Set, and the phone is locked: lockdown answers `PasswordProtected`.
    Locked,
}

/// What the owner of a phone answers to "Trust This Computer?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// "Trust".
    Granted,
    /// Nothing yet: the dialog is on the screen.
    Pending,
    /// "Don't Trust".
    Denied,
}

/// One boot of a phone.
#[derive(Debug, Clone)]
pub struct Boot {
    /// A new random name at each boot.
    pub id: String,
    /// When, by the phone's clock.
    pub at: Timestamp,
    /// Cancelled when this boot ends: whatever runs on the phone (processes, timers) ends with it.
    pub ended: CancellationToken,
}

impl Boot {
    /// A new boot at this time of the phone's clock.
    #[must_use]
    pub fn start(at: Timestamp) -> Self {
        Self { id: random_uuid(), at, ended: CancellationToken::new() }
    }
}

/// What a service asks of the phone's power, carried out by whoever holds the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerRequest {
    /// Leave the bus, and come back with a new boot.
    Restart,
    /// Leave the bus and stay away.
    Shutdown,
    /// The screen goes dark; nothing else is seen on the wire.
    Sleep,
    /// Leave the bus into recovery mode, where usbmuxd does not see it.
    Recovery,
}

impl Phone {
    /// A healthy, unlocked, charged phone whose files are below `root`. The receiver gets what services ask of its
    /// power.
    ///
    /// # Errors
    /// When its folders cannot be made.
    pub fn new(
        identity: Identity,
        root: PathBuf,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<PowerRequest>)> {
        let (power, requests) = mpsc::unbounded_channel();
        let clock = Clock::default();
        let state = State {
            name: format!("Simulated {}", identity.model.marketing_name),
            battery: Battery {
                percent: 87,
                charging: true,
                temperature_centidegrees: 2910,
                cycles: 214,
                design_capacity_mah: 3227,
                full_capacity_mah: 2995,
            },
            thermal: Thermal::Nominal,
            passcode: Passcode::None,
            trust: Trust::Granted,
            developer_mode: true,
            boot: Boot::start(clock.now()),
        };
        let phone = Self {
            disk: Disk::create(root)?,
            identity,
            clock,
            faults: Faults::default(),
            log: LogBus::default(),
            apps: Apps::default(),
            processes: Processes::default(),
            reports: Reports::default(),
            events: Events::default(),
            lockdown: Lockdown::default(),
            images: Images::default(),
            profiles: Profiles::default(),
            state: Mutex::new(state),
            notices: broadcast::Sender::new(NOTICES_MAX),
            power,
        };
        Ok((phone, requests))
    }

    /// A copy of the state as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Changes the state. The closure must not call back into this phone's state.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.lock())
    }

    /// Cancelled when the current boot ends; tasks that stand for something running on the phone end with it.
    #[must_use]
    pub fn boot_ended(&self) -> CancellationToken {
        self.lock().boot.ended.clone()
    }

    /// Ends the current boot with everything that runs, and begins the next. A passcode must be entered again.
    pub fn boot_again(&self) {
        let next = Boot::start(self.clock.now());
        let boot_id = next.id.clone();
        let last = self.change(|state| {
            if state.passcode == Passcode::Unlocked {
                state.passcode = Passcode::Locked;
            }
            std::mem::replace(&mut state.boot, next)
        });
        last.ended.cancel();
        self.lockdown.ports.close_all();
        self.events.record(Event::Booted { boot_id });
    }

    /// Posts a notification, such as `com.apple.mobile.application_installed`.
    pub fn post(&self, notice: &str) {
        // Nobody listening is the usual case.
        let _listeners = self.notices.send(notice.to_owned());
    }

    /// Every notification posted from now on.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<String> {
        self.notices.subscribe()
    }

    /// Asks for a change of the phone's power.
    pub fn ask_power(&self, request: PowerRequest) {
        // The other end is gone only when the whole rack is being closed.
        let _gone = self.power.send(request);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A random UUID (version 4) in capitals, as iOS writes it.
#[must_use]
pub fn random_uuid() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness from the system all UUIDs would be equal, which breaks nothing but uniqueness.
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "cannot get random bytes; a UUID will not be unique");
    }
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}
