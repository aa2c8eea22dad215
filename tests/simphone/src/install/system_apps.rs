//! The apps that come with iOS: only what clients list. They have no files on the host.

use std::path::PathBuf;

use plist::Dictionary;

use super::apps::{AppKind, InstalledApp};

/// Bundle id, name, executable, version, build, and where iOS keeps it.
const TABLE: &[[&str; 6]] = &[
    ["com.apple.Preferences", "Settings", "Preferences", "1113", "1113.4.3", "/Applications/Preferences.app"],
    [
        "com.apple.mobilesafari",
        "Safari",
        "MobileSafari",
        "16.6",
        "8615.3.12",
        "/private/var/staged_system_apps/MobileSafari.app",
    ],
    ["com.apple.AppStore", "App Store", "AppStore", "3.0", "1", "/Applications/AppStore.app"],
    ["com.apple.camera", "Camera", "Camera", "3864", "3864.0.0", "/Applications/Camera.app"],
];

/// The system's own apps.
pub(super) fn all() -> Vec<InstalledApp> {
    TABLE.iter().map(|row| app(*row)).collect()
}

fn app([bundle_id, name, executable, version, build, path]: [&str; 6]) -> InstalledApp {
    let mut info = Dictionary::new();
    for (key, value) in [
        ("CFBundleIdentifier", bundle_id),
        ("CFBundleDisplayName", name),
        ("CFBundleName", name),
        ("CFBundleExecutable", executable),
        ("CFBundleShortVersionString", version),
        ("CFBundleVersion", build),
        ("CFBundlePackageType", "APPL"),
    ] {
        info.insert(key.to_owned(), value.into());
    }
    InstalledApp {
        bundle_id: bundle_id.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        build: build.to_owned(),
        executable_name: executable.to_owned(),
        executable: None,
        bundle_folder: None,
        container: PathBuf::new(),
        slice_uuid: None,
        path: path.to_owned(),
        container_path: "/private/var/mobile".to_owned(),
        kind: AppKind::System,
        bundle_bytes: 0,
        info,
        entitlements: Dictionary::new(),
    }
}
