//! The real phone: each operation of the [`Phone`] trait with its fence around it. How an operation is done is told in
//! the modules named after it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdfast_device::{
    AppProcess, AskForTrust, Attachment, Fault, FaultKind, InstallProgress, InstallSource, Launch, Phone,
    Watched,
};
use holdfast_wire::crash::CrashFile;
use holdfast_wire::id::{BundleId, Udid};
use holdfast_wire::phone::{InstalledApp, Pairing, PhoneFacts};
use idevice::Idevice;
use idevice::diagnostics_relay::DiagnosticsRelayClient;

use crate::afc::Afc;
use crate::apps::{self, App};
use crate::dtx::Dtx;
use crate::error::UsbError;
use crate::facts::{self, Place};
use crate::guard::{guarded, heard};
use crate::install::Installer;
use crate::lockdown::{Lockdown, Target};
use crate::muxer::Muxer;
use crate::pairing::TrustQuestion;
use crate::settings::{INSTALL_MAX, LISTEN_MAX, PULL_MAX, UsbSettings};
use crate::talk::Talk;
use crate::{crashes, instruments, log};

/// One plugging-in of a real (or simulated) iPhone.
#[derive(Debug)]
pub struct UsbPhone {
    settings: Arc<UsbSettings>,
    lockdown: Lockdown,
    place: Place,
    trust: TrustQuestion,
    installer: Installer,
    /// An idle connection to instruments. Whoever uses it takes it out, so that a failed one never comes back.
    instruments: Mutex<Option<Dtx>>,
    /// The same to the crash folder: in a storm of files each would else begin with a handshake.
    crash_folder: Mutex<Option<Afc>>,
}

impl UsbPhone {
    pub(crate) fn new(settings: Arc<UsbSettings>, attachment: &Attachment) -> Self {
        let target = Target {
            usbmuxd: settings.usbmuxd.clone(),
            udid: attachment.udid.clone(),
            number: attachment.number,
            label: settings.label.clone(),
        };
        Self {
            settings,
            lockdown: Lockdown::new(target),
            place: Place { slot: attachment.slot.clone(), speed_bps: attachment.speed_bps },
            trust: TrustQuestion::default(),
            installer: Installer::default(),
            instruments: Mutex::default(),
            crash_folder: Mutex::default(),
        }
    }

    /// Runs an operation behind its fence. A phone that seems gone because usbmuxd itself is gone is no fault of
    /// the phone.
    async fn fenced<T>(
        &self,
        operation: &str,
        limit: Duration,
        work: impl Future<Output = Result<T, UsbError>>,
    ) -> Result<T, Fault> {
        let outcome = guarded(operation, limit, work).await;
        if let Err(fault) = &outcome
            && fault.kind == FaultKind::Gone
            && let Err(error) = self.ask_usbmuxd().await
        {
            return Err(error.during(operation));
        }
        outcome
    }

    /// Whether usbmuxd itself still answers.
    async fn ask_usbmuxd(&self) -> Result<(), UsbError> {
        Muxer::open(&self.settings.usbmuxd).await?.devices().await.map(drop)
    }

    async fn look_at_pairing(&self) -> Result<Pairing, UsbError> {
        match self.lockdown.check().await {
            Ok(()) => Ok(Pairing::Paired),
            Err(error) if error.kind() == FaultKind::NotPaired => {
                Ok(if self.trust.is_open() { Pairing::DialogPending } else { Pairing::Unpaired })
            }
            Err(error) => Err(error),
        }
    }

    async fn ask_for_trust(&self) -> Result<Pairing, UsbError> {
        match self.look_at_pairing().await? {
            Pairing::Paired => Ok(Pairing::Paired),
            Pairing::DialogPending | Pairing::Denied | Pairing::Unpaired => {
                let deadlines = &self.settings.deadlines;
                let target = self.lockdown.target();
                let answer = self.trust.ask(target, deadlines.pairing, deadlines.trust_dialog).await?;
                if answer == Pairing::Paired {
                    self.lockdown.forget().await;
                }
                Ok(answer)
            }
        }
    }

    async fn talk_of_apps(&self) -> Result<Talk, UsbError> {
        self.lockdown.service(apps::SERVICE).await.map(Talk::new)
    }

    async fn app(&self, app: &BundleId) -> Result<Option<App>, UsbError> {
        apps::lookup(&mut self.talk_of_apps().await?, app).await
    }

    async fn crash_folder(&self) -> Result<Afc, UsbError> {
        self.lockdown.service(crashes::FOLDER).await.map(Afc::new)
    }

    async fn pull_crash_file(&self, file: &CrashFile, target: &Path) -> Result<(), UsbError> {
        let silence = self.settings.deadlines.pull_silence;
        if let Some(mut afc) = self.take_crash_folder() {
            match crashes::pull(&mut afc, file, target, silence).await {
                // It was closed while nobody looked; a new one shows whether the phone is there.
                Err(error) if error.kind() == FaultKind::Gone => {}
                outcome => {
                    if outcome.is_ok() {
                        self.keep_crash_folder(afc);
                    }
                    return outcome;
                }
            }
        }
        let mut afc = heard(self.settings.deadlines.question, self.crash_folder()).await?;
        crashes::pull(&mut afc, file, target, silence).await?;
        self.keep_crash_folder(afc);
        Ok(())
    }

    async fn delete_crash_file(&self, file: &CrashFile) -> Result<(), UsbError> {
        if let Some(mut afc) = self.take_crash_folder() {
            match crashes::delete(&mut afc, file).await {
                Err(error) if error.kind() == FaultKind::Gone => {}
                outcome => {
                    if outcome.is_ok() {
                        self.keep_crash_folder(afc);
                    }
                    return outcome;
                }
            }
        }
        let mut afc = self.crash_folder().await?;
        crashes::delete(&mut afc, file).await?;
        self.keep_crash_folder(afc);
        Ok(())
    }

    fn take_crash_folder(&self) -> Option<Afc> {
        self.crash_folder.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_crash_folder(&self, afc: Afc) {
        *self.crash_folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(afc);
    }

    async fn new_instruments(&self) -> Result<Dtx, UsbError> {
        let mut last = None;
        for service in instruments::SERVICES {
            match self.lockdown.service(service).await {
                Ok(stream) => return Dtx::begin(stream).await,
                Err(error @ UsbError::ServiceMissing { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| UsbError::protocol("no instruments to ask for")))
    }

    fn take_instruments(&self) -> Option<Dtx> {
        self.instruments.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep_instruments(&self, dtx: Dtx) {
        *self.instruments.lock().unwrap_or_else(PoisonError::into_inner) = Some(dtx);
    }

    /// The processes now, over the idle connection when there is one that still answers.
    async fn all_processes(&self) -> Result<Vec<instruments::Process>, UsbError> {
        if let Some(mut dtx) = self.take_instruments() {
            match instruments::processes(&mut dtx).await {
                // It was closed while nobody looked; a new one shows whether the phone is there.
                Err(error) if error.kind() == FaultKind::Gone => {}
                outcome => {
                    if outcome.is_ok() {
                        self.keep_instruments(dtx);
                    }
                    return outcome;
                }
            }
        }
        let mut dtx = self.new_instruments().await?;
        let list = instruments::processes(&mut dtx).await?;
        self.keep_instruments(dtx);
        Ok(list)
    }

    async fn is_alive(&self, pid: u32) -> Result<bool, UsbError> {
        Ok(self.all_processes().await?.iter().any(|process| process.pid() == pid))
    }

    async fn launch_app(&self, launch: &Launch) -> Result<AppProcess, UsbError> {
        let app = self.app(&launch.bundle_id).await?.ok_or(UsbError::AppMissing)?;
        // A call that may not be made twice gets a connection that has just proved itself.
        let mut dtx = self.new_instruments().await?;
        let pid = instruments::launch(&mut dtx, launch).await?;
        self.keep_instruments(dtx);
        Ok(AppProcess { pid, name: app.executable })
    }

    async fn watch_process(&self, pid: u32, limit: Duration) -> Result<Watched, UsbError> {
        let begun = Instant::now();
        let mut seen = Duration::ZERO;
        loop {
            let asked = begun.elapsed();
            if !heard(self.settings.deadlines.question, self.is_alive(pid)).await? {
                return Ok(Watched::Ended { alive: seen });
            }
            seen = asked;
            let Some(left) = limit.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else {
                return Ok(Watched::Alive);
            };
            tokio::time::sleep(left.min(self.settings.deadlines.watch_pause)).await;
        }
    }

    async fn kill_process(&self, pid: u32) -> Result<(), UsbError> {
        if !self.is_alive(pid).await? {
            return Ok(());
        }
        let mut dtx = match self.take_instruments() {
            Some(dtx) => dtx,
            None => self.new_instruments().await?,
        };
        instruments::kill(&mut dtx, pid).await?;
        self.keep_instruments(dtx);
        while self.is_alive(pid).await? {
            tokio::time::sleep(self.settings.deadlines.watch_pause).await;
        }
        Ok(())
    }

    async fn list_crash_files(&self) -> Result<Vec<CrashFile>, UsbError> {
        crashes::flush(&mut self.lockdown.service(crashes::MOVER).await?).await?;
        crashes::list(&mut self.crash_folder().await?).await
    }

    async fn restart_phone(&self) -> Result<(), UsbError> {
        let stream = self.lockdown.service(facts::DIAGNOSTICS).await?;
        let mut relay = DiagnosticsRelayClient::new(Idevice::new(stream, self.settings.label.clone()));
        match relay.restart().await.map_err(UsbError::from) {
            // It may go down before its answer is out.
            Err(error) if error.kind() == FaultKind::Gone => Ok(()),
            outcome => outcome,
        }
    }
}

impl Phone for UsbPhone {
    fn udid(&self) -> &Udid {
        &self.lockdown.target().udid
    }

    async fn pairing(&self, ask: AskForTrust) -> Result<Pairing, Fault> {
        let deadlines = &self.settings.deadlines;
        match ask {
            AskForTrust::No => {
                self.fenced("look at the pairing", deadlines.question, self.look_at_pairing()).await
            }
            AskForTrust::Yes => {
                let limit = deadlines.question + deadlines.pairing;
                self.fenced("ask for trust", limit, self.ask_for_trust()).await
            }
        }
    }

    async fn facts(&self) -> Result<PhoneFacts, Fault> {
        let deadlines = &self.settings.deadlines;
        let work = async {
            match heard(deadlines.question, self.look_at_pairing()).await? {
                Pairing::Paired => facts::read(&self.lockdown, &self.place, deadlines.question).await,
                other => facts::read_untrusted(self.lockdown.target(), &self.place, other).await,
            }
        };
        self.fenced("read the facts", deadlines.facts, work).await
    }

    async fn installed(&self, app: &BundleId) -> Result<Option<InstalledApp>, Fault> {
        let work = async { Ok(self.app(app).await?.map(|found| found.app)) };
        self.fenced(&format!("look for {app}"), self.settings.deadlines.question, work).await
    }

    async fn install(
        &self,
        source: &InstallSource,
        progress: &(dyn Fn(InstallProgress) + Send + Sync),
    ) -> Result<(), Fault> {
        let work = self.installer.install(&self.lockdown, source, &self.settings, progress);
        // Large archives take long; each wait inside has its own deadline, so the fence only keeps panics in.
        self.fenced(&format!("install {}", source.title), INSTALL_MAX, work).await
    }

    async fn uninstall(&self, app: &BundleId) -> Result<(), Fault> {
        let limit = self.settings.deadlines.uninstall;
        let work = async { apps::uninstall(&mut self.talk_of_apps().await?, app, limit).await };
        self.fenced(&format!("uninstall {app}"), limit, work).await
    }

    async fn launch(&self, launch: &Launch) -> Result<AppProcess, Fault> {
        self.fenced(&format!("launch {}", launch.bundle_id), launch.timeout, self.launch_app(launch)).await
    }

    async fn watch(&self, pid: u32, limit: Duration) -> Result<Watched, Fault> {
        // The last look may begin just before the limit.
        let fence = limit.saturating_add(self.settings.deadlines.question * 2);
        self.fenced(&format!("watch process {pid}"), fence, self.watch_process(pid, limit)).await
    }

    async fn kill(&self, pid: u32) -> Result<(), Fault> {
        let limit = self.settings.deadlines.kill;
        self.fenced(&format!("end process {pid}"), limit, self.kill_process(pid)).await
    }

    async fn processes(&self, app: &BundleId) -> Result<Vec<AppProcess>, Fault> {
        let work = async {
            let Some(app) = self.app(app).await? else { return Ok(Vec::new()) };
            let list = self.all_processes().await?;
            Ok(list.into_iter().filter(|process| process.belongs_to(&app)).map(AppProcess::from).collect())
        };
        self.fenced(&format!("look for processes of {app}"), self.settings.deadlines.question, work).await
    }

    async fn crash_files(&self) -> Result<Vec<CrashFile>, Fault> {
        self.fenced("list crash files", self.settings.deadlines.crash_list, self.list_crash_files()).await
    }

    async fn pull_crash(&self, file: &CrashFile, target: &Path) -> Result<(), Fault> {
        self.fenced(&format!("copy {}", file.path), PULL_MAX, self.pull_crash_file(file, target)).await
    }

    async fn delete_crash(&self, file: &CrashFile) -> Result<(), Fault> {
        let limit = self.settings.deadlines.question;
        self.fenced(&format!("delete {}", file.path), limit, self.delete_crash_file(file)).await
    }

    async fn crash_log(&self, tell: &(dyn Fn(&str) + Send + Sync)) -> Result<(), Fault> {
        let deadline = self.settings.deadlines.question;
        let work = async {
            let stream = heard(deadline, self.lockdown.service(log::SERVICE)).await?;
            log::listen(stream, tell).await
        };
        // A log may be silent for as long as it likes: it is listened to until it is dropped.
        self.fenced("listen to the log", LISTEN_MAX, work).await
    }

    async fn restart(&self) -> Result<(), Fault> {
        self.fenced("restart", self.settings.deadlines.question, self.restart_phone()).await
    }
}
