//! Simulated phones and what jobs ask of them: five models times four versions of iOS, and the mix of requirements
//! that every measurement shares, the peers' included: 40 % a model, 40 % a model with an OS, 20 % one of two models
//! with an OS.

use serde_json::{Value, json};

use crate::random::Random;

/// Product types and names.
pub const MODELS: [(&str, &str); 5] = [
    ("iPhone12,1", "iPhone 11"),
    ("iPhone13,2", "iPhone 12"),
    ("iPhone14,5", "iPhone 13"),
    ("iPhone14,7", "iPhone 14"),
    ("iPhone15,4", "iPhone 15"),
];

/// Versions of iOS, with the builds that phones name.
pub const OS: [(&str, &str); 4] =
    [("15.8", "19H370"), ("16.7", "20H19"), ("17.5", "21F79"), ("18.1", "22B83")];

/// Kinds of phones: each model with each OS.
pub const KINDS: usize = MODELS.len() * OS.len();

/// One simulated phone.
#[derive(Debug, Clone)]
pub struct Phone {
    /// Its name for life.
    pub udid: String,
    /// Its report, as an agent sends it.
    pub report: Value,
}

/// The phone of a number: kinds take turns.
pub fn phone(number: usize) -> Phone {
    let udid = format!("00008110-{number:016X}");
    let (product_type, model) = MODELS[number % MODELS.len()];
    let (os, os_build) = OS[(number / MODELS.len()) % OS.len()];
    let report = json!({
        "facts": {
            "udid": udid,
            "name": format!("Simulated phone {number}"),
            "product_type": product_type,
            "model": model,
            "os_version": os,
            "os_build": os_build,
            "slot": format!("1-{}", number % 256 + 1),
            "labels": [],
            "battery": { "level_percent": 80, "charging": true, "temperature_celsius": 30.0,
                "health_percent": 95, "cycles": 120 },
            "storage": { "free_bytes": 40_000_000_000_u64, "total_bytes": 128_000_000_000_u64 },
            "pairing": "paired",
            "passcode_locked": false,
            "developer_mode": true,
            "usb_speed_bps": 480_000_000,
            "apps": [],
            "crash_files_waiting": {},
            "clock_offset_ms": 0,
            "simulated": true,
        },
        "readiness": { "readiness": "ready" },
        "reason": "",
        "since": "2026-01-01T00:00:00Z",
    });
    Phone { udid, report }
}

/// The next requirements of the mix.
pub fn requirements(random: &mut Random) -> Value {
    let share = random.below(10);
    let (model, os) = (random.place(MODELS.len()), OS[random.place(OS.len())].0);
    let one = MODELS[model].1;
    match share {
        0..4 => json!({ "models": [one] }),
        4..8 => json!({ "models": [one], "os_min": os, "os_max": os }),
        _ => {
            let another = MODELS[(model + 1 + random.place(MODELS.len() - 1)) % MODELS.len()].1;
            json!({ "models": [one, another], "os_min": os, "os_max": os })
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_wire::job::Requirements;
    use holdfast_wire::phone::PhoneReport;

    use super::*;

    #[test]
    fn phones_and_requirements_are_what_the_daemon_reads_and_every_demand_has_its_phones() {
        let phones: Vec<PhoneReport> =
            (0..KINDS).map(|number| serde_json::from_value(phone(number).report).unwrap()).collect();
        let mut random = Random::new(1);
        let mut shares = [0; 3];
        for _ in 0..1_000 {
            let wanted = requirements(&mut random);
            let _read: Requirements = serde_json::from_value(wanted.clone()).unwrap();
            let models: Vec<&str> =
                wanted["models"].as_array().unwrap().iter().map(|model| model.as_str().unwrap()).collect();
            let os = wanted.get("os_min").map(|os| os.as_str().unwrap().to_owned());
            let fits = phones.iter().filter(|phone| {
                models.contains(&phone.facts.model.as_str())
                    && os.as_ref().is_none_or(|os| phone.facts.os_version.to_string() == *os)
            });
            let (share, expected) = match (models.len(), os.is_some()) {
                (1, false) => (0, OS.len()),
                (1, true) => (1, 1),
                _ => (2, 2),
            };
            shares[share] += 1;
            assert_eq!(fits.count(), expected, "{wanted}");
        }
        assert!(shares[0] > 350 && shares[1] > 350 && shares[2] > 150, "{shares:?}");
    }
}
