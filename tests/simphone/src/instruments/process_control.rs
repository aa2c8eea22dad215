//! The process control channel: launches, kills and watches apps. Carrying it out is in [`behave`](crate::behave).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::task::AbortOnDropHandle;

use super::{Client, latency};
use crate::archive::{NsError, Object};
use crate::behave::{self, Ended, LaunchError, LaunchRequest, OnRunning, SIGKILL, StartState};
use crate::dtx::{Answer, Call, Channel, Events};
use crate::phone::Phone;
use crate::service::BoxFuture;

pub(super) const NAME: &str = "com.apple.instruments.server.services.processcontrol";

/// The domain of everything that goes wrong here.
const DOMAIN: &str = "com.apple.dt.deviceprocesscontrolservice";

/// The domain of FrontBoard, which really launches.
const FRONTBOARD: &str = "FBSOpenApplicationErrorDomain";

/// `NSPOSIXErrorDomain` code of "No such process".
const NO_SUCH_PROCESS: i64 = 3;

/// How many ends are remembered of processes that nobody watches yet: an app may die while it is being launched.
const UNCLAIMED_MAX: usize = 64;

/// The end of an app that died while it was being launched is told this much after the answer to the launch.
const AFTER_ANSWER: Duration = Duration::from_millis(20);

/// Whose ends the client is told.
#[derive(Debug, Default)]
struct Watch {
    pids: BTreeSet<u32>,
    unclaimed: VecDeque<Ended>,
}

type Watched = Arc<Mutex<Watch>>;

/// The channel.
pub(super) struct ProcessControl {
    phone: Arc<Phone>,
    client: Arc<Client>,
    events: Events,
    watched: Watched,
    _watch: AbortOnDropHandle<()>,
}

impl ProcessControl {
    pub(super) fn new(phone: Arc<Phone>, client: Arc<Client>, events: Events) -> Self {
        let watched = Watched::default();
        let ends = phone.processes.ends();
        let watch = tell_ends(ends, Arc::clone(&client), events.clone(), Arc::clone(&watched));
        Self { phone, client, events, watched, _watch: AbortOnDropHandle::new(tokio::spawn(watch)) }
    }

    async fn answer(&self, call: &Call) -> Answer {
        match call.selector.as_str() {
            "launchSuspendedProcessWithDevicePath:bundleIdentifier:environment:arguments:options:" => {
                self.launch(call).await
            }
            // Killing what does not run is no error, and nobody waits for the answer.
            "killPid:" => {
                behave::kill(&self.phone, call.pid(0)?, SIGKILL).await;
                Ok(None)
            }
            "sendSignal:toPid:" => {
                let signal = call.argument(0).as_i64().and_then(|signal| i32::try_from(signal).ok());
                found(behave::kill(&self.phone, call.pid(1)?, signal.unwrap_or(SIGKILL)).await)
            }
            "resumePid:" => found(behave::resume(&self.phone, call.pid(0)?)),
            // A stopped app does not simulate any less; its life goes on.
            "suspendPid:" => found(behave::process(&self.phone, call.pid(0)?).is_some()),
            "startObservingPid:" => {
                lock(&self.watched).pids.insert(call.pid(0)?);
                Ok(None)
            }
            "stopObservingPid:" => {
                lock(&self.watched).pids.remove(&call.pid(0)?);
                Ok(None)
            }
            "requestDisableMemoryLimitsForPid:" | "isPidDebuggable:" => {
                let app =
                    behave::process(&self.phone, call.pid(0)?).is_some_and(|found| found.app().is_some());
                Ok(Some(Object::Bool(app)))
            }
            "processIdentifierForBundleIdentifier:" => {
                let pid = behave::find_app(&self.phone, call.text(0)?).map_or(0, |process| process.pid);
                Ok(Some(Object::from(pid)))
            }
            _ => Err(call.not_understood()),
        }
    }

    async fn launch(&self, call: &Call) -> Answer {
        let bundle_id = call.text(1)?.to_owned();
        let option = |name: &str| call.argument(4).get(name).and_then(Object::as_bool) == Some(true);
        let request = LaunchRequest {
            bundle_id: bundle_id.clone(),
            environment: environment(call.argument(2)),
            arguments: texts(call.argument(3)),
            on_running: if option("KillExisting") { OnRunning::Kill } else { OnRunning::Activate },
            start: if option("StartSuspendedKey") { StartState::Suspended } else { StartState::Running },
        };
        let launched = behave::launch(&self.phone, request).await;
        let launched = launched.map_err(|error| refused(&bundle_id, &error))?;
        let pid = launched.process.pid;
        let died = {
            let mut watched = lock(&self.watched);
            watched.pids.insert(pid);
            let at = watched.unclaimed.iter().position(|ended| ended.pid == pid);
            at.and_then(|at| watched.unclaimed.remove(at))
        };
        if let Some(ended) = died {
            let (client, events) = (Arc::clone(&self.client), self.events.clone());
            tokio::spawn(async move {
                tokio::time::sleep(AFTER_ANSWER).await;
                tell_end(&client, &events, &ended).await
            });
        }
        Ok(Some(Object::from(pid)))
    }
}

impl Channel for ProcessControl {
    fn call<'a>(&'a mut self, call: &'a Call) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            latency(&self.phone).await;
            self.answer(call).await
        })
    }
}

/// Tells the client of every watched process that ends, by the name that Instruments' own clients answer to.
async fn tell_ends(
    mut ends: broadcast::Receiver<Ended>,
    client: Arc<Client>,
    events: Events,
    watched: Watched,
) {
    loop {
        let ended = match ends.recv().await {
            Ok(ended) => ended,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let wanted = {
            let mut watched = lock(&watched);
            let wanted = watched.pids.remove(&ended.pid);
            if !wanted {
                if watched.unclaimed.len() == UNCLAIMED_MAX {
                    watched.unclaimed.pop_front();
                }
                watched.unclaimed.push_back(ended.clone());
            }
            wanted
        };
        if wanted && !tell_end(&client, &events, &ended).await {
            return;
        }
    }
}

/// `false` when the client is gone. Clients that did not ask for it are told nothing.
async fn tell_end(client: &Client, events: &Events, ended: &Ended) -> bool {
    if !client.wants_ends.load(Ordering::Relaxed) {
        return true;
    }
    let number = |number: Option<i32>| number.map_or(Object::Null, |number| Object::from(i64::from(number)));
    let arguments = [Object::from(ended.pid), number(ended.how.exit_code()), number(ended.how.signal())];
    events.invoke("processWithPID:terminatedWithExitCode:orCrashingSignal:", &arguments).await
}

fn lock(watched: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

fn environment(argument: &Object) -> BTreeMap<String, String> {
    let Object::Dictionary(entries) = argument else { return BTreeMap::new() };
    let pair = |(key, value): &(Object, Object)| Some((key.as_str()?.to_owned(), value.as_str()?.to_owned()));
    entries.iter().filter_map(pair).collect()
}

fn texts(argument: &Object) -> Vec<String> {
    let elements = argument.as_array().unwrap_or_default();
    elements.iter().filter_map(Object::as_str).map(str::to_owned).collect()
}

fn found(found: bool) -> Answer {
    let missing = || NsError::new("NSPOSIXErrorDomain", NO_SUCH_PROCESS, "No such process");
    if found { Ok(None) } else { Err(missing()) }
}

/// The error of a launch as FrontBoard words it, inside that of the service.
fn refused(bundle_id: &str, error: &LaunchError) -> NsError {
    let (code, short, reason) = match error {
        LaunchError::NotInstalled(_) => (
            4,
            "NotFound",
            format!("Application info provider (FBSApplicationLibrary) returned nil for \"{bundle_id}\""),
        ),
        LaunchError::Locked => (
            7,
            "Locked",
            format!("Unable to launch {bundle_id} because the device was not, or could not be, unlocked."),
        ),
    };
    let inner =
        NsError::new(FRONTBOARD, code, &format!("The operation couldn\u{2019}t be completed. {reason}"))
            .with("NSLocalizedFailureReason", reason)
            .with("BSErrorCodeDescription", short);
    NsError::new(DOMAIN, 2, &format!("Request to launch {bundle_id} failed."))
        .with("NSLocalizedFailureReason", format!("The request to open \"{bundle_id}\" failed."))
        .with("NSUnderlyingError", inner)
}
