//! Judges an unpacked package as iOS does: is it an app, for this phone, signed for this phone? Unpacking is done by
//! [`unpack`](super::unpack), and putting the app in place by [`installer`](super::installer).

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use object::read::macho::{FatArch, MachHeader};
use object::{Endianness, macho};
use plist::{Dictionary, Value};

use super::refusal::{Refusal, no_profile};
use crate::identity::{Identity, IosVersion};

/// An executable over this size is refused: Apple's own limit for the code of one app is 500 MB.
const EXECUTABLE_BYTES_MAX: u64 = 500_000_000;

/// The device family of iPhones in `UIDeviceFamily`.
const FAMILY_IPHONE: u64 = 1;

/// What the phone found in a package.
#[derive(Debug)]
pub(super) struct Package {
    /// The `.app` folder.
    pub(super) folder: PathBuf,
    /// Its name, such as `Mooring.app`.
    pub(super) folder_name: String,
    /// `CFBundleIdentifier`.
    pub(super) bundle_id: String,
    /// `CFBundleExecutable`.
    pub(super) executable: String,
    /// `LC_UUID` of the arm64 slice.
    pub(super) slice_uuid: Option<[u8; 16]>,
    /// The whole `Info.plist`.
    pub(super) info: Dictionary,
    /// The entitlements of the provisioning profile.
    pub(super) entitlements: Dictionary,
    signed: Signed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signed {
    No,
    Yes,
}

impl Package {
    /// Looks into the folder into which a package was unpacked.
    pub(super) fn inspect(root: &Path) -> Result<Self, Refusal> {
        let folder = find_app(root)?;
        let folder_name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let info =
            Value::from_file(folder.join("Info.plist")).ok().and_then(Value::into_dictionary).ok_or_else(
                || Refusal::inspection(format!("Failed to load Info.plist from bundle {folder_name}")),
            )?;
        let bundle_id = text(&info, "CFBundleIdentifier").filter(|id| is_bundle_id(id)).ok_or_else(|| {
            Refusal::new("MissingBundleIdentifier", format!("No usable CFBundleIdentifier in {folder_name}"))
        })?;
        let missing = |why: &str| {
            Refusal::new(
                "MissingBundleExecutable",
                format!("Bundle {folder_name} has {why} CFBundleExecutable"),
            )
        };
        let executable = text(&info, "CFBundleExecutable")
            .filter(|name| !name.is_empty() && !name.contains('/') && !name.starts_with('.'))
            .ok_or_else(|| missing("no usable"))?;
        let place = folder.join(&executable);
        if !fs::metadata(&place)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= EXECUTABLE_BYTES_MAX)
        {
            return Err(missing("no file for its"));
        }
        let bytes = fs::read(&place).map_err(|error| Refusal::internal("reading the executable", &error))?;
        let slice = arm64_slice(&bytes).ok_or_else(|| {
            Refusal::new(
                "IncorrectArchitecture",
                format!("Failed to find matching arch for input file: {folder_name}/{executable}"),
            )
        })?;
        Ok(Self {
            folder_name,
            bundle_id,
            executable,
            slice_uuid: slice.uuid,
            signed: slice.signed,
            info,
            entitlements: Dictionary::new(),
            folder,
        })
    }

    /// Whether the app is made for phones like this one.
    pub(super) fn check_fit(&self, identity: &Identity) -> Result<(), Refusal> {
        if let Some(platforms) = self.info.get("CFBundleSupportedPlatforms").and_then(Value::as_array)
            && !platforms.iter().any(|platform| platform.as_string() == Some("iPhoneOS"))
        {
            return Err(Refusal::new(
                "IncorrectArchitecture",
                format!("{} does not support the platform iPhoneOS", self.folder_name),
            ));
        }
        if let Some(wanted) = text(&self.info, "MinimumOSVersion") {
            let least: IosVersion = wanted
                .parse()
                .map_err(|_| Refusal::inspection(format!("MinimumOSVersion `{wanted}` is not a version")))?;
            if least > identity.ios {
                return Err(Refusal::new(
                    "DeviceOSVersionTooLow",
                    format!(
                        "The application requires iOS {wanted} or later, and this device has {}",
                        identity.ios
                    ),
                ));
            }
        }
        if let Some(families) = self.info.get("UIDeviceFamily").and_then(Value::as_array)
            && !families.iter().any(|family| family.as_unsigned_integer() == Some(FAMILY_IPHONE))
        {
            return Err(Refusal::new(
                "DeviceFamilyNotSupported",
                format!("{} does not support the device family of an iPhone", self.folder_name),
            ));
        }
        Ok(())
    }

    /// Whether the app is signed for this phone. Nothing cryptographic is verified: what is looked at is whether
    /// there is a signature, and what the provisioning profile says of phones and dates.
    pub(super) fn check_signature(&mut self, udid: &str, now: Timestamp) -> Result<(), Refusal> {
        if self.signed == Signed::No {
            return Err(Refusal::signature(&self.folder_name, 0xe800_801c, "No code signature found."));
        }
        let profile = fs::read(self.folder.join("embedded.mobileprovision"))
            .ok()
            .and_then(|bytes| profile_in(&bytes))
            .ok_or_else(|| no_profile(&self.folder_name))?;
        if let Some(expires) = profile.get("ExpirationDate").and_then(Value::as_date) {
            let expires = Timestamp::try_from(std::time::SystemTime::from(expires)).unwrap_or(Timestamp::MAX);
            if expires <= now {
                return Err(Refusal::signature(
                    &self.folder_name,
                    0xe800_8011,
                    "This provisioning profile has expired.",
                ));
            }
        }
        let for_all = profile.get("ProvisionsAllDevices").and_then(Value::as_boolean) == Some(true);
        let listed = profile
            .get("ProvisionedDevices")
            .and_then(Value::as_array)
            .is_some_and(|devices| devices.iter().any(|device| device.as_string() == Some(udid)));
        if !for_all && !listed {
            return Err(Refusal::signature(
                &self.folder_name,
                0xe800_8012,
                "This provisioning profile cannot be installed on this device.",
            ));
        }
        if let Some(entitlements) = profile.get("Entitlements").and_then(Value::as_dictionary) {
            self.entitlements = entitlements.clone();
        }
        Ok(())
    }
}

/// A string of a dictionary.
pub(super) fn text(dictionary: &Dictionary, key: &str) -> Option<String> {
    dictionary.get(key).and_then(Value::as_string).map(str::to_owned)
}

/// Whether the text can name an app; it becomes a folder's name too.
fn is_bundle_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !id.is_empty() && id.len() <= 155 && !id.starts_with('.') && id.chars().all(fits)
}

fn find_app(root: &Path) -> Result<PathBuf, Refusal> {
    let none = || Refusal::inspection("Failed to find Payload/*.app in the package");
    let mut apps: Vec<PathBuf> = fs::read_dir(root.join("Payload"))
        .map_err(|_| none())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && path.extension().is_some_and(|extension| extension == "app"))
        .collect();
    match (apps.pop(), apps.is_empty()) {
        (Some(app), true) => Ok(app),
        (Some(_), false) => Err(Refusal::inspection("Found more than one Payload/*.app in the package")),
        (None, _) => Err(none()),
    }
}

/// The property list inside a profile: real ones are wrapped in a signature (CMS) that leaves the text readable.
pub(crate) fn profile_in(bytes: &[u8]) -> Option<Dictionary> {
    let find = |needle: &[u8], from: usize| {
        bytes.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|at| at + from)
    };
    let start = find(b"<?xml", 0)?;
    let end = find(b"</plist>", start)? + b"</plist>".len();
    Value::from_reader_xml(bytes.get(start..end)?).ok()?.into_dictionary()
}

struct Slice {
    uuid: Option<[u8; 16]>,
    signed: Signed,
}

/// Reads the arm64 (or arm64e) slice of a thin or fat Mach-O; `None` when there is none.
fn arm64_slice(bytes: &[u8]) -> Option<Slice> {
    if let Ok(fat) = object::read::macho::MachOFatFile32::parse(bytes) {
        let arch = fat.arches().iter().find(|arch| arch.cputype() == macho::CPU_TYPE_ARM64)?;
        return thin_slice(arch.data(bytes).ok()?);
    }
    thin_slice(bytes)
}

fn thin_slice(bytes: &[u8]) -> Option<Slice> {
    let header = macho::MachHeader64::<Endianness>::parse(bytes, 0).ok()?;
    let endian = header.endian().ok()?;
    if header.cputype(endian) != macho::CPU_TYPE_ARM64 {
        return None;
    }
    let mut slice = Slice { uuid: None, signed: Signed::No };
    let mut commands = header.load_commands(endian, bytes, 0).ok()?;
    while let Ok(Some(command)) = commands.next() {
        if let Ok(Some(uuid)) = command.uuid() {
            slice.uuid = Some(uuid.uuid);
        }
        if command.cmd() == macho::LC_CODE_SIGNATURE {
            slice.signed = Signed::Yes;
        }
    }
    Some(slice)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn bundle_ids_are_names_of_folders_too() {
        for (id, fits) in [
            ("dev.holdfast.demo.mooring", true),
            ("a", true),
            ("", false),
            ("../../etc", false),
            (".hidden", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(is_bundle_id(id), fits, "{id:?}");
        }
    }

    #[test]
    fn a_profile_is_found_inside_its_signature() {
        let wrapped = [
            b"\x30\x82\x01\x00junk".as_slice(),
            b"<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>Name</key><string>n</string></dict></plist>",
            b"\x00\xff signature",
        ]
        .concat();
        let profile = profile_in(&wrapped);
        assert_eq!(profile.and_then(|profile| text(&profile, "Name")).as_deref(), Some("n"));
        assert_eq!(profile_in(b"<?xml without an end"), None);
        assert_eq!(profile_in(b""), None);
    }

    /// The executable of build 140.
    fn executable() -> Vec<u8> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builds/mooring-140.ipa");
        let mut archive = zip::ZipArchive::new(fs::File::open(place).unwrap()).unwrap();
        let mut bytes = Vec::new();
        std::io::copy(&mut archive.by_name("Payload/Mooring.app/Mooring").unwrap(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_slice_of_a_build_is_signed_and_has_a_uuid() {
        let slice = arm64_slice(&executable()).unwrap();
        assert!(slice.uuid.is_some());
        assert_eq!(slice.signed, Signed::Yes);
    }

    proptest::proptest! {
        #[test]
        fn damaged_executables_and_profiles_are_no_reason_to_panic(
            damage in proptest::collection::vec((0_usize..4096, proptest::num::u8::ANY), 1..40),
            length in 0_usize..70_000,
        ) {
            let mut bytes = executable();
            for (at, value) in damage {
                bytes[at] = value;
            }
            bytes.truncate(length);
            let _slice = arm64_slice(&bytes);
            let _profile = profile_in(&bytes);
        }
    }
}
