//! The battery as the phone's registry tells it, from the entry of class `IOPMPowerSource`.

use holdfast_wire::phone::Battery;
use plist::{Dictionary, Value};

/// Cells that tell less than -40 °C or more than 120 °C tell nonsense.
const TEMPERATURES: std::ops::RangeInclusive<f64> = -40.0..=120.0;

/// The battery; none when the entry does not tell its charge.
pub(crate) fn read(entry: &Dictionary) -> Option<Battery> {
    // Newer systems keep some of these one level down.
    let inner = entry.get("BatteryData").and_then(Value::as_dictionary);
    let find = |key: &str| entry.get(key).or_else(|| inner.and_then(|inner| inner.get(key)));
    let number = |key: &str| find(key).and_then(Value::as_signed_integer);
    let positive = |key: &str| number(key).filter(|number| *number > 0);
    let current = number("CurrentCapacity").filter(|current| *current >= 0)?;
    // `MaxCapacity` is 100 on iPhones, milliampere hours on older ones.
    let full = positive("MaxCapacity").unwrap_or(100);
    // Registry entries tell hundredths of a degree.
    let temperature = number("Temperature").map(|centidegrees| centidegrees as f64 / 100.0);
    let capacity = positive("NominalChargeCapacity").or_else(|| positive("AppleRawMaxCapacity"));
    Some(Battery {
        level_percent: per_cent(current, full).min(100),
        charging: find("IsCharging").and_then(Value::as_boolean).unwrap_or(false),
        temperature_celsius: temperature.filter(|celsius| TEMPERATURES.contains(celsius)),
        health_percent: capacity.zip(positive("DesignCapacity")).map(|(now, new)| per_cent(now, new)),
        cycles: number("CycleCount").and_then(|cycles| u32::try_from(cycles).ok()),
    })
}

fn per_cent(part: i64, whole: i64) -> u8 {
    let rounded = (part.saturating_mul(100).saturating_add(whole / 2)) / whole;
    u8::try_from(rounded).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, i64)]) -> Dictionary {
        fields.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect()
    }

    #[test]
    fn a_registry_entry_becomes_a_battery() {
        let mut whole = entry(&[
            ("CurrentCapacity", 87),
            ("MaxCapacity", 100),
            ("Temperature", 2910),
            ("CycleCount", 214),
            ("DesignCapacity", 3227),
            ("NominalChargeCapacity", 2995),
        ]);
        whole.insert("IsCharging".to_owned(), Value::Boolean(true));
        let expected = Battery {
            level_percent: 87,
            charging: true,
            temperature_celsius: Some(29.1),
            health_percent: Some(93),
            cycles: Some(214),
        };
        assert_eq!(read(&whole), Some(expected));
    }

    #[test]
    fn odd_entries_tell_what_they_can() {
        let old = entry(&[("CurrentCapacity", 1500), ("MaxCapacity", 2000), ("Temperature", 99_999)]);
        let level = read(&old).map(|battery| (battery.level_percent, battery.temperature_celsius));
        assert_eq!(level, Some((75, None)));
        assert_eq!(read(&entry(&[("CurrentCapacity", -1)])), None);
        assert_eq!(
            read(&entry(&[("CurrentCapacity", 5), ("MaxCapacity", 0)])).map(|b| b.level_percent),
            Some(5)
        );
        assert_eq!(read(&entry(&[])), None);
    }

    proptest::proptest! {
        #[test]
        fn no_number_makes_it_panic(current: i64, full: i64, design: i64, nominal: i64) {
            let _battery = read(&entry(&[
                ("CurrentCapacity", current), ("MaxCapacity", full),
                ("DesignCapacity", design), ("NominalChargeCapacity", nominal),
            ]));
        }
    }
}
