//! The system libraries that stand in crash reports of this simulation: real names and symbols, invented places.
//! Nothing of iOS is needed for them, and nobody may look them up.

use crate::behave::mixed;

/// Where the shared cache begins before it is slid.
const SHARED_CACHE_BASE: u64 = 0x1_8000_0000;

/// The size of the shared cache in bytes.
pub(super) const SHARED_CACHE_BYTES: u64 = 0xAC00_0000;

/// The shared cache is slid by whole pages, at each start of the phone by another number of them.
const PAGE_BYTES: u64 = 0x4000;

/// How many pages it is slid by at most.
const SLIDE_PAGES_MAX: u64 = 0x4000;

/// Every function of the system gets this much room in its invented library.
const SYMBOL_ROOM: u64 = 0x1640;

/// One library.
pub(super) struct Image {
    pub name: &'static str,
    pub path: &'static str,
    /// From the beginning of the shared cache.
    pub offset: u64,
    pub bytes: u64,
    /// Its functions that stand in our stacks; each starts at a place by its position in this list.
    symbols: &'static [&'static str],
}

/// A library by its place in [`IMAGES`], and a function by its place in the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol {
    pub image: usize,
    position: usize,
}

pub(super) const IMAGES: &[Image] = &[
    Image {
        name: "libsystem_kernel.dylib",
        path: "/usr/lib/system/libsystem_kernel.dylib",
        offset: 0x5A2C_0000,
        bytes: 0x33FFC,
        symbols: &[
            "__pthread_kill",
            "mach_msg2_trap",
            "mach_msg_overwrite",
            "mach_msg",
            "__ulock_wait",
            "__workq_kernreturn",
            "__abort_with_payload",
            "abort_with_payload_wrapper_internal",
            "abort_with_payload",
            "__semwait_signal",
        ],
    },
    Image {
        name: "libsystem_pthread.dylib",
        path: "/usr/lib/system/libsystem_pthread.dylib",
        offset: 0x7613_4000,
        bytes: 0xBFFC,
        symbols: &["pthread_kill", "_pthread_start", "thread_start", "start_wqthread", "_pthread_wqthread"],
    },
    Image {
        name: "libsystem_c.dylib",
        path: "/usr/lib/system/libsystem_c.dylib",
        offset: 0x1088_2000,
        bytes: 0x7FFFF,
        symbols: &["abort", "__abort", "nanosleep", "usleep"],
    },
    Image {
        name: "libc++abi.dylib",
        path: "/usr/lib/libc++abi.dylib",
        offset: 0x7605_2000,
        bytes: 0x18FFF,
        symbols: &[
            "abort_message",
            "demangling_terminate_handler()",
            "std::__terminate(void (*)())",
            "__cxa_rethrow",
        ],
    },
    Image {
        name: "libobjc.A.dylib",
        path: "/usr/lib/libobjc.A.dylib",
        offset: 0x0000_C000,
        bytes: 0x43F40,
        symbols: &["objc_exception_throw", "_objc_terminate()", "objc_exception_rethrow", "objc_msgSend"],
    },
    Image {
        name: "CoreFoundation",
        path: "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation",
        offset: 0x0A40_1000,
        bytes: 0x40BFFF,
        symbols: &[
            "__exceptionPreprocess",
            "-[NSObject(NSObject) doesNotRecognizeSelector:]",
            "___forwarding___",
            "_CF_forwarding_prep_0",
            "__CFRUNLOOP_IS_CALLING_OUT_TO_A_SOURCE0_PERFORM_FUNCTION__",
            "__CFRunLoopDoSource0",
            "__CFRunLoopDoSources0",
            "__CFRunLoopRun",
            "CFRunLoopRunSpecific",
        ],
    },
    Image {
        name: "Foundation",
        path: "/System/Library/Frameworks/Foundation.framework/Foundation",
        offset: 0x0417_7000,
        bytes: 0x94BFFF,
        symbols: &[
            "-[NSRunLoop(NSRunLoop) runMode:beforeDate:]",
            "-[NSRunLoop(NSRunLoop) runUntilDate:]",
            "__NSThread__start__",
            "-[NSConcreteFileHandle writeData:]",
        ],
    },
    Image {
        name: "UIKitCore",
        path: "/System/Library/PrivateFrameworks/UIKitCore.framework/UIKitCore",
        offset: 0x0C2E_5000,
        bytes: 0x17AFFFF,
        symbols: &[
            "-[UIApplication sendAction:to:from:forEvent:]",
            "-[UIControl sendAction:to:forEvent:]",
            "-[UIControl _sendActionsForEvents:withEvent:]",
            "-[UIWindow sendEvent:]",
            "-[UIApplication sendEvent:]",
            "__handleEventQueueInternal",
            "-[UIApplication _run]",
            "UIApplicationMain",
            "-[UIEventFetcher threadMain]",
        ],
    },
    Image {
        name: "GraphicsServices",
        path: "/System/Library/PrivateFrameworks/GraphicsServices.framework/GraphicsServices",
        offset: 0x4334_F000,
        bytes: 0x8FFF,
        symbols: &["GSEventRunModal"],
    },
    Image {
        name: "libdispatch.dylib",
        path: "/usr/lib/system/libdispatch.dylib",
        offset: 0x1083_A000,
        bytes: 0x47FFF,
        symbols: &["_dispatch_client_callout", "__DISPATCH_WAIT_FOR_QUEUE__", "_dispatch_sync_f_slow"],
    },
    Image {
        name: "libswiftCore.dylib",
        path: "/usr/lib/swift/libswiftCore.dylib",
        offset: 0x05E1_2000,
        bytes: 0x4C5FFF,
        symbols: &["_assertionFailure(_:_:file:line:flags:)"],
    },
    Image {
        name: "dyld",
        path: "/usr/lib/dyld",
        offset: 0x3A0F_5000,
        bytes: 0x88FFF,
        symbols: &[
            "start",
            "dyld4::halt(char const*, dyld4::StructuredError const*)",
            "dyld4::prepare(dyld4::APIs&, dyld3::MachOAnalyzer const*)",
        ],
    },
];

/// How far the shared cache is slid for this boot of this phone.
pub(super) fn slide(udid: &str, boot_id: &str) -> u64 {
    mixed(number_of(udid) ^ number_of(boot_id)) % SLIDE_PAGES_MAX * PAGE_BYTES
}

/// Where the shared cache begins.
pub(super) fn shared_cache_base(slide: u64) -> u64 {
    SHARED_CACHE_BASE + slide
}

/// The function of this name. `None` when no library of ours has it.
pub(super) fn symbol(name: &str) -> Option<Symbol> {
    IMAGES.iter().enumerate().find_map(|(image, about)| {
        let position = about.symbols.iter().position(|symbol| *symbol == name)?;
        Some(Symbol { image, position })
    })
}

impl Symbol {
    pub(super) fn name(self) -> &'static str {
        IMAGES[self.image].symbols[self.position]
    }

    /// Where it begins in its library.
    pub(super) fn start(self) -> u64 {
        let image = &IMAGES[self.image];
        // Small libraries have less room per function; the places stay inside and apart.
        let room = SYMBOL_ROOM.min(image.bytes / (image.symbols.len() as u64 + 1)) & !0xF;
        (self.position as u64 + 1) * room
    }

    /// How far inside it a stack returns to: the same wherever it stands, as in one build of iOS.
    pub(super) fn location(self) -> u64 {
        4 + mixed(number_of(self.name())) % 60 * 4
    }
}

/// The UUID of a library in this build of iOS.
pub(super) fn image_uuid(name: &str, ios_build: &str) -> [u8; 16] {
    let seed = number_of(name) ^ mixed(number_of(ios_build));
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&mixed(seed).to_be_bytes());
    uuid[8..].copy_from_slice(&mixed(seed ^ 1).to_be_bytes());
    uuid[6] = (uuid[6] & 0x0F) | 0x30;
    uuid[8] = (uuid[8] & 0x3F) | 0x80;
    uuid
}

/// A number that stands for a text (FNV-1a), the same in every build of this program.
pub(super) fn number_of(text: &str) -> u64 {
    text.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |number, byte| (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_system_do_not_overlap_and_stay_in_their_library() {
        for (image, about) in IMAGES.iter().enumerate() {
            let mut end = 0;
            for position in 0..about.symbols.len() {
                let symbol = Symbol { image, position };
                assert!(symbol.start() >= end, "{} in {}", symbol.name(), about.name);
                end = symbol.start() + symbol.location() + 4;
                assert!(end <= about.bytes, "{} in {}", symbol.name(), about.name);
            }
            assert!(about.offset + about.bytes < SHARED_CACHE_BYTES, "{}", about.name);
        }
    }
}
