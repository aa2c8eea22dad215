//! Names of the numbers that iOS ends processes with.
//!
//! The codes are those of Apple's "Understanding the exception types in a crash report"; the memory reasons are the
//! kernel's (`kern_memorystatus.h`).

/// What a code means whoever gives it.
pub(crate) fn known_code(code: u64) -> Option<&'static str> {
    Some(match code {
        0x8bad_f00d => "watchdog: it did not answer in time",
        0xdead_10cc => "it held a file or database lock while it was suspended",
        0xc000_10ff => "the phone was too hot",
        0x2bad_45ec => "a security rule was broken",
        0xbaad_ca11 => "a call that was announced by push was not reported",
        0xbad2_2222 => "it resumed too often for calls",
        0xdead_fa11 => "the user forced it to quit",
        0xc51b_ad01 => "the watch app used too much processor time in the background",
        0xc51b_ad02 => "the watch app did not finish its background task in time",
        0xc51b_ad03 => "the watch app did not finish its background task while the system was busy",
        0xbe18_d1ee => "a deadlock of the system",
        _ => return None,
    })
}

/// The name of the kernel's number for a memory kill.
pub(crate) fn jetsam_code(code: u64) -> Option<&'static str> {
    Some(match code {
        2 => "highwater",
        3 => "vnode-limit",
        4 => "vm-pageshortage",
        5 => "proc-thrashing",
        6 => "fc-thrashing",
        7 => "per-process-limit",
        8 => "disk-space-shortage",
        9 => "idle-exit",
        10 => "zone-map-exhaustion",
        11 => "vm-compressor-thrashing",
        12 => "vm-compressor-space-shortage",
        _ => return None,
    })
}

/// The reason of a memory kill in words; one that is not known is given as it stands.
pub(crate) fn jetsam_reason(reason: &str) -> &str {
    match reason {
        "per-process-limit" => "it passed its own memory limit (per-process-limit)",
        "vm-pageshortage" => "the phone ran out of free pages (vm-pageshortage)",
        "highwater" => "it passed the mark up to which it may stay in the background (highwater)",
        "vnode-limit" => "too many files were open on the phone (vnode-limit)",
        "vm-thrashing" | "vm-compressor-thrashing" => "the phone was busy compressing memory (thrashing)",
        "vm-compressor-space-shortage" => {
            "the phone had no room left for compressed memory (vm-compressor-space-shortage)"
        }
        "fc-thrashing" => "the phone kept reading the same files again (fc-thrashing)",
        "proc-thrashing" => "too many processes were running (proc-thrashing)",
        "zone-map-exhaustion" => "the kernel ran out of memory for itself (zone-map-exhaustion)",
        "disk-space-shortage" => "the disk was full (disk-space-shortage)",
        "idle-exit" | "long-idle-exit" => "it was idle and no longer needed (idle-exit)",
        other => other,
    }
}
