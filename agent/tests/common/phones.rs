//! Simulated phones behind the `Phone` trait: what they do is scripted, what was done to them is written down.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_device::{
    AppProcess, AskForTrust, Attachment, Fault, FaultKind, Finder, FinderEvent, InstallProgress,
    InstallSource, Launch, Phone, Watched,
};
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{BundleId, Udid};
use holdfast_wire::phone::{InstalledApp, Pairing, PhoneFacts};
use holdfast_wire::time::Time;
use tokio::sync::{Notify, broadcast, mpsc};

/// How the next launch goes.
#[derive(Debug, Clone)]
pub(crate) enum Behave {
    Stay,
    Exit,
    /// It dies at once and writes a report of this name.
    Crash(&'static str),
    Hang,
    /// The code that talks to the phone panics.
    Panic,
    /// It is watched until the phone is told to go on.
    Linger,
}

#[derive(Debug)]
pub(crate) struct State {
    udid: Udid,
    number: u64,
    here: bool,
    pub(crate) pairing: Pairing,
    /// Its clock minus the rack's; none when it does not tell.
    pub(crate) clock_offset_ms: Option<i64>,
    pub(crate) apps: Vec<InstalledApp>,
    pub(crate) files: BTreeMap<String, (Vec<u8>, u64)>,
    pub(crate) script: VecDeque<Behave>,
    pub(crate) log: Vec<String>,
    running: BTreeMap<u32, Behave>,
    next_pid: u32,
    /// Files written so far: the time of the next.
    writes: u64,
}

/// A simulated phone that tests hold on to.
#[derive(Debug, Clone)]
pub(crate) struct Pretend {
    pub(crate) state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    /// Its log.
    lines: broadcast::Sender<String>,
}

/// One plugging-in of a simulated phone.
pub(crate) struct Handle {
    udid: Udid,
    number: u64,
    phone: Pretend,
}

/// A simulated USB bus.
#[derive(Clone)]
pub(crate) struct Bus {
    phones: Arc<Mutex<BTreeMap<Udid, Pretend>>>,
    listener: Arc<Mutex<Option<mpsc::UnboundedSender<FinderEvent>>>>,
    numbers: Arc<Mutex<u64>>,
}

pub(crate) struct BusFinder {
    bus: Bus,
    events: mpsc::UnboundedReceiver<FinderEvent>,
}

impl Bus {
    pub(crate) fn new() -> Self {
        Self { phones: Arc::default(), listener: Arc::default(), numbers: Arc::default() }
    }

    pub(crate) fn plug(&self, udid: &str) -> Pretend {
        let udid: Udid = udid.parse().unwrap();
        let mut numbers = self.numbers.lock().unwrap();
        *numbers += 1;
        let mut phones = self.phones.lock().unwrap();
        let pretend = phones.entry(udid.clone()).or_insert_with(|| Pretend::new(udid.clone())).clone();
        {
            let mut state = pretend.state.lock().unwrap();
            state.number = *numbers;
            state.here = true;
        }
        self.tell(FinderEvent::Attached(attachment(&udid, *numbers)));
        pretend
    }

    pub(crate) fn unplug(&self, phone: &Pretend) {
        let (udid, number) = {
            let mut state = phone.state.lock().unwrap();
            state.here = false;
            (state.udid.clone(), state.number)
        };
        phone.changed.notify_waiters();
        self.tell(FinderEvent::Detached { udid, number });
    }

    /// A finder, as a new start of usbmuxd's client has it: every phone that is here is told first.
    pub(crate) fn finder(&self) -> BusFinder {
        let (tell, events) = mpsc::unbounded_channel();
        for pretend in self.phones.lock().unwrap().values() {
            let state = pretend.state.lock().unwrap();
            if state.here {
                tell.send(FinderEvent::Attached(attachment(&state.udid, state.number))).unwrap();
            }
        }
        *self.listener.lock().unwrap() = Some(tell);
        BusFinder { bus: self.clone(), events }
    }

    fn tell(&self, event: FinderEvent) {
        if let Some(listener) = &*self.listener.lock().unwrap() {
            let _no_agent_runs = listener.send(event);
        }
    }
}

fn attachment(udid: &Udid, number: u64) -> Attachment {
    Attachment { udid: udid.clone(), number, slot: "1-1".parse().unwrap(), speed_bps: Some(480_000_000) }
}

impl Finder for BusFinder {
    type Phone = Handle;

    async fn next(&mut self) -> FinderEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    fn open(&self, attachment: &Attachment) -> Result<Handle, Fault> {
        let phones = self.bus.phones.lock().unwrap();
        let phone = phones.get(&attachment.udid).ok_or_else(|| Fault::new("open", FaultKind::Gone))?;
        Ok(Handle { udid: attachment.udid.clone(), number: attachment.number, phone: phone.clone() })
    }
}

impl Pretend {
    fn new(udid: Udid) -> Self {
        let state = State {
            udid,
            number: 0,
            here: false,
            pairing: Pairing::Paired,
            clock_offset_ms: None,
            apps: Vec::new(),
            files: BTreeMap::new(),
            script: VecDeque::new(),
            log: Vec::new(),
            running: BTreeMap::new(),
            next_pid: 100,
            writes: 0,
        };
        let lines = broadcast::Sender::new(64);
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::default(), lines }
    }

    pub(crate) fn script(&self, script: &[Behave]) {
        self.state.lock().unwrap().script = script.iter().cloned().collect();
    }

    /// Writes a report, as the phone itself does.
    pub(crate) fn write_report(&self, path: &str, pid: u32) {
        self.write(path, &format!(
            "{{\"app_name\":\"App\",\"bundleID\":\"org.example.app\",\"bug_type\":\"309\",\"incident_id\":\"{path}\"}}\n{{\"pid\":{pid},\"procName\":\"App\"}}\n"
        ));
    }

    /// Writes a report of another process that ended at this time of the phone's clock.
    pub(crate) fn write_report_of(&self, path: &str, process: &str, happened_at: Time) {
        self.write(path, &format!(
            "{{\"app_name\":\"{process}\",\"bug_type\":\"309\",\"incident_id\":\"{path}\"}}\n{{\"pid\":7,\"procName\":\"{process}\",\"captureTime\":\"{happened_at}\"}}\n"
        ));
    }

    /// Puts a file into the crash folder, or another in its place.
    pub(crate) fn write(&self, path: &str, body: &str) {
        let mut state = self.state.lock().unwrap();
        state.writes += 1;
        let time = state.writes;
        state.files.insert(path.to_owned(), (body.as_bytes().to_vec(), time));
    }

    /// Whatever lingers has lived long enough.
    pub(crate) fn go_on(&self) {
        self.state.lock().unwrap().running.values_mut().for_each(|behave| *behave = Behave::Stay);
        self.changed.notify_waiters();
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    pub(crate) fn count(&self, word: &str) -> usize {
        self.log().iter().filter(|line| line.starts_with(word)).count()
    }

    pub(crate) fn files(&self) -> Vec<String> {
        self.state.lock().unwrap().files.keys().cloned().collect()
    }

    pub(crate) fn running(&self) -> usize {
        self.state.lock().unwrap().running.len()
    }
}

impl Handle {
    fn here(&self, operation: &str) -> Result<std::sync::MutexGuard<'_, State>, Fault> {
        let state = self.phone.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.here && state.number == self.number {
            Ok(state)
        } else {
            Err(Fault::new(operation, FaultKind::Gone))
        }
    }
}

impl Phone for Handle {
    fn udid(&self) -> &Udid {
        &self.udid
    }

    async fn pairing(&self, _ask: AskForTrust) -> Result<Pairing, Fault> {
        Ok(self.here("pair")?.pairing)
    }

    async fn facts(&self) -> Result<PhoneFacts, Fault> {
        let state = self.here("read facts")?;
        let facts = holdfast_agent::phone::facts_unknown(&self.udid, None).unwrap();
        let (apps, clock_offset_ms) = (state.apps.clone(), state.clock_offset_ms);
        Ok(PhoneFacts { pairing: state.pairing, apps, clock_offset_ms, simulated: true, ..facts })
    }

    async fn installed(&self, app: &BundleId) -> Result<Option<InstalledApp>, Fault> {
        Ok(self.here("look up")?.apps.iter().find(|known| known.bundle_id == *app).cloned())
    }

    async fn install(
        &self,
        source: &InstallSource,
        progress: &(dyn Fn(InstallProgress) + Send + Sync),
    ) -> Result<(), Fault> {
        assert!(source.archive.exists(), "the archive is on the rack");
        progress(InstallProgress::Installing { percent: 50 });
        let mut state = self.here("install")?;
        state.log.push("install".to_owned());
        state.apps = vec![InstalledApp {
            bundle_id: source.bundle_id.clone(),
            version: "1.0".to_owned(),
            build_number: "1".to_owned(),
        }];
        Ok(())
    }

    async fn uninstall(&self, app: &BundleId) -> Result<(), Fault> {
        self.here("uninstall")?.apps.retain(|known| known.bundle_id != *app);
        Ok(())
    }

    async fn launch(&self, launch: &Launch) -> Result<AppProcess, Fault> {
        let (behave, pid) = {
            let mut state = self.here("launch")?;
            state.log.push("launch".to_owned());
            state.next_pid += 1;
            let behave = state.script.pop_front().unwrap_or(Behave::Stay);
            let pid = state.next_pid;
            state.running.insert(pid, behave.clone());
            (behave, pid)
        };
        match behave {
            Behave::Hang => {
                tokio::time::sleep(launch.timeout).await;
                let waited_ms = u64::try_from(launch.timeout.as_millis()).unwrap();
                return Err(Fault::new("launch", FaultKind::Silent { waited_ms }));
            }
            Behave::Panic => std::panic::resume_unwind(Box::new("told so")),
            Behave::Crash(path) => {
                self.phone.write_report(path, pid);
                self.here("launch")?.running.remove(&pid);
            }
            Behave::Exit => {
                self.here("launch")?.running.remove(&pid);
            }
            Behave::Stay | Behave::Linger => {}
        }
        Ok(AppProcess { pid, name: "App".to_owned() })
    }

    async fn watch(&self, pid: u32, limit: Duration) -> Result<Watched, Fault> {
        let behave = self.here("watch")?.running.get(&pid).cloned();
        match behave {
            None => Ok(Watched::Ended { alive: Duration::from_millis(1) }),
            Some(Behave::Linger) => loop {
                let changed = self.phone.changed.notified();
                let is_told_to_go_on = !matches!(self.here("watch")?.running.get(&pid), Some(Behave::Linger));
                if is_told_to_go_on {
                    return Ok(Watched::Alive);
                }
                changed.await;
            },
            Some(_) => {
                tokio::time::sleep(limit).await;
                Ok(Watched::Alive)
            }
        }
    }

    async fn kill(&self, pid: u32) -> Result<(), Fault> {
        let mut state = self.here("kill")?;
        state.log.push("kill".to_owned());
        state.running.remove(&pid);
        Ok(())
    }

    async fn processes(&self, _app: &BundleId) -> Result<Vec<AppProcess>, Fault> {
        let state = self.here("list processes")?;
        Ok(state.running.keys().map(|pid| AppProcess { pid: *pid, name: "App".to_owned() }).collect())
    }

    async fn crash_files(&self) -> Result<Vec<CrashFile>, Fault> {
        let state = self.here("list crash files")?;
        let file = |(path, (bytes, time)): (&String, &(Vec<u8>, u64))| CrashFile {
            path: path.clone(),
            size_bytes: bytes.len() as u64,
            modified_ns: *time,
        };
        Ok(state.files.iter().map(file).collect())
    }

    async fn pull_crash(&self, file: &CrashFile, target: &Path) -> Result<(), Fault> {
        let mut state = self.here("pull")?;
        state.log.push(format!("pull {}", file.path));
        let (bytes, _) =
            state.files.get(&file.path).ok_or_else(|| Fault::new("pull", FaultKind::FileMissing))?;
        std::fs::write(target, bytes).unwrap();
        Ok(())
    }

    async fn delete_crash(&self, file: &CrashFile) -> Result<(), Fault> {
        let mut state = self.here("delete")?;
        state.log.push(format!("delete {}", file.path));
        state.files.remove(&file.path);
        Ok(())
    }

    async fn crash_log(&self, tell: &(dyn Fn(&str) + Send + Sync)) -> Result<(), Fault> {
        let mut lines = self.phone.lines.subscribe();
        while let Ok(line) = lines.recv().await {
            tell(&line);
        }
        Ok(())
    }

    async fn restart(&self) -> Result<(), Fault> {
        Ok(())
    }
}
