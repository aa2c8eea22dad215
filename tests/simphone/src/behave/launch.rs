//! Launching an app, its life by script, and its end. The table of what runs is in
//! [`processes`](super::processes()); the report that a death leaves is in [`reports`](crate::reports).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::behaviour::{Ending, Launch};
use super::processes::{Ended, How, Kind, Order, Process, SIGKILL, find_app, process};
use crate::events::Event;
use crate::install::InstalledApp;
use crate::log::{Level, LogLine};
use crate::phone::{Passcode, Phone};
use crate::reports::{self, Death};

/// How long dyld looks for a library before it gives up.
const DYLD_MS: u64 = 40;

/// What a client wants to launch.
#[derive(Debug, Clone, Default)]
pub struct LaunchRequest {
    /// Which app.
    pub bundle_id: String,
    /// Its command line, without the executable.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// What happens when it runs already.
    pub on_running: OnRunning,
    /// How it begins.
    pub start: StartState,
}

/// What a launch does when the app runs already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnRunning {
    /// Brings it to the front: no new process.
    #[default]
    Activate,
    /// Kills it first.
    Kill,
}

/// How a process begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartState {
    /// It runs.
    #[default]
    Running,
    /// It waits for [`resume`].
    Suspended,
}

/// Why an app cannot be launched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// It is not installed.
    #[error("no app with the bundle id {0} is installed; install it first")]
    NotInstalled(String),
    /// The phone is locked by its passcode.
    #[error("the phone is locked; unlock it first")]
    Locked,
}

/// A launched app.
#[derive(Debug, Clone)]
pub struct Launched {
    /// Its process.
    pub process: Arc<Process>,
}

/// Launches an app and waits until its launch is done. The app lives on when nobody waits any more.
///
/// # Errors
/// [`LaunchError`].
pub async fn launch(phone: &Arc<Phone>, request: LaunchRequest) -> Result<Launched, LaunchError> {
    let app = phone.apps.get(&request.bundle_id);
    let app = app.ok_or_else(|| LaunchError::NotInstalled(request.bundle_id.clone()))?;
    launch_app(phone, app, request).await
}

async fn launch_app(
    phone: &Arc<Phone>,
    app: Arc<InstalledApp>,
    request: LaunchRequest,
) -> Result<Launched, LaunchError> {
    if phone.state().passcode == Passcode::Locked {
        return Err(LaunchError::Locked);
    }
    if let Some(running) = find_app(phone, &app.bundle_id) {
        if request.on_running == OnRunning::Activate {
            return Ok(Launched { process: running });
        }
        kill(phone, running.pid, SIGKILL).await;
    }
    let order = match request.start {
        StartState::Running => Order::Run,
        StartState::Suspended => Order::Suspended,
    };
    let process = phone.processes.start(phone, app, order);
    let Kind::App { script, .. } = &process.kind else { return Ok(Launched { process }) };
    let takes = Duration::from_millis(script.takes_ms);
    phone.events.record(Event::Launched {
        bundle_id: request.bundle_id,
        pid: process.pid,
        arguments: request.arguments,
        environment: request.environment,
    });
    log_launch(phone, &process);
    // Subscribed before the task runs, so that whoever kills at once still waits for its end.
    let orders = process.orders.subscribe();
    tokio::spawn(live(Arc::clone(phone), Arc::clone(&process), orders, phone.boot_ended()));
    if request.start == StartState::Running {
        // A death in the middle of its launch is no reason to make the caller wait longer.
        let mut orders = process.orders.subscribe();
        tokio::select! {
            () = tokio::time::sleep(takes) => {}
            _died = orders.wait_for(|order| matches!(order, Order::Die { .. })) => {}
        }
    }
    Ok(Launched { process })
}

/// Sends a signal to an app and waits until it is gone; `false` when no app has this pid. Its death leaves no report.
pub async fn kill(phone: &Phone, pid: u32, signal: i32) -> bool {
    let Some(target) = process(phone, pid).filter(|target| target.app().is_some()) else { return false };
    target.orders.send_replace(Order::Die { signal });
    // Its task drops the table's hold on it last; until then it is in the table.
    target.orders.closed().await;
    true
}

/// Lets an app run that was started suspended; `false` when no process has this pid.
#[must_use]
pub fn resume(phone: &Phone, pid: u32) -> bool {
    process(phone, pid).is_some_and(|target| {
        target.orders.send_if_modified(|order| {
            let waits = *order == Order::Suspended;
            if waits {
                *order = Order::Run;
            }
            waits
        });
        true
    })
}

/// The life of one process, from its launch to its end.
async fn live(
    phone: Arc<Phone>,
    process: Arc<Process>,
    mut orders: watch::Receiver<Order>,
    boot_ended: CancellationToken,
) {
    let Kind::App { app, number, script } = &process.kind else { return };
    let how = tokio::select! {
        biased;
        () = boot_ended.cancelled() => How::PowerLost,
        signal = told_to_die(process.orders.subscribe()) => How::KilledByClient(signal),
        () = run(&mut orders, script) => natural_end(&script.ends),
    };
    phone.processes.remove(&process);
    let told = if matches!(how, How::PowerLost | How::KilledByClient(_) | How::Exited(_)) {
        how.to_string()
    } else {
        in_words(&script.ends)
    };
    phone.events.record(Event::Ended { bundle_id: app.bundle_id.clone(), pid: process.pid, how: told });
    if how != How::PowerLost {
        log_end(&phone, &process, how);
    }
    phone.processes.tell_end(Ended {
        pid: process.pid,
        name: process.name.clone(),
        bundle_id: app.bundle_id.clone(),
        how,
    });
    // Whoever waits for the death is told by the last receiver going away.
    drop(orders);
    if matches!(how, How::Signalled(_)) {
        let death = Death {
            app: Arc::clone(app),
            pid: process.pid,
            launched: process.started,
            died: phone.clock.now(),
            launch_number: *number,
            ending: script.ends.clone(),
        };
        reports::leave(&phone, death, script.report).await;
    }
}

async fn told_to_die(mut orders: watch::Receiver<Order>) -> i32 {
    loop {
        let order = *orders.borrow_and_update();
        if let Order::Die { signal } = order {
            return signal;
        }
        if orders.changed().await.is_err() {
            // The process holds the sender, so this cannot be; waiting for ever is the harmless answer.
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until the app ends by itself: never, for most.
async fn run(orders: &mut watch::Receiver<Order>, script: &Launch) {
    drop(orders.wait_for(|order| *order != Order::Suspended).await);
    let lives_ms = match (&script.ends, script.ends.after_ms()) {
        (Ending::BeforeMain { .. }, _) => DYLD_MS,
        (_, Some(after_ms)) => script.takes_ms.saturating_add(after_ms),
        (_, None) => return std::future::pending().await,
    };
    tokio::time::sleep(Duration::from_millis(lives_ms)).await;
}

/// How a script's ending looks to whoever waits for the process.
fn natural_end(ending: &Ending) -> How {
    match ending {
        Ending::Never => How::Exited(0),
        Ending::Exit { code, .. } => How::Exited(*code),
        Ending::Signal { signal, .. } => How::Signalled(signal.number()),
        Ending::Exception { .. } | Ending::BeforeMain { .. } | Ending::DiskFull { .. } => How::Signalled(6),
        Ending::Watchdog { .. } | Ending::Jetsam { .. } => How::Signalled(SIGKILL),
    }
}

fn in_words(ending: &Ending) -> String {
    match ending {
        Ending::Never => "never".to_owned(),
        Ending::Exit { code, .. } => format!("exit {code}"),
        Ending::Signal { signal, .. } => format!("signal {}", signal.number()),
        Ending::Exception { name, .. } => format!("exception {name}"),
        Ending::Watchdog { event, .. } => format!("watchdog {event}"),
        Ending::Jetsam { reason, .. } => format!("jetsam {reason}"),
        Ending::BeforeMain { library, .. } => format!("before main: no {library}"),
        Ending::DiskFull { .. } => "storage full".to_owned(),
    }
}

/// Where SpringBoard is on a phone, and its pid in the table.
const SPRINGBOARD: (u32, &str) = (58, "/System/Library/CoreServices/SpringBoard.app/SpringBoard");

/// Likewise for the daemon that starts and ends processes.
const RUNNINGBOARD: (u32, &str) = (38, "/usr/libexec/runningboardd");

fn log_launch(phone: &Phone, process: &Process) {
    let Some(bundle_id) = process.bundle_id() else { return };
    let (now, pid, name) = (phone.clock.now(), process.pid, &process.name);
    let lines = [
        LogLine::notice(
            now,
            SPRINGBOARD.0,
            SPRINGBOARD.1,
            format!("[app<{bundle_id}>:{pid}] Bootstrap success!"),
        )
        .labelled("FrontBoard", "com.apple.FrontBoard", "Process"),
        LogLine::notice(
            now,
            RUNNINGBOARD.0,
            RUNNINGBOARD.1,
            format!("[app<{bundle_id}>:{pid}] Set jetsam priority to 10 [0] flag[1]"),
        )
        .labelled("RunningBoard", "com.apple.runningboard", "jetsam"),
        LogLine::notice(
            now,
            pid,
            &process.path,
            format!("Will add backgroundTask with taskName: {name} (simulated)"),
        )
        .labelled("UIKitCore", "com.apple.UIKit", "BackgroundTask"),
    ];
    for line in lines {
        phone.log.write(line);
    }
}

fn log_end(phone: &Phone, process: &Process, how: How) {
    let Some(bundle_id) = process.bundle_id() else { return };
    let (now, pid) = (phone.clock.now(), process.pid);
    let reason = match how {
        How::Exited(code) => format!("exited voluntarily with code {code}"),
        How::Signalled(signal) => format!("exited due to signal {signal}"),
        How::KilledByClient(signal) => {
            format!("exited due to signal {signal}, sent by debugserver or DTServiceHub")
        }
        How::PowerLost => return,
    };
    phone.log.write(
        LogLine::notice(
            now,
            SPRINGBOARD.0,
            SPRINGBOARD.1,
            format!("[app<{bundle_id}>:{pid}] Process exited: {reason}"),
        )
        .labelled("FrontBoard", "com.apple.FrontBoard", "Process")
        .level(if matches!(how, How::Exited(0)) { Level::Notice } else { Level::Error }),
    );
    phone.log.write(
        LogLine::notice(
            now,
            RUNNINGBOARD.0,
            RUNNINGBOARD.1,
            format!("[app<{bundle_id}>:{pid}] termination reported by launchd ({reason})"),
        )
        .labelled("RunningBoard", "com.apple.runningboard", "process"),
    );
}
