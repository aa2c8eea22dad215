//! How far a process had come when it ended.

use crate::ended::Cause;
use crate::report::{LaunchPhase, Report};

/// A process that ends within this time after its launch ended in its launch: samples of such ends lie at 0.2 to 1.2
/// seconds, and the first screen of a large app on an old phone takes up to four.
const LAUNCH_SECONDS: f64 = 5.0;

/// What the loader calls while it runs initializers; none of these is on the stack once `main` was called.
const LOADER_SYMBOLS: [&str; 6] = [
    "runAllInitializersForMain",
    "runInitializersBottomUp",
    "dyld4::prepare",
    "dyld3::prepare",
    "initializeMainExecutable",
    "dyldbootstrap::start",
];

/// Decides from the cause, the loader's frames and the times. What ends a whole phone has no phase.
pub(crate) fn launch_phase(report: &Report) -> LaunchPhase {
    match &report.ended_by.cause {
        Cause::LibraryMissing { .. } | Cause::SymbolMissing { .. } | Cause::LoaderFailed => {
            return LaunchPhase::BeforeMain;
        }
        Cause::Watchdog { event: Some(event), .. }
            if event == "process-launch" || event == "scene-create" =>
        {
            return LaunchPhase::InLaunch;
        }
        _ => {}
    }
    if is_in_loader(report) {
        return LaunchPhase::BeforeMain;
    }
    let (Some(captured), Some(launched)) = (&report.captured_at, &report.launched_at) else {
        return LaunchPhase::Unknown;
    };
    let lived = captured.since(launched).as_secs_f64();
    if lived < 0.0 {
        // A clock that was set while the process ran tells nothing.
        LaunchPhase::Unknown
    } else if lived < LAUNCH_SECONDS {
        LaunchPhase::InLaunch
    } else {
        LaunchPhase::Running
    }
}

/// Whether the main thread still runs initializers.
fn is_in_loader(report: &Report) -> bool {
    let Some(main) = report.threads.iter().find(|thread| thread.index == 0) else { return false };
    let symbols = || main.frames.iter().filter_map(|frame| frame.symbol.as_deref());
    // Functions of the loader run later too, when a library is opened by hand; then `main` lies below them.
    symbols().any(|symbol| LOADER_SYMBOLS.iter().any(|mark| symbol.contains(mark)))
        && !symbols().any(|symbol| symbol == "main" || symbol == "UIApplicationMain")
}
