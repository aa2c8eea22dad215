//! Everything a phone tells of itself, put together from lockdown, diagnostics and the list of apps. Its crash folder is
//! in [`crashes`](crate::crashes).

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_device::FaultKind;
use holdfast_wire::id::Slot;
use holdfast_wire::phone::{Battery, InstalledApp, OsVersion, Pairing, PhoneFacts, Storage};
use idevice::Idevice;
use idevice::diagnostics_relay::DiagnosticsRelayClient;
use plist::{Dictionary, Value};

use crate::error::UsbError;
use crate::guard::heard;
use crate::lockdown::{Lockdown, Target};
use crate::talk::Talk;
use crate::{apps, battery, models};

/// The service that shows the registry and restarts the phone.
pub(crate) const DIAGNOSTICS: &str = "com.apple.mobile.diagnostics_relay";

/// Set by simulated phones alone.
const SIMULATED: &str = "HoldfastSimulated";

/// Where the phone is plugged in, which it cannot tell itself.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) slot: Slot,
    pub(crate) speed_bps: Option<u64>,
}

/// The facts of a phone that trusts this rack. Parts that a locked phone does not tell stay empty.
pub(crate) async fn read(
    lockdown: &Lockdown,
    place: &Place,
    question: Duration,
) -> Result<PhoneFacts, UsbError> {
    let values = heard(question, lockdown.value(None, None)).await?;
    let values = values.and_then(Value::into_dictionary).unwrap_or_default();
    let mut facts = basic(lockdown.target(), place, &values, Pairing::Paired)?;
    facts.clock_offset_ms = heard(question, clock_offset_ms(lockdown)).await?;
    facts.storage = heard(question, storage(lockdown)).await?;
    facts.developer_mode = heard(question, developer_mode(lockdown)).await?;
    facts.battery = unless_locked(heard(question, read_battery(lockdown)).await)?;
    facts.apps = unless_locked(heard(question, read_apps(lockdown)).await)?;
    Ok(facts)
}

/// What a phone that does not trust this rack tells anyone.
pub(crate) async fn read_untrusted(
    target: &Target,
    place: &Place,
    pairing: Pairing,
) -> Result<PhoneFacts, UsbError> {
    let mut client = target.plain_lockdown().await?;
    let values = match client.get_value(None, None).await {
        Ok(values) => values.into_dictionary().unwrap_or_default(),
        Err(error) => return Err(error.into()),
    };
    basic(target, place, &values, pairing)
}

fn basic(
    target: &Target,
    place: &Place,
    values: &Dictionary,
    pairing: Pairing,
) -> Result<PhoneFacts, UsbError> {
    let text = |key: &str| values.get(key).and_then(Value::as_string).unwrap_or_default().to_owned();
    let truth = |key: &str| values.get(key).and_then(Value::as_boolean).unwrap_or(false);
    let version = text("ProductVersion");
    let os_version: OsVersion =
        version.parse().map_err(|_odd| UsbError::protocol(format!("an OS version {version:?}")))?;
    let product_type = text("ProductType");
    Ok(PhoneFacts {
        udid: target.udid.clone(),
        name: text("DeviceName"),
        model: models::marketing_name(&product_type).to_owned(),
        chip: models::chip(&product_type).map(str::to_owned),
        region: Some(text("RegionInfo")).filter(|region| !region.is_empty()),
        product_type,
        os_version,
        os_build: text("BuildVersion"),
        slot: place.slot.clone(),
        labels: Vec::new(),
        battery: None,
        storage: None,
        pairing,
        passcode_locked: truth("PasswordProtected"),
        developer_mode: None,
        usb_speed_bps: place.speed_bps,
        apps: Vec::new(),
        crash_files_waiting: BTreeMap::new(),
        crash_limits: Vec::new(),
        clock_offset_ms: None,
        simulated: truth(SIMULATED),
    })
}

/// The phone read its clock about half a round trip ago.
async fn clock_offset_ms(lockdown: &Lockdown) -> Result<Option<i64>, UsbError> {
    let asked = Instant::now();
    let value = lockdown.value(None, Some("TimeIntervalSince1970")).await?;
    let half = asked.elapsed() / 2;
    let number =
        |value: Value| value.as_real().or_else(|| value.as_signed_integer().map(|whole| whole as f64));
    let rack = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(half);
    // A cast that is too large for the type stops at its end.
    Ok(value.and_then(number).map(|phone| ((phone - rack.as_secs_f64()) * 1000.0).round() as i64))
}

async fn storage(lockdown: &Lockdown) -> Result<Option<Storage>, UsbError> {
    let Some(values) = lockdown.value(Some("com.apple.disk_usage"), None).await? else { return Ok(None) };
    let number = |key: &str| {
        values.as_dictionary().and_then(|values| values.get(key)).and_then(Value::as_unsigned_integer)
    };
    let free_bytes = number("AmountDataAvailable").or_else(|| number("TotalDataAvailable"));
    Ok(free_bytes
        .zip(number("TotalDataCapacity"))
        .map(|(free_bytes, total_bytes)| Storage { free_bytes, total_bytes }))
}

async fn developer_mode(lockdown: &Lockdown) -> Result<Option<bool>, UsbError> {
    let value = lockdown.value(Some("com.apple.security.mac.amfi"), Some("DeveloperModeStatus")).await?;
    Ok(value.and_then(|value| value.as_boolean()))
}

async fn read_battery(lockdown: &Lockdown) -> Result<Option<Battery>, UsbError> {
    let stream = lockdown.service(DIAGNOSTICS).await?;
    let mut relay = DiagnosticsRelayClient::new(Idevice::new(stream, ""));
    let entry = relay.ioregistry(None, None, Some("IOPMPowerSource")).await?;
    Ok(entry.as_ref().and_then(battery::read))
}

async fn read_apps(lockdown: &Lockdown) -> Result<Vec<InstalledApp>, UsbError> {
    apps::browse(&mut Talk::new(lockdown.service(apps::SERVICE).await?)).await
}

fn unless_locked<T: Default>(outcome: Result<T, UsbError>) -> Result<T, UsbError> {
    match outcome {
        Err(error) if error.kind() == FaultKind::Locked => Ok(T::default()),
        outcome => outcome,
    }
}
