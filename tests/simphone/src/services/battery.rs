//! The battery as the IO registry and the gas gauge tell it. Lockdown's `com.apple.mobile.battery` domain is told by
//! [`lockdown`](crate::lockdown).

use plist::{Dictionary, Value};

use super::dictionary;
use crate::phone::{Battery, Phone};

/// Millivolts of an empty and of a full cell.
const VOLTAGE_MV: (u64, u64) = (3_300, 4_350);
/// What a phone at rest with its screen on draws, in milliamperes.
const LOAD_MA: i64 = 310;
/// What a computer's port gives beyond that, in milliamperes.
const CHARGE_MA: i64 = 470;

/// The entry of class `IOPMPowerSource` and name `AppleSmartBattery`.
pub(super) fn registry_entry(phone: &Phone) -> Dictionary {
    let battery = phone.state().battery;
    let raw_capacity = raw_capacity_mah(&battery);
    let full = battery.percent >= 100;
    let amperage = amperage_ma(&battery);
    let updated = u64::try_from(phone.clock.now().as_second()).unwrap_or(0);
    let mut entry = dictionary([
        ("AbsoluteCapacity", 0_u64.into()),
        ("AppleRawBatteryVoltage", voltage_mv(&battery).into()),
        ("AppleRawCurrentCapacity", raw_capacity.into()),
        ("AppleRawExternalConnected", true.into()),
        ("AppleRawMaxCapacity", battery.full_capacity_mah.into()),
        ("AtCriticalLevel", (battery.percent <= 1).into()),
        ("AtWarnLevel", (battery.percent <= 10).into()),
        ("BatteryInstalled", true.into()),
        ("CurrentCapacity", u64::from(battery.percent).into()),
        ("CycleCount", battery.cycles.into()),
        ("DesignCapacity", battery.design_capacity_mah.into()),
        ("ExternalChargeCapable", true.into()),
        ("ExternalConnected", true.into()),
        ("FullyCharged", full.into()),
        ("InstantAmperage", amperage.into()),
        ("Amperage", amperage.into()),
        ("IsCharging", (battery.charging && !full).into()),
        ("MaxCapacity", 100_u64.into()),
        ("NominalChargeCapacity", battery.full_capacity_mah.into()),
        ("Temperature", battery.temperature_centidegrees.into()),
        ("UpdateTime", updated.into()),
        ("Voltage", voltage_mv(&battery).into()),
    ]);
    entry.insert("Serial".to_owned(), format!("SIM{:014X}", phone.identity.ecid).into());
    entry.insert("Manufacturer".to_owned(), "Simulated".into());
    entry.insert("DeviceName".to_owned(), "simulated".into());
    entry.insert(
        "BatteryData".to_owned(),
        Value::Dictionary(dictionary([
            ("CycleCount", battery.cycles.into()),
            ("DesignCapacity", battery.design_capacity_mah.into()),
            ("StateOfCharge", u64::from(battery.percent).into()),
            ("Voltage", voltage_mv(&battery).into()),
        ])),
    );
    entry.insert(
        "AdapterDetails".to_owned(),
        Value::Dictionary(dictionary([
            ("Description", "usb host".into()),
            ("Current", 500_u64.into()),
            ("AdapterVoltage", 5_000_u64.into()),
            ("Watts", 2_u64.into()),
        ])),
    );
    entry
}

/// What the request `GasGauge` answers.
pub(super) fn gas_gauge(phone: &Phone) -> Dictionary {
    let battery = phone.state().battery;
    dictionary([
        ("CycleCount", battery.cycles.into()),
        ("DesignCapacity", battery.design_capacity_mah.into()),
        ("FullChargeCapacity", battery.full_capacity_mah.into()),
        ("Status", "Success".into()),
    ])
}

fn raw_capacity_mah(battery: &Battery) -> u64 {
    u64::from(battery.full_capacity_mah) * u64::from(battery.percent.min(100)) / 100
}

fn voltage_mv(battery: &Battery) -> u64 {
    let (empty, full) = VOLTAGE_MV;
    empty + (full - empty) * u64::from(battery.percent.min(100)) / 100
}

/// Positive while charging, as the registry counts.
fn amperage_ma(battery: &Battery) -> i64 {
    match (battery.charging, battery.percent >= 100) {
        (true, true) => 0,
        (true, false) => CHARGE_MA,
        (false, _) => -LOAD_MA,
    }
}
