//! Frames that say nothing about the defect: how a runtime throws, asserts, aborts, forwards and calls back.
//!
//! Names are compared after [`super::normalise`].

/// Assertions, also those that apps write for themselves, and code that the compiler put into the app's image, such as the
/// standard libraries' templates and generics: whoever called them is to blame. A star stands for any letters.
const ANYWHERE: &[&str] = &[
    "__assert_rtn",
    "__eprintf",
    "*assertion*ailure*",
    "*ssertFail*",
    "*ssert_fail*",
    "fatalError",
    "preconditionFailure",
    "Swift runtime failure*",
    "*NSAssertionHandler handleFailure*",
    "__clang_call_terminate",
    "std::*",
    "Array._checkSubscript*",
    "Array.subscript.*",
    "ContiguousArray.subscript.*",
    "Dictionary.subscript.*",
    "__ubsan_handle_*",
    "__asan_*",
    "__sanitizer_*",
    "rust_panic*",
    "core::panicking::*",
    "thunk",
    "outlined *",
    "<compiler-generated>",
];

/// How the system's runtimes abort, throw, count references, allocate and forward, outside the app's own images: whoever
/// called them stands further down.
const RUNTIME: &[&str] = &[
    "__pthread_kill",
    "pthread_kill",
    "raise",
    "abort",
    "__abort",
    "abort_with_*",
    "__abort_with_*",
    "terminate_with_*",
    "_sigtramp",
    "__kill",
    "kill",
    "exit",
    "_exit",
    "_os_crash*",
    "os_crash*",
    "__stack_chk_fail",
    "__chk_fail*",
    "__fortify_fail*",
    "_objc_fatal*",
    "_objc_terminate",
    "__objc_terminate",
    "demangling_terminate_handler",
    "default_terminate_handler",
    "std::terminate",
    "std::__terminate",
    "__cxa_*",
    "abort_message",
    "_Unwind_*",
    "__exceptionPreprocess",
    "objc_exception_*",
    "+[NSException *",
    "-[NSException *",
    "-[* doesNotRecognizeSelector:]",
    "+[* doesNotRecognizeSelector:]",
    "___forwarding___",
    "__forwarding__",
    "_CF_forwarding_prep_*",
    "__forwarding_prep_*",
    "__CFThrow*",
    "_CFThrow*",
    "_NSArrayRaise*",
    "objc_msgSend*",
    "objc_retain*",
    "objc_release*",
    "objc_autorelease*",
    "objc_storeStrong",
    "objc_loadWeak*",
    "objc_storeWeak",
    "objc_destroyWeak",
    "_objc_rootRelease",
    "_objc_rootRetain",
    "_objc_rootDealloc",
    "swift_retain*",
    "swift_release*",
    "_swift_release*",
    "_swift_retain*",
    "swift_unknownObject*",
    "swift_bridgeObject*",
    "malloc",
    "malloc_*",
    "_malloc*",
    "free",
    "free_*",
    "_free",
    "tiny_*",
    "small_*",
    "nanov2_*",
    "szone_*",
    "xzm_*",
    "operator new*",
    "operator delete*",
    "_platform_mem*",
    "_platform_str*",
    "mach_msg*",
];

/// Where every stack of an app begins; these say something only when nothing was called from them.
const ROOTS: &[&str] = &[
    "main",
    "start",
    "start_sim",
    "_main",
    "static *.main",
    "static *.$main",
    "UIApplicationMain",
    "NSExtensionMain",
    "_pthread_start",
    "thread_start",
    "start_wqthread",
    "_pthread_wqthread",
    "_pthread_body",
];

/// Whether a name in any image says nothing about the defect, by our list or by the one that was configured.
pub(crate) fn is_skipped(name: &str, more: &[String]) -> bool {
    ANYWHERE.iter().any(|pattern| fits(pattern, name)) || more.iter().any(|pattern| fits(pattern, name))
}

/// Whether a name outside the app's images says nothing about the defect.
pub(crate) fn is_runtime(name: &str) -> bool {
    RUNTIME.iter().any(|pattern| fits(pattern, name))
}

/// Whether a name is where every stack begins.
pub(crate) fn is_root(name: &str) -> bool {
    ROOTS.iter().any(|pattern| fits(pattern, name))
}

/// Whether a name fits a pattern in which a star stands for any letters. Each byte is looked at a bounded number of
/// times for each star.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut rest = rest;
    while let Some((part, next)) = rest.split_once('*') {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
        rest = next;
    }
    left.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        let table = [
            ("abort", "abort", true),
            ("abort", "aborted", false),
            ("objc_*", "objc_msgSend", true),
            ("*Main", "UIApplicationMain", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_list_knows_runtimes_and_leaves_apps_alone() {
        for name in ["__pthread_kill", "objc_exception_throw", "+[NSException raise:format:]", "free_tiny"] {
            assert!(is_runtime(name) && !is_skipped(name, &[]), "{name}");
        }
        for name in [
            "_assertionFailure",
            "__assert_rtn",
            "-[NSAssertionHandler handleFailureInMethod:]",
            "thunk",
            "std::__1::vector::at",
        ] {
            assert!(is_skipped(name, &[]), "{name}");
        }
        for name in ["-[ChatRoom open:]", "ImageCache.decode", "crash_now", "freezeFrame", "assertive"] {
            assert!(!is_runtime(name) && !is_skipped(name, &[]), "{name}");
        }
        assert!(is_skipped("ChatFail", &["Chat*".to_owned()]));
        assert!(is_root("static ChatApp.$main") && !is_root("mainLoop"));
    }
}
