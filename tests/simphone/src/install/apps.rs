//! The apps that are installed on one phone. The services that change them are elsewhere in this module.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plist::{Dictionary, Value};

use super::system_apps;

/// The installed apps of one phone. System apps are there from the beginning.
#[derive(Debug)]
pub struct Apps {
    inner: Mutex<BTreeMap<String, Arc<InstalledApp>>>,
    change: Mutex<()>,
}

/// One installed app.
#[derive(Debug, Clone, PartialEq)]
pub struct InstalledApp {
    /// `CFBundleIdentifier`, such as `dev.holdfast.demo.mooring`.
    pub bundle_id: String,
    /// `CFBundleDisplayName`, or `CFBundleName`.
    pub name: String,
    /// `CFBundleShortVersionString`, such as `1.4.0`.
    pub version: String,
    /// `CFBundleVersion`, such as `140`.
    pub build: String,
    /// `CFBundleExecutable`, which is also the name of its process.
    pub executable_name: String,
    /// The Mach-O on the host; `None` for the apps that come with the system.
    pub executable: Option<PathBuf>,
    /// The unpacked `.app` on the host; `None` for the apps that come with the system.
    pub bundle_folder: Option<PathBuf>,
    /// The data container on the host.
    pub container: PathBuf,
    /// `LC_UUID` of the arm64 slice of its executable.
    pub slice_uuid: Option<[u8; 16]>,
    /// Where the phone says that the `.app` is, such as
    /// `/private/var/containers/Bundle/Application/<UUID>/Mooring.app`. New at each installation.
    pub path: String,
    /// Where the phone says that its data container is.
    pub container_path: String,
    /// Who brought it.
    pub kind: AppKind,
    /// The bytes that its bundle takes on the disk.
    pub bundle_bytes: u64,
    /// Its whole `Info.plist`.
    pub info: Dictionary,
    /// The entitlements of its provisioning profile.
    pub entitlements: Dictionary,
}

/// Who brought an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    /// It comes with iOS and cannot be removed.
    System,
    /// A client installed it.
    User,
}

impl AppKind {
    /// The word that installation_proxy uses as `ApplicationType`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::User => "User",
        }
    }
}

impl Default for Apps {
    fn default() -> Self {
        let system = system_apps::all().into_iter();
        let apps = system.map(|app| (app.bundle_id.clone(), Arc::new(app))).collect();
        Self { inner: Mutex::new(apps), change: Mutex::default() }
    }
}

impl Apps {
    /// The app with this bundle id.
    #[must_use]
    pub fn get(&self, bundle_id: &str) -> Option<Arc<InstalledApp>> {
        self.lock().get(bundle_id).cloned()
    }

    /// Every app, in order of bundle ids.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<InstalledApp>> {
        self.lock().values().cloned().collect()
    }

    /// Runs one installation or removal; another one waits meanwhile, as for the install lock of iOS.
    pub(super) fn one_at_a_time<T>(&self, change: impl FnOnce() -> T) -> T {
        let _held = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        change()
    }

    /// Puts an app in place of the one with the same bundle id.
    pub(super) fn put(&self, app: InstalledApp) -> Arc<InstalledApp> {
        let app = Arc::new(app);
        self.lock().insert(app.bundle_id.clone(), Arc::clone(&app));
        app
    }

    /// Takes an app away.
    pub(super) fn take(&self, bundle_id: &str) {
        self.lock().remove(bundle_id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<InstalledApp>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InstalledApp {
    /// Where the phone says that the executable is: `procPath` of a crash report.
    #[must_use]
    pub fn executable_path(&self) -> String {
        format!("{}/{}", self.path, self.executable_name)
    }

    /// Everything that installation_proxy tells about it: its `Info.plist` and what the system adds.
    #[must_use]
    pub fn attributes(&self) -> Dictionary {
        let mut told = self.info.clone();
        let mut environment = Dictionary::new();
        for (name, value) in [
            ("CFFIXED_USER_HOME", self.container_path.clone()),
            ("HOME", self.container_path.clone()),
            ("TMPDIR", format!("{}/tmp", self.container_path)),
        ] {
            environment.insert(name.to_owned(), value.into());
        }
        let own: [(&str, Value); 11] = [
            ("ApplicationType", self.kind.word().into()),
            ("Path", self.path.clone().into()),
            ("Container", self.container_path.clone().into()),
            ("BundlePath", self.path.clone().into()),
            ("StaticDiskUsage", self.bundle_bytes.into()),
            ("DynamicDiskUsage", 0_u64.into()),
            ("IsUpgradeable", (self.kind == AppKind::User).into()),
            ("IsAppClip", false.into()),
            ("SequenceNumber", 1_u64.into()),
            ("Entitlements", Value::Dictionary(self.entitlements.clone())),
            ("EnvironmentVariables", Value::Dictionary(environment)),
        ];
        for (key, value) in own {
            told.insert(key.to_owned(), value);
        }
        told.insert("CFBundleIdentifier".to_owned(), self.bundle_id.clone().into());
        if self.kind == AppKind::User {
            told.insert("SignerIdentity".to_owned(), "Apple Development: Simulated".into());
            told.insert("ProfileValidated".to_owned(), true.into());
        }
        told
    }
}
