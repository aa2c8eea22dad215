//! The table of processes of one phone. Launching and ending apps is in [`launch`](super::launch()).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

use super::behaviour::{Behaviour, Launch};
use crate::install::InstalledApp;
use crate::phone::{Boot, Phone};

/// SIGKILL.
pub const SIGKILL: i32 = 9;

/// How far a listener for ends may fall behind before it misses some.
pub const NOTICES_MAX: usize = 256;

/// The first pid that an app gets; the system's processes are below.
const FIRST_APP_PID: u32 = 300;

/// What runs on every phone, in the order in which it is started.
const SYSTEM: &[(u32, &str)] = &[
    (1, "/sbin/launchd"),
    (31, "/usr/libexec/logd"),
    (32, "/usr/libexec/UserEventAgent"),
    (34, "/usr/libexec/fseventsd"),
    (36, "/usr/libexec/lockdownd"),
    (38, "/usr/libexec/runningboardd"),
    (41, "/usr/sbin/mediaserverd"),
    (55, "/usr/libexec/backboardd"),
    (58, "/System/Library/CoreServices/SpringBoard.app/SpringBoard"),
    (60, "/usr/libexec/installd"),
    (63, "/usr/sbin/wifid"),
    (71, "/usr/libexec/thermalmonitord"),
    (84, "/usr/libexec/locationd"),
    (97, "/usr/sbin/notifyd"),
    (103, "/System/Library/CoreServices/ReportCrash"),
    (118, "/System/Library/PrivateFrameworks/OSAnalytics.framework/osanalyticshelper"),
    (142, "/usr/libexec/nsurlsessiond"),
    (167, "/Developer/Library/PrivateFrameworks/DVTInstrumentsFoundation.framework/DTServiceHub"),
];

/// One running process.
#[derive(Debug)]
pub struct Process {
    /// Its number; new at each launch, and growing until the phone starts again.
    pub pid: u32,
    /// The name of its executable.
    pub name: String,
    /// Where the phone says that its executable is.
    pub path: String,
    /// When it was started, by the phone's clock.
    pub started: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// Tells this process from one of an earlier boot with the same pid.
    pub(super) token: u64,
    pub(super) orders: watch::Sender<Order>,
}

/// What a process is.
#[derive(Debug)]
pub enum Kind {
    /// It comes with iOS.
    System,
    /// An app.
    App {
        /// Which.
        app: Arc<InstalledApp>,
        /// The how manieth launch of this app on this phone, from 0.
        number: u64,
        /// What it does.
        script: Launch,
    },
}

/// What somebody wants of a running app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Suspended,
    Run,
    Die { signal: i32 },
}

/// A process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub pid: u32,
    /// The name of its executable.
    pub name: String,
    /// Which app.
    pub bundle_id: String,
    /// How.
    pub how: How,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It called `exit`.
    Exited(i32),
    /// It died of a signal, its own or the kernel's.
    Signalled(i32),
    /// A client of the phone killed it with this signal.
    KilledByClient(i32),
    /// The phone started again or was switched off.
    PowerLost,
}

/// The processes that run on one phone now, and what its apps do when they are launched.
#[derive(Debug)]
pub struct Processes {
    inner: Mutex<Inner>,
    launches: AtomicU64,
    ended: broadcast::Sender<Ended>,
}

#[derive(Debug, Default)]
struct Inner {
    boot_id: String,
    last_pid: u32,
    table: BTreeMap<u32, Arc<Process>>,
    behaviours: BTreeMap<String, Behaviour>,
    launch_counts: BTreeMap<String, u64>,
}

impl Default for Processes {
    fn default() -> Self {
        let ended = broadcast::Sender::new(NOTICES_MAX);
        Self { inner: Mutex::default(), launches: AtomicU64::new(0), ended }
    }
}

impl Processes {
    /// Says what the launches of an app do from now on; their numbers begin at 0 again.
    pub fn set_behaviour(&self, bundle_id: &str, behaviour: Behaviour) {
        let mut inner = self.lock();
        inner.launch_counts.remove(bundle_id);
        inner.behaviours.insert(bundle_id.to_owned(), behaviour);
    }

    /// Every end of a process from now on.
    #[must_use]
    pub fn ends(&self) -> broadcast::Receiver<Ended> {
        self.ended.subscribe()
    }

    /// How often any app was launched since this phone was made.
    #[must_use]
    pub fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// Puts a new process of an app into the table.
    pub(super) fn start(&self, phone: &Phone, app: Arc<InstalledApp>, order: Order) -> Arc<Process> {
        let boot = phone.state().boot;
        let mut inner = self.lock();
        inner.turn_to(&boot);
        inner.last_pid += 1;
        let count = inner.launch_counts.entry(app.bundle_id.clone()).or_default();
        let number = *count;
        *count += 1;
        let script = inner
            .behaviours
            .get(&app.bundle_id)
            .map(|it| it.launch_of(number, &app.build))
            .unwrap_or_default();
        let token = self.launches.fetch_add(1, Ordering::Relaxed) + 1;
        let process = Arc::new(Process {
            pid: inner.last_pid,
            name: app.executable_name.clone(),
            path: app.executable_path(),
            started: phone.clock.now(),
            kind: Kind::App { app, number, script },
            token,
            orders: watch::Sender::new(order),
        });
        inner.table.insert(process.pid, Arc::clone(&process));
        process
    }

    /// Takes a process that has ended out of the table.
    pub(super) fn remove(&self, process: &Process) {
        let mut inner = self.lock();
        if inner.table.get(&process.pid).is_some_and(|now| now.token == process.token) {
            inner.table.remove(&process.pid);
        }
    }

    /// Tells everybody who waits that a process has ended.
    pub(super) fn tell_end(&self, ended: Ended) {
        // Nobody waiting is normal.
        let _listeners = self.ended.send(ended);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes the table that of this boot: a new boot has nothing but the system's processes.
    fn turn_to(&mut self, boot: &Boot) {
        if self.boot_id == boot.id {
            return;
        }
        self.boot_id.clone_from(&boot.id);
        self.last_pid = FIRST_APP_PID;
        self.table = SYSTEM.iter().map(|row| (row.0, Arc::new(Process::system(*row, boot.at)))).collect();
    }
}

/// What runs on a phone now, in order of pids.
#[must_use]
pub fn processes(phone: &Phone) -> Vec<Arc<Process>> {
    let boot = phone.state().boot;
    let mut inner = phone.processes.lock();
    inner.turn_to(&boot);
    inner.table.values().cloned().collect()
}

/// The process with this number, when it runs now.
#[must_use]
pub fn process(phone: &Phone, pid: u32) -> Option<Arc<Process>> {
    let boot = phone.state().boot;
    let mut inner = phone.processes.lock();
    inner.turn_to(&boot);
    inner.table.get(&pid).cloned()
}

/// The running process of an app.
#[must_use]
pub fn find_app(phone: &Phone, bundle_id: &str) -> Option<Arc<Process>> {
    processes(phone).into_iter().find(|process| process.bundle_id() == Some(bundle_id))
}

impl Process {
    /// The bundle id, when it is an app.
    #[must_use]
    pub fn bundle_id(&self) -> Option<&str> {
        match &self.kind {
            Kind::System => None,
            Kind::App { app, .. } => Some(&app.bundle_id),
        }
    }

    /// The app, when it is one.
    #[must_use]
    pub fn app(&self) -> Option<&Arc<InstalledApp>> {
        match &self.kind {
            Kind::System => None,
            Kind::App { app, .. } => Some(app),
        }
    }

    fn system((pid, path): (u32, &str), started: Timestamp) -> Self {
        Self {
            pid,
            name: path.rsplit('/').next().unwrap_or_default().to_owned(),
            path: path.to_owned(),
            started,
            kind: Kind::System,
            token: 0,
            orders: watch::Sender::new(Order::Run),
        }
    }
}

impl How {
    /// The exit code, when it exited by itself.
    #[must_use]
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            Self::Signalled(_) | Self::KilledByClient(_) | Self::PowerLost => None,
        }
    }

    /// The signal, when it died of one.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Exited(_) => None,
            Self::Signalled(signal) | Self::KilledByClient(signal) => Some(signal),
            Self::PowerLost => Some(SIGKILL),
        }
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Signalled(signal) => write!(f, "signal {signal}"),
            Self::KilledByClient(signal) => write!(f, "killed by client with signal {signal}"),
            Self::PowerLost => write!(f, "the phone went down"),
        }
    }
}
