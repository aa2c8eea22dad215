//! How each step of an attempt is done. Every operation owns what it needs, so that the task may drop it at any
//! moment and hears everything meanwhile.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use holdfast_attempt::{Event, Failure, FailureKind, Peek, Step};
use holdfast_device::{Fault, FaultKind, InstallProgress, InstallSource, Launch, Phone, Watched};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::crash::{CrashFile, CrashOrigin};
use holdfast_wire::id::{BundleId, CrashId};
use holdfast_wire::outcome::Blame;
use holdfast_wire::phone::{InstalledApp, PhoneFacts};
use holdfast_wire::sync::{OutboxItem, Work};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use crate::cache::CachedBuild;
use crate::disk;
use crate::error::{AgentError, chain};
use crate::outbox::Pulled;
use crate::peek;

/// What came of an operation.
pub(super) struct Done {
    /// For the brain.
    pub(super) event: Event,
    /// The file that was deleted.
    pub(super) file: Option<CrashFile>,
    /// What it leaves behind for the next operation.
    pub(super) pulled: Option<Left>,
}

/// What one operation leaves for the next.
pub(super) enum Left {
    /// The build is here; it stays as long as this is kept.
    Build(CachedBuild),
    /// The bytes of a crash file wait to be stored.
    Bytes(PathBuf),
}

impl From<Event> for Done {
    fn from(event: Event) -> Self {
        Self { event, file: None, pulled: None }
    }
}

type Operation = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Performs the steps of one attempt.
pub(super) struct Hands {
    shared: Arc<Shared>,
    build: Arc<BuildIdentity>,
    part: watch::Sender<u8>,
    cached: Option<CachedBuild>,
    bytes: Option<PathBuf>,
}

impl Hands {
    pub(super) fn new(shared: Arc<Shared>, work: &Work, part: watch::Sender<u8>) -> Self {
        Self { shared, build: Arc::clone(&work.build), part, cached: None, bytes: None }
    }

    pub(super) fn build(&self) -> &BuildIdentity {
        &self.build
    }

    pub(super) fn keep(&mut self, left: Option<Left>) {
        match left {
            Some(Left::Build(build)) => self.cached = Some(build),
            Some(Left::Bytes(bytes)) => self.bytes = Some(bytes),
            None => {}
        }
    }

    pub(super) fn perform<P: Phone>(&mut self, phone: Arc<P>, step: Step) -> Operation {
        let shared = Arc::clone(&self.shared);
        match step {
            Step::Check => {
                Box::pin(async move { answer(phone.facts().await, |facts| Event::Checked(Box::new(facts))) })
            }
            Step::ListCrashes => Box::pin(async move { answer(phone.crash_files().await, Event::Listed) }),
            Step::Fetch => Box::pin(fetch(shared, Arc::clone(&self.build), self.part.clone())),
            Step::Install => self.install(phone),
            Step::Launch { arguments, environment, timeout } => {
                let bundle_id = self.build.bundle_id.clone();
                let launch = Launch { bundle_id, arguments, environment, timeout };
                Box::pin(async move {
                    let asked = Instant::now();
                    answer(phone.launch(&launch).await, |process| Event::Launched {
                        pid: process.pid,
                        took: asked.elapsed(),
                    })
                })
            }
            Step::Watch { pid, limit } => Box::pin(async move {
                answer(phone.watch(pid, limit).await, |watched| match watched {
                    Watched::Ended { alive } => Event::Ended { alive },
                    Watched::Alive => Event::StillAlive,
                })
            }),
            Step::Kill { pid } => Box::pin(async move { answer(phone.kill(pid).await, |()| Event::Killed) }),
            Step::KillApp => {
                let app = self.build.bundle_id.clone();
                Box::pin(async move { answer(kill_app(&*phone, &app).await, |()| Event::Killed) })
            }
            Step::Pull { file } => Box::pin(async move {
                match pull(&*phone, &shared, &file).await {
                    Ok((crash, peek, bytes)) => Done {
                        event: Event::Pulled { crash, peek },
                        file: None,
                        pulled: Some(Left::Bytes(bytes)),
                    },
                    Err(event) => event.into(),
                }
            }),
            Step::Store { file, origin } => {
                let bytes = self.bytes.take();
                Box::pin(async move { store(&shared, file, origin, bytes).await.into() })
            }
            Step::Delete { file, .. } => Box::pin(async move {
                let mut done = answer(phone.delete_crash(&file).await, |()| Event::Deleted);
                done.file = Some(file);
                done
            }),
            // The task itself ends or drops what is under way.
            Step::Rest | Step::Finish(_) => Box::pin(std::future::pending()),
        }
    }

    fn install<P: Phone>(&self, phone: Arc<P>) -> Operation {
        let Some(cached) = &self.cached else {
            let failure = Failure {
                blame: Blame::Rack,
                kind: FailureKind::Other,
                reason: "the build is not on the rack any more".to_owned(),
            };
            return Box::pin(std::future::ready(Event::Failed(failure).into()));
        };
        let build = &self.build;
        let source = InstallSource {
            archive: cached.path.clone(),
            bundle_id: build.bundle_id.clone(),
            title: format!("{} {} ({})", build.executable, build.version, build.build_number),
        };
        let part = self.part.clone();
        Box::pin(async move {
            let progress = |progress: InstallProgress| {
                // The upload is the longer half.
                let percent = match progress {
                    InstallProgress::Uploading { sent, total } => sent.saturating_mul(60) / total.max(1),
                    InstallProgress::Installing { percent } => 60 + u64::from(percent.min(100)) * 2 / 5,
                };
                tell_part(&part, u8::try_from(percent).unwrap_or(100));
            };
            answer(phone.install(&source, &progress).await, |()| Event::Installed)
        })
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        if let Some(bytes) = &self.bytes {
            let _stored_already = std::fs::remove_file(bytes);
        }
    }
}

/// Ends every process of an app.
pub(super) async fn kill_app<P: Phone>(phone: &P, app: &BundleId) -> Result<(), Fault> {
    for process in phone.processes(app).await? {
        phone.kill(process.pid).await?;
    }
    Ok(())
}

/// Copies a crash file into the spool, hashes it and looks into it.
pub(super) async fn pull<P: Phone>(
    phone: &P,
    shared: &Shared,
    file: &CrashFile,
) -> Result<(CrashId, Peek, PathBuf), Event> {
    if !shared.outbox.has_room(phone.udid(), shared.config.spool_bytes_max) {
        let reason = "so many crash files of the phone wait here for the daemon that no more is taken; see why the \
                      daemon does not confirm them";
        return Err(Event::Failed(Failure {
            blame: Blame::Farm,
            kind: FailureKind::SpoolFull,
            reason: reason.to_owned(),
        }));
    }
    let bytes = shared.outbox.fresh_path();
    let guard = Unkept(Some(bytes.clone()));
    phone.pull_crash(file, &bytes).await.map_err(|fault| Event::Failed(failure_of(&fault)))?;
    let looked =
        tokio::task::spawn_blocking(move || hash_and_peek(&bytes).map(|(crash, peek)| (crash, peek, bytes)));
    let found = looked.await.map_err(|error| {
        failed_here(&AgentError::Disk {
            operation: "read",
            path: "spool".into(),
            source: std::io::Error::other(error),
        })
    })?;
    let found = found.map_err(|error| failed_here(&error))?;
    guard.keep();
    Ok(found)
}

/// Puts pulled bytes into the outbox.
pub(super) async fn store(
    shared: &Shared,
    file: CrashFile,
    origin: CrashOrigin,
    bytes: Option<PathBuf>,
) -> Event {
    let pulled = bytes.map(|bytes| Pulled { file, bytes });
    match shared.outbox.append(OutboxItem::CrashTaken { origin }, pulled).await {
        Ok(_id) => Event::Stored,
        Err(error) => failed_here(&error),
    }
}

/// A failure of the rack's own disk or tasks.
pub(super) fn failed_here(error: &AgentError) -> Event {
    Event::Failed(Failure { blame: Blame::Rack, kind: FailureKind::Other, reason: chain(error) })
}

/// A phone that has just got an app is known to have it, until its facts are read again.
pub(super) fn note_app(facts: &mut Option<PhoneFacts>, build: &BuildIdentity) {
    if let Some(facts) = facts {
        facts.apps.retain(|app| app.bundle_id != build.bundle_id);
        facts.apps.push(InstalledApp {
            bundle_id: build.bundle_id.clone(),
            version: build.version.clone(),
            build_number: build.build_number.clone(),
        });
    }
}

async fn fetch(shared: Arc<Shared>, build: Arc<BuildIdentity>, part: watch::Sender<u8>) -> Done {
    let progress = move |percent| tell_part(&part, percent);
    match shared.cache.get(&build, &progress).await {
        Ok(cached) => Done { event: Event::Fetched, file: None, pulled: Some(Left::Build(cached)) },
        Err(error) => {
            let blame = match &error {
                AgentError::Disk { .. } => Blame::Rack,
                _ => Blame::Farm,
            };
            let reason = chain(&error);
            Event::Failed(Failure { blame, kind: FailureKind::Other, reason }).into()
        }
    }
}

fn tell_part(part: &watch::Sender<u8>, percent: u8) {
    part.send_if_modified(|told| std::mem::replace(told, percent) != percent);
}

fn answer<T>(result: Result<T, Fault>, event: impl FnOnce(T) -> Event) -> Done {
    match result {
        Ok(answer) => event(answer).into(),
        Err(fault) => Event::Failed(failure_of(&fault)).into(),
    }
}

fn failure_of(fault: &Fault) -> Failure {
    let kind = match &fault.kind {
        FaultKind::Silent { .. } => FailureKind::Silent,
        FaultKind::AppMissing => FailureKind::AppMissing,
        FaultKind::FileMissing => FailureKind::FileMissing,
        FaultKind::Gone
        | FaultKind::NotPaired
        | FaultKind::Locked
        | FaultKind::NoRoom
        | FaultKind::AppRefused { .. }
        | FaultKind::ServiceMissing { .. }
        | FaultKind::Protocol { .. }
        | FaultKind::Bus { .. }
        | FaultKind::Disk { .. }
        | FaultKind::Panicked { .. } => FailureKind::Other,
    };
    Failure { blame: fault.blame(), kind, reason: chain(fault) }
}

fn hash_and_peek(path: &Path) -> Result<(CrashId, Peek), AgentError> {
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(path).map_err(AgentError::disk("open", path))?;
    hasher.update_reader(file).map_err(AgentError::disk("read", path))?;
    Ok((CrashId::new(*hasher.finalize().as_bytes()), peek::look(path)?))
}

/// Bytes that are removed unless somebody keeps them.
struct Unkept(Option<PathBuf>);

impl Unkept {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unkept {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _never_written = disk::remove(path);
        }
    }
}
