//! Puts an app on a phone, and takes it away: the steps that iOS takes, in its order and with its words. How clients
//! ask for it is told by [`proxy`](super::proxy) and [`conduit`](super::conduit).

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::apps::{AppKind, InstalledApp};
use super::package::{Package, text};
use super::refusal::Refusal;
use super::unpack::unpack;
use crate::behave::{self, SIGKILL};
use crate::events::Event;
use crate::log::LogLine;
use crate::phone::{Phone, random_uuid};

/// The process that speaks of installations in the log.
const INSTALLD: &str = "/usr/libexec/installd";

/// One step of an installation, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// `Status`.
    pub(super) status: &'static str,
    /// `PercentComplete`.
    pub(super) percent: u64,
}

/// Installs the package at `path`, an archive or a folder of the host, and tells each step before it is taken.
/// An app with the same bundle id is replaced, older or newer, as iOS allows to developers. Blocks; one installation
/// runs at a time on one phone.
pub(super) fn install(
    phone: &Phone,
    path: &Path,
    tell: &mut dyn FnMut(Step),
) -> Result<Arc<InstalledApp>, Refusal> {
    let staging = phone.disk.root().join("staging").join(random_uuid());
    let installed = phone.apps.one_at_a_time(|| install_into(phone, path, &staging, tell));
    if let Err(error) = fs::remove_dir_all(&staging)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, staging = %staging.display(), "cannot remove the staging folder of an installation");
    }
    match &installed {
        Ok(app) => {
            let version = format!("{} ({})", app.version, app.build);
            log(phone, format!("Installed {} {version} at {}", app.bundle_id, app.path));
            phone.events.record(Event::Installed { bundle_id: app.bundle_id.clone(), version });
            phone.post("com.apple.mobile.application_installed");
        }
        Err(refusal) => {
            log(phone, format!("Installation failed: {refusal}"));
            phone.events.record(Event::InstallRefused { reason: refusal.to_string() });
        }
    }
    installed
}

/// Removes an app with its data. One that is not there counts as removed, as on iOS.
pub(super) fn uninstall(phone: &Phone, bundle_id: &str) -> Result<(), Refusal> {
    let Some(app) = phone.apps.get(bundle_id) else { return Ok(()) };
    if app.kind == AppKind::System {
        return Err(Refusal::new("UninstallProhibited", format!("{bundle_id} is part of iOS")));
    }
    phone.apps.one_at_a_time(|| {
        end_running(phone, bundle_id);
        phone.apps.take(bundle_id);
        phone.disk.release(app.bundle_bytes + bytes_below(&app.container));
        fs::remove_dir_all(phone.disk.apps().join(bundle_id))
            .map_err(|error| Refusal::internal("removing the app", &error))
    })?;
    log(phone, format!("Uninstalled {bundle_id}"));
    phone.events.record(Event::Uninstalled { bundle_id: bundle_id.to_owned() });
    phone.post("com.apple.mobile.application_uninstalled");
    Ok(())
}

/// Takes an installed package out of the media folder, with the bytes that its upload took from the storage.
pub(super) fn remove_staged(phone: &Phone, package: &Path) {
    let bytes = bytes_below(package);
    let removed = if package.is_dir() { fs::remove_dir_all(package) } else { fs::remove_file(package) };
    match removed {
        Ok(()) => phone.disk.release(bytes),
        Err(error) => {
            tracing::warn!(%error, package = %package.display(), "cannot remove an installed package")
        }
    }
}

/// The place of the host that a client means by a path of the media folder; `None` when it is outside or not there.
pub(super) fn in_media(phone: &Phone, path: &str) -> Option<PathBuf> {
    let relative = ["/private/var/mobile/Media/", "/var/mobile/Media/"]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        .unwrap_or(path);
    let mut place = phone.disk.media();
    for component in Path::new(relative).components() {
        match component {
            Component::Normal(part) => place.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    // Links inside the media folder must not lead out of it.
    let root = phone.disk.media().canonicalize().ok()?;
    let place = place.canonicalize().ok()?;
    (place.starts_with(&root) && place != root).then_some(place)
}

fn install_into(
    phone: &Phone,
    path: &Path,
    staging: &Path,
    tell: &mut dyn FnMut(Step),
) -> Result<Arc<InstalledApp>, Refusal> {
    let mut step = |status, percent| tell(Step { status, percent });
    step("CreatingStagingDirectory", 5);
    step("ExtractingPackage", 15);
    let unpacked = unpack(&phone.disk, path, staging)?;
    let judged = (|| {
        step("InspectingPackage", 20);
        let mut package = Package::inspect(staging)?;
        step("TakingInstallLock", 20);
        step("PreflightingApplication", 30);
        package.check_fit(&phone.identity)?;
        step("VerifyingApplication", 40);
        if let Some(told) = phone.faults.refuse_install() {
            return Err(Refusal::from_fault(&told, &package.folder_name));
        }
        package.check_signature(&phone.identity.udid, phone.clock.now())?;
        check_upgrade(phone, &package)?;
        step("CreatingContainer", 50);
        step("InstallingApplication", 60);
        end_running(phone, &package.bundle_id);
        put_in_place(phone, package, staging, unpacked.bytes)
    })();
    match judged {
        Ok(app) => {
            step("PostflightingApplication", 70);
            step("SandboxingApplication", 80);
            step("GeneratingApplicationMap", 90);
            Ok(app)
        }
        Err(refusal) => {
            phone.disk.release(unpacked.bytes);
            Err(refusal)
        }
    }
}

/// The bytes of a file, or of all files below a folder; links are not followed. What is gone counts nothing.
fn bytes_below(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_below(&entry.path())).sum()
}

/// iOS ends an app that is running before it replaces or removes it.
fn end_running(phone: &Phone, bundle_id: &str) {
    let Some(process) = behave::find_app(phone, bundle_id) else { return };
    // Apps run in tasks of the runtime: without one there is nothing to wait for.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.block_on(behave::kill(phone, process.pid, SIGKILL));
    }
}

/// A line of installd in the phone's system log.
fn log(phone: &Phone, message: String) {
    let installd = behave::processes(phone).into_iter().find(|process| process.path == INSTALLD);
    let pid = installd.map_or(0, |process| process.pid);
    phone.log.write(LogLine::notice(phone.clock.now(), pid, INSTALLD, message));
}

/// An upgrade must come from the same team: iOS compares the application-identifier entitlements.
fn check_upgrade(phone: &Phone, package: &Package) -> Result<(), Refusal> {
    let Some(old) = phone.apps.get(&package.bundle_id) else { return Ok(()) };
    if old.kind == AppKind::System {
        return Err(Refusal::new("InstallProhibited", format!("{} is part of iOS", package.bundle_id)));
    }
    let [before, after] = [&old.entitlements, &package.entitlements]
        .map(|entitlements| text(entitlements, "application-identifier"));
    if before != after {
        return Err(Refusal::new(
            "MismatchedApplicationIdentifierEntitlement",
            format!(
                "Upgrade's application-identifier entitlement string ({}) does not match installed application's \
                 application-identifier string ({}); rejecting upgrade.",
                after.unwrap_or_default(),
                before.unwrap_or_default()
            ),
        ));
    }
    Ok(())
}

fn put_in_place(
    phone: &Phone,
    package: Package,
    staging: &Path,
    bytes: u64,
) -> Result<Arc<InstalledApp>, Refusal> {
    let internal = |error: std::io::Error| Refusal::internal("moving the app into place", &error);
    let home = phone.disk.apps().join(&package.bundle_id);
    let bundle = home.join("bundle");
    let container = phone.disk.container(&package.bundle_id);
    for folder in ["Documents", "Library/Caches", "Library/Preferences", "SystemData", "tmp"] {
        fs::create_dir_all(container.join(folder)).map_err(internal)?;
    }
    if bundle.exists() {
        fs::rename(&bundle, staging.join("replaced")).map_err(internal)?;
    }
    fs::rename(&package.folder, &bundle).map_err(internal)?;
    let old = phone.apps.get(&package.bundle_id);
    let container_path = old.as_ref().map_or_else(
        || format!("/private/var/mobile/Containers/Data/Application/{}", random_uuid()),
        |old| old.container_path.clone(),
    );
    let told = |key| text(&package.info, key);
    let app = InstalledApp {
        name: told("CFBundleDisplayName").or_else(|| told("CFBundleName")).unwrap_or_default(),
        version: told("CFBundleShortVersionString").unwrap_or_default(),
        build: told("CFBundleVersion").unwrap_or_default(),
        executable: Some(bundle.join(&package.executable)),
        executable_name: package.executable,
        bundle_folder: Some(bundle),
        container,
        slice_uuid: package.slice_uuid,
        path: format!("/private/var/containers/Bundle/Application/{}/{}", random_uuid(), package.folder_name),
        container_path,
        kind: AppKind::User,
        bundle_bytes: bytes,
        bundle_id: package.bundle_id,
        info: package.info,
        entitlements: package.entitlements,
    };
    let app = phone.apps.put(app);
    if let Some(old) = old {
        phone.disk.release(old.bundle_bytes);
    }
    Ok(app)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::identity::{Identity, IosVersion, MODELS};

    fn phone(folder: &Path) -> Phone {
        let ios = IosVersion { major: 16, minor: 7, patch: 2 };
        Phone::new(Identity::at_position(0, &MODELS[0], ios), folder.to_owned()).unwrap().0
    }

    fn build(number: u32) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../builds/mooring-{number}.ipa"))
    }

    /// Copies build 140 and lets `change` alter or drop (`None`) each file.
    fn variant(folder: &Path, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> PathBuf {
        let mut from = zip::ZipArchive::new(fs::File::open(build(140)).unwrap()).unwrap();
        let place = folder.join("variant.ipa");
        let mut to = zip::ZipWriter::new(fs::File::create(&place).unwrap());
        for index in 0..from.len() {
            let mut entry = from.by_index(index).unwrap();
            let name = entry.name().unwrap().into_owned();
            if entry.is_dir() {
                continue;
            }
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes).unwrap();
            if let Some(bytes) = change(&name, bytes) {
                to.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
                to.write_all(&bytes).unwrap();
            }
        }
        to.finish().unwrap();
        place
    }

    /// Build 140 with one key of its `Info.plist` changed.
    fn with_info(folder: &Path, key: &str, value: plist::Value) -> PathBuf {
        variant(folder, |name, bytes| {
            if !name.ends_with("Info.plist") {
                return Some(bytes);
            }
            let mut info = plist::Value::from_reader(std::io::Cursor::new(bytes)).unwrap();
            info.as_dictionary_mut().unwrap().insert(key.to_owned(), value.clone());
            let mut out = Vec::new();
            plist::to_writer_binary(&mut out, &info).unwrap();
            Some(out)
        })
    }

    #[test]
    fn a_build_is_installed_upgraded_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let phone = phone(folder.path());
        let free = phone.disk.free_bytes();
        let mut uuids = Vec::new();
        for number in [140, 141, 140] {
            let mut steps = Vec::new();
            let app = install(&phone, &build(number), &mut |step| steps.push(step)).unwrap();
            assert_eq!(app.build, number.to_string());
            assert_eq!((app.name.as_str(), app.version.as_str()), ("Mooring", "1.4.0"));
            assert!(app.executable.as_ref().unwrap().is_file());
            assert!(app.container.join("Documents").is_dir());
            assert!(steps.is_sorted_by_key(|step| step.percent), "{steps:?}");
            assert_eq!(steps.first().map(|step| step.status), Some("CreatingStagingDirectory"));
            assert_eq!(steps.last().map(|step| step.percent), Some(90));
            // As house_arrest does, which takes the bytes from the storage; the file is kept by upgrades.
            let kept = app.container.join("Documents/kept");
            if !kept.exists() {
                phone.disk.reserve(11).unwrap();
                fs::write(kept, "by upgrades").unwrap();
            }
            uuids.push(app.slice_uuid.unwrap());
        }
        assert_eq!(uuids[0], uuids[2]);
        assert_ne!(uuids[0], uuids[1]);
        assert!(phone.disk.free_bytes() < free);
        uninstall(&phone, "dev.holdfast.demo.mooring").unwrap();
        assert!(phone.apps.get("dev.holdfast.demo.mooring").is_none());
        assert!(!phone.disk.container("dev.holdfast.demo.mooring").exists());
        assert_eq!(phone.disk.free_bytes(), free, "every byte is given back");
        uninstall(&phone, "dev.holdfast.demo.mooring").unwrap();
        assert_eq!(uninstall(&phone, "com.apple.Preferences").unwrap_err().error, "UninstallProhibited");
    }

    #[test]
    fn an_upload_that_was_installed_is_gone_with_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let phone = phone(folder.path());
        let free = phone.disk.free_bytes();
        let staged = phone.disk.media().join("PublicStaging/a.ipa");
        phone.disk.reserve(fs::metadata(build(140)).unwrap().len()).unwrap();
        fs::copy(build(140), &staged).unwrap();
        remove_staged(&phone, &staged);
        assert!(!staged.exists());
        assert_eq!(phone.disk.free_bytes(), free);
    }

    #[test]
    fn what_ios_refuses_is_refused_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let phone = phone(&folder.path().join("phone"));
        let other = folder.path();
        let free = phone.disk.free_bytes();
        let not_an_archive = other.join("not-an-archive.ipa");
        fs::write(&not_an_archive, "hello").unwrap();
        let escaping = other.join("escaping.ipa");
        let mut zip = zip::ZipWriter::new(fs::File::create(&escaping).unwrap());
        zip.start_file("../../outside", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"x").unwrap();
        zip.finish().unwrap();
        let without =
            |part: &'static str| variant(other, move |name, bytes| (!name.ends_with(part)).then_some(bytes));
        let families = || plist::Value::Array(vec![2_u64.into()]);
        let simulator = || plist::Value::Array(vec!["iPhoneSimulator".into()]);
        type Case<'a> = (&'a str, &'a str, Box<dyn Fn() -> PathBuf + 'a>);
        let cases: Vec<Case<'_>> = vec![
            ("PackageExtractionFailed", "archive", Box::new(|| not_an_archive.clone())),
            ("PackageExtractionFailed", "leaves the package", Box::new(|| escaping.clone())),
            ("PackageInspectionFailed", "Info.plist", Box::new(|| without("Info.plist"))),
            ("MissingBundleExecutable", "Mooring.app", Box::new(|| without("Mooring.app/Mooring"))),
            ("ApplicationVerificationFailed", "0xe8008015", Box::new(|| without("embedded.mobileprovision"))),
            (
                "DeviceOSVersionTooLow",
                "26.0",
                Box::new(|| with_info(other, "MinimumOSVersion", "26.0".into())),
            ),
            (
                "DeviceFamilyNotSupported",
                "iPhone",
                Box::new(|| with_info(other, "UIDeviceFamily", families())),
            ),
            (
                "IncorrectArchitecture",
                "iPhoneOS",
                Box::new(|| with_info(other, "CFBundleSupportedPlatforms", simulator())),
            ),
            (
                "MissingBundleIdentifier",
                "Mooring.app",
                Box::new(|| with_info(other, "CFBundleIdentifier", "../../x".into())),
            ),
            (
                "IncorrectArchitecture",
                "arch",
                Box::new(|| {
                    variant(other, |name, bytes| {
                        Some(if name.ends_with("/Mooring") { b"#!/bin/sh".to_vec() } else { bytes })
                    })
                }),
            ),
        ];
        for (error, part, package) in cases {
            let refusal = install(&phone, &package(), &mut |_| {}).unwrap_err();
            assert_eq!(refusal.error, error, "{refusal}");
            assert!(refusal.description.contains(part), "{refusal} names {part}");
            assert_eq!(phone.disk.free_bytes(), free, "{error} gives back every byte");
        }
        assert!(!folder.path().join("outside").exists());
        assert!(phone.apps.get("dev.holdfast.demo.mooring").is_none());

        phone.disk.set_free_bytes(10_000);
        let refusal = install(&phone, &build(140), &mut |_| {}).unwrap_err();
        assert!(refusal.description.contains("No space left"), "{refusal}");
        phone.disk.set_free_bytes(free);
        phone.faults.set_refuse_install(Some("ApplicationVerificationFailed".to_owned()));
        let refusal = install(&phone, &build(140), &mut |_| {}).unwrap_err();
        assert!(refusal.description.contains("0xe8008015"), "{refusal}");
        phone.faults.set_refuse_install(None);
        assert!(install(&phone, &build(140), &mut |_| {}).is_ok());
    }

    #[test]
    fn packages_are_found_in_the_media_folder_only() {
        let folder = tempfile::tempdir().unwrap();
        let phone = phone(folder.path());
        fs::write(phone.disk.media().join("PublicStaging/a.ipa"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", phone.disk.media().join("PublicStaging/link")).unwrap();
        for (path, found) in [
            ("PublicStaging/a.ipa", true),
            ("./PublicStaging/a.ipa", true),
            ("/PublicStaging/a.ipa", true),
            ("/var/mobile/Media/PublicStaging/a.ipa", true),
            ("PublicStaging/b.ipa", false),
            ("PublicStaging/link", false),
            ("../crashes", false),
            ("/", false),
        ] {
            assert_eq!(in_media(&phone, path).is_some(), found, "{path}");
        }
    }
}
