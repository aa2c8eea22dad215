//! The stacks of a crash report, by the kind of death. What surrounds them is in [`crash`](super::crash).

use super::binary::Binary;
use super::system::{Symbol, symbol};
use crate::behave::{CrashSignal, Ending, mixed};

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Of the app: an image offset. On the phone these frames have no names.
    App(u64),
    /// Of the system.
    System(Symbol),
}

/// The stacks of one death, innermost frame first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stacks {
    /// Of the thread that died: the main thread.
    pub faulting: Vec<Frame>,
    /// Where the exception was thrown, when there was one.
    pub exception: Option<Vec<Frame>>,
    /// The app's frame that is to blame: what a signature is made from. 0 when there is none.
    pub blamed: u64,
}

/// How the main thread comes from `main` to the handler of a touch, innermost first.
const TOUCH: &[&str] = &[
    "-[UIApplication sendAction:to:from:forEvent:]",
    "-[UIControl sendAction:to:forEvent:]",
    "-[UIControl _sendActionsForEvents:withEvent:]",
    "-[UIWindow sendEvent:]",
    "-[UIApplication sendEvent:]",
    "__handleEventQueueInternal",
    "__CFRUNLOOP_IS_CALLING_OUT_TO_A_SOURCE0_PERFORM_FUNCTION__",
    "__CFRunLoopDoSource0",
    "__CFRunLoopDoSources0",
    "__CFRunLoopRun",
];

/// How the main thread comes from `main` to its run loop, innermost first.
const RUN_LOOP: &[&str] =
    &["CFRunLoopRunSpecific", "GSEventRunModal", "-[UIApplication _run]", "UIApplicationMain"];

/// What `abort` looks like from inside, innermost first.
const ABORT: &[&str] = &["__pthread_kill", "pthread_kill", "abort"];

/// What follows an exception that nobody caught, innermost first.
const UNCAUGHT: &[&str] = &[
    "abort_message",
    "demangling_terminate_handler()",
    "_objc_terminate()",
    "std::__terminate(void (*)())",
    "__cxa_rethrow",
    "objc_exception_rethrow",
];

/// The stacks of a death. `binary` is missing for apps whose executable cannot be read: their frames are left out.
pub(super) fn stacks(ending: &Ending, binary: Option<&Binary>, launch_number: u64) -> Stacks {
    let place = binary.map(|binary| Place::choose(ending, binary, launch_number));
    let app: Vec<Frame> =
        place.iter().flat_map(|place| [place.blamed, place.caller]).map(Frame::App).collect();
    let main: Vec<Frame> = place.iter().filter_map(|place| place.main).map(Frame::App).collect();
    let outside = [system(TOUCH), system(RUN_LOOP), main.clone(), system(&["start"])].concat();
    let blamed = place.map_or(0, |place| place.blamed);
    let inner = |names: &[&str]| [system(names), app.clone(), outside.clone()].concat();
    let faulting = match ending {
        Ending::Signal { signal: CrashSignal::Segv | CrashSignal::Bus | CrashSignal::Illegal, .. } => {
            inner(&[])
        }
        Ending::Signal { signal: CrashSignal::Trap, .. } => {
            inner(&["_assertionFailure(_:_:file:line:flags:)"])
        }
        Ending::Signal { signal: CrashSignal::Abort, .. } => inner(ABORT),
        Ending::Exception { .. } | Ending::DiskFull { .. } => {
            [system(ABORT), system(UNCAUGHT), system(RUN_LOOP), main, system(&["start"])].concat()
        }
        Ending::Watchdog { .. } => {
            inner(&["__ulock_wait", "__DISPATCH_WAIT_FOR_QUEUE__", "_dispatch_sync_f_slow"])
        }
        Ending::BeforeMain { .. } => system(&[
            "__abort_with_payload",
            "abort_with_payload_wrapper_internal",
            "abort_with_payload",
            "dyld4::halt(char const*, dyld4::StructuredError const*)",
            "dyld4::prepare(dyld4::APIs&, dyld3::MachOAnalyzer const*)",
            "start",
        ]),
        Ending::Never | Ending::Exit { .. } | Ending::Jetsam { .. } => inner(&["mach_msg2_trap", "mach_msg"]),
    };
    let thrower: Option<&[&str]> = match ending {
        Ending::Exception { name, .. } if name == "NSInvalidArgumentException" => Some(&[
            "__exceptionPreprocess",
            "objc_exception_throw",
            "-[NSObject(NSObject) doesNotRecognizeSelector:]",
            "___forwarding___",
            "_CF_forwarding_prep_0",
        ]),
        Ending::Exception { .. } => Some(&["__exceptionPreprocess", "objc_exception_throw"]),
        Ending::DiskFull { .. } => {
            Some(&["__exceptionPreprocess", "objc_exception_throw", "-[NSConcreteFileHandle writeData:]"])
        }
        _ => None,
    };
    let blamed = if matches!(ending, Ending::BeforeMain { .. }) { 0 } else { blamed };
    Stacks { faulting, exception: thrower.map(inner), blamed }
}

/// The threads beside the main thread: their names, and what they wait for.
pub(super) fn other_threads() -> [(Option<&'static str>, Vec<Frame>); 2] {
    let fetcher = system(&[
        "mach_msg2_trap",
        "mach_msg_overwrite",
        "mach_msg",
        "__CFRunLoopRun",
        "CFRunLoopRunSpecific",
        "-[NSRunLoop(NSRunLoop) runMode:beforeDate:]",
        "-[NSRunLoop(NSRunLoop) runUntilDate:]",
        "-[UIEventFetcher threadMain]",
        "__NSThread__start__",
        "_pthread_start",
        "thread_start",
    ]);
    [(None, system(&["start_wqthread"])), (Some("com.apple.uikit.eventfetch-thread"), fetcher)]
}

fn system(names: &[&str]) -> Vec<Frame> {
    names.iter().filter_map(|name| symbol(name)).map(Frame::System).collect()
}

/// Where in the app a death takes place.
#[derive(Clone, Copy)]
struct Place {
    blamed: u64,
    caller: u64,
    main: Option<u64>,
}

impl Place {
    /// The function that the script names, else one by the number of the launch.
    fn choose(ending: &Ending, binary: &Binary, launch_number: u64) -> Self {
        let count = binary.functions.len() as u64;
        let named = match ending {
            Ending::Signal { function, .. } | Ending::Exception { function, .. } => function.as_deref(),
            _ => None,
        };
        let drawn = |salt: u64| usize::try_from(mixed(launch_number ^ salt) % count).unwrap_or_default();
        let not_main = |function: usize| if Some(function) == binary.main { 0 } else { function };
        let blamed = named.and_then(|name| binary.find(name)).unwrap_or_else(|| not_main(drawn(0)));
        let (blamed_choice, caller) = match named {
            // A named function dies at one place, so that its crashes are one group.
            Some(name) => (name.len() as u64, not_main((blamed + 1) % binary.functions.len())),
            None => (mixed(launch_number), not_main(drawn(1 << 32))),
        };
        Self {
            blamed: binary.offset_inside(blamed, blamed_choice),
            caller: binary.offset_inside(caller, blamed_choice >> 8),
            main: binary.main.map(|main| binary.offset_inside(main, 5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_a_stack_names_is_in_a_library() {
        for name in [TOUCH, RUN_LOOP, ABORT, UNCAUGHT].concat() {
            assert!(symbol(name).is_some(), "{name}");
        }
        assert_eq!(other_threads()[1].1.len(), 11);
        let before_main = stacks(&Ending::BeforeMain { library: String::new() }, None, 0);
        assert_eq!(before_main.faulting.len(), 6);
    }
}
