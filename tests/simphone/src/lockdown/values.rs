//! What lockdown tells about a phone, by domain and key. Who may ask what is decided in [`server`](super::server).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use plist::{Dictionary, Value};

use super::keys::DEVICE_PUBLIC_KEY;
use crate::framing::dict;
use crate::phone::{Passcode, Phone};

/// How many values clients may set on one phone.
const SET_VALUES_MAX: usize = 1_000;

/// What a phone tells to everybody, before any session.
const TOLD_TO_STRANGERS: &[&str] = &[
    "ActivationState",
    "BoardId",
    "BuildVersion",
    "CPUArchitecture",
    "ChipID",
    "DeviceClass",
    "DeviceColor",
    "DeviceName",
    "DevicePublicKey",
    "DieID",
    "HardwareModel",
    "HasSiDP",
    "HoldfastSimulated",
    "HostAttached",
    "HumanReadableProductVersionString",
    "PartitionType",
    "PasswordProtected",
    "ProductName",
    "ProductType",
    "ProductVersion",
    "ProductionSOC",
    "ProtocolVersion",
    "SupportedDeviceFamilies",
    "TelephonyCapability",
    "UniqueChipID",
    "UniqueDeviceID",
    "WiFiAddress",
];

/// What clients have set on one phone, by domain (empty for none) and key.
#[derive(Debug, Default)]
pub struct SetValues {
    values: Mutex<BTreeMap<(String, String), Value>>,
}

impl SetValues {
    /// Keeps a value; `false` when there are too many already.
    pub fn set(&self, domain: &str, key: &str, value: Value) -> bool {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() >= SET_VALUES_MAX {
            return false;
        }
        values.insert((domain.to_owned(), key.to_owned()), value);
        true
    }

    /// Forgets a value; `false` when there was none.
    pub fn remove(&self, domain: &str, key: &str) -> bool {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.remove(&(domain.to_owned(), key.to_owned())).is_some()
    }

    fn lay_over(&self, domain: &str, told: &mut Dictionary) {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        for ((_, key), value) in values.iter().filter(|((set_in, _), _)| set_in == domain) {
            told.insert(key.clone(), value.clone());
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Nobody in particular.
    Stranger,
    /// A paired computer in a session.
    Trusted,
}

/// Everything of a domain (empty for none) that may be told to this asker; `None` when the domain is closed to them.
pub(super) fn domain(phone: &Phone, domain: &str, asker: Asker) -> Option<Dictionary> {
    if asker == Asker::Stranger {
        let mut told = if domain.is_empty() { top_level(phone) } else { return None };
        told.retain(|key, _| TOLD_TO_STRANGERS.contains(&key.as_str()));
        return Some(told);
    }
    let mut told = match domain {
        "" => top_level(phone),
        "com.apple.mobile.battery" => battery(phone),
        "com.apple.disk_usage" | "com.apple.disk_usage.factory" => disk_usage(phone),
        "com.apple.security.mac.amfi" => {
            from(dict([("DeveloperModeStatus", phone.state().developer_mode.into())]))
        }
        "com.apple.mobile.wireless_lockdown" => from(dict([
            ("BonjourFullServiceName", format!("{}@simulated", phone.identity.wifi_mac).into()),
            ("EnableWifiConnections", false.into()),
            ("EnableWifiDebugging", false.into()),
            ("SupportsWifi", true.into()),
            ("SupportsWifiSyncing", true.into()),
        ])),
        "com.apple.international" => from(dict([
            ("Keyboard", "en_US".into()),
            ("Language", "en".into()),
            ("Locale", "en_US".into()),
            ("SupportedKeyboards", Value::Array(vec!["en_US".into()])),
            ("SupportedLanguages", Value::Array(vec!["en".into()])),
            ("SupportedLocales", Value::Array(vec!["en_US".into()])),
        ])),
        "com.apple.xcode.developerdomain" => from(dict([("DeveloperStatus", "Development".into())])),
        _ => Dictionary::new(),
    };
    phone.lockdown.set_values.lay_over(domain, &mut told);
    Some(told)
}

fn top_level(phone: &Phone) -> Dictionary {
    let mut told = from(identity(phone));
    let state = phone.state();
    let now = phone.clock.now();
    let zone_seconds = phone.clock.now_zoned().offset().seconds();
    let seconds = now.as_microsecond() as f64 / 1e6;
    let changing = dict([
        ("ActivationState", "Activated".into()),
        ("BrickState", false.into()),
        ("DeviceName", state.name.into()),
        ("HostAttached", true.into()),
        ("PasswordProtected", (state.passcode == Passcode::Locked).into()),
        ("TimeIntervalSince1970", seconds.into()),
        ("TimeZone", phone.clock.zone_name().into()),
        ("TimeZoneOffsetFromUTC", f64::from(zone_seconds).into()),
        ("TrustedHostAttached", true.into()),
        ("Uses24HourClock", true.into()),
        ("iTunesHasConnected", true.into()),
    ]);
    told.extend(from(changing));
    told
}

fn identity(phone: &Phone) -> Value {
    let who = &phone.identity;
    let model = who.model;
    dict([
        ("BasebandStatus", "BBInfoAvailable".into()),
        ("BasebandVersion", "4.02.01".into()),
        ("BluetoothAddress", who.bluetooth_mac.as_str().into()),
        ("BoardId", model.board_id.into()),
        ("BuildVersion", who.ios_build.as_str().into()),
        ("CPUArchitecture", "arm64e".into()),
        ("ChipID", model.chip_id.into()),
        ("DeviceClass", "iPhone".into()),
        ("DeviceColor", "1".into()),
        ("DeviceEnclosureColor", "1".into()),
        ("DevicePublicKey", Value::Data(DEVICE_PUBLIC_KEY.to_vec())),
        ("DieID", who.ecid.into()),
        ("EthernetAddress", who.wifi_mac.as_str().into()),
        ("FirmwareVersion", format!("simulated-{}", who.ios_build).into()),
        ("HardwareModel", model.hardware_model.into()),
        ("HardwarePlatform", format!("t{:04x}", model.chip_id).into()),
        ("HasSiDP", true.into()),
        // No real phone has this key: by it every tool of the farm knows and says that the phone is simulated.
        ("HoldfastSimulated", true.into()),
        ("HumanReadableProductVersionString", who.ios.to_string().into()),
        ("InternationalMobileEquipmentIdentity", "000000000000000".into()),
        ("MLBSerialNumber", format!("{}MLB", who.serial_number).into()),
        ("ModelNumber", model.model_number.into()),
        ("PartitionType", "GUID_partition_scheme".into()),
        ("ProductName", "iPhone OS".into()),
        ("ProductType", model.product_type.into()),
        ("ProductVersion", who.ios.to_string().into()),
        ("ProductionSOC", true.into()),
        ("ProtocolVersion", "2".into()),
        ("RegionInfo", who.region.as_str().into()),
        ("SerialNumber", who.serial_number.as_str().into()),
        ("SIMStatus", "kCTSIMSupportSIMStatusNotInserted".into()),
        ("SupportedDeviceFamilies", Value::Array(vec![1_u32.into()])),
        ("TelephonyCapability", true.into()),
        ("UniqueChipID", who.ecid.into()),
        ("UniqueDeviceID", who.udid.as_str().into()),
        ("UseRaptorCerts", true.into()),
        ("WiFiAddress", who.wifi_mac.as_str().into()),
    ])
}

fn battery(phone: &Phone) -> Dictionary {
    let battery = phone.state().battery;
    from(dict([
        ("BatteryCurrentCapacity", u32::from(battery.percent).into()),
        ("BatteryIsCharging", battery.charging.into()),
        ("ExternalChargeCapable", true.into()),
        ("ExternalConnected", true.into()),
        ("FullyCharged", (battery.percent == 100).into()),
        ("GasGaugeCapability", true.into()),
        ("HasBattery", true.into()),
    ]))
}

fn disk_usage(phone: &Phone) -> Dictionary {
    let (capacity, free) = (phone.disk.capacity_bytes(), phone.disk.free_bytes());
    // The share of a real phone's storage that its system volume takes.
    let system = capacity / 10;
    from(dict([
        ("AmountDataAvailable", free.into()),
        ("AmountDataReserved", 209_715_200_u64.into()),
        ("AmountRestoreAvailable", free.into()),
        ("CalculateDiskUsage", "OkilyDokily".into()),
        ("TotalDataAvailable", free.into()),
        ("TotalDataCapacity", (capacity - system).into()),
        ("TotalDiskCapacity", capacity.into()),
        ("TotalSystemAvailable", 0_u64.into()),
        ("TotalSystemCapacity", system.into()),
    ]))
}

fn from(value: Value) -> Dictionary {
    value.into_dictionary().unwrap_or_default()
}
