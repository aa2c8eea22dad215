//! Whether a phone is fit for work, and why not, in words. How it is brought back is the body's.

use holdfast_wire::phone::{Pairing, PhoneFacts, Readiness};

/// When a phone is too hot, too empty or too full for work.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// At this cell temperature and above it cools first, degrees Celsius.
    pub hot_celsius: f64,
    /// A phone that was too hot works again below this, degrees Celsius.
    pub cooled_celsius: f64,
    /// Below this charge it charges first, per cent.
    pub low_percent: u8,
    /// A phone that was too low works again from this charge on, per cent.
    pub charged_percent: u8,
    /// Less room than this is not enough for any build, bytes.
    pub free_bytes_min: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            hot_celsius: 40.0,
            cooled_celsius: 37.0,
            low_percent: 20,
            charged_percent: 30,
            free_bytes_min: 500_000_000,
        }
    }
}

/// Judges the facts. `was` is the last judgement: a phone that cooled or charged goes on a little longer, so that
/// it does not swing about one number.
pub fn judge(facts: &PhoneFacts, thresholds: &Thresholds, was: &Readiness) -> (Readiness, String) {
    let hands = |reason: &str| (Readiness::NeedsHands, reason.to_owned());
    match facts.pairing {
        Pairing::Paired => {}
        Pairing::DialogPending => return hands("the trust dialog waits on the screen; tap Trust"),
        Pairing::Denied => return hands("somebody tapped Don't Trust; unplug it, plug it in, tap Trust"),
        Pairing::Unpaired => {
            return hands("the phone is not paired with this rack; unlock it and pair it (pair: ask)");
        }
    }
    if facts.passcode_locked {
        return hands("a passcode locks the phone; unlock it and switch the passcode off");
    }
    if facts.developer_mode == Some(false) {
        return hands("Developer Mode is off; switch it on under Settings, Privacy & Security");
    }
    if let Some(verdict) = judge_battery(facts, thresholds, was) {
        return verdict;
    }
    if let Some(storage) = facts.storage.filter(|storage| storage.free_bytes < thresholds.free_bytes_min) {
        let (free, least) = (storage.free_bytes / 1_000_000, thresholds.free_bytes_min / 1_000_000);
        return (Readiness::NeedsHands, format!("only {free} MB are free, {least} MB are needed; free some"));
    }
    (Readiness::Ready, String::new())
}

fn judge_battery(
    facts: &PhoneFacts,
    thresholds: &Thresholds,
    was: &Readiness,
) -> Option<(Readiness, String)> {
    let battery = facts.battery.as_ref()?;
    let hot = if *was == Readiness::Cooling { thresholds.cooled_celsius } else { thresholds.hot_celsius };
    if let Some(celsius) = battery.temperature_celsius.filter(|celsius| *celsius >= hot) {
        return Some((
            Readiness::Cooling,
            format!(
                "the battery has {celsius:.1} °C and works again below {:.1} °C",
                thresholds.cooled_celsius
            ),
        ));
    }
    let low = if *was == Readiness::Charging { thresholds.charged_percent } else { thresholds.low_percent };
    (battery.level_percent < low).then(|| {
        let words = if battery.charging { "" } else { ", and it does not charge: look at the cable" };
        let level = battery.level_percent;
        (
            Readiness::Charging,
            format!("{level} % charge; works again from {} %{words}", thresholds.charged_percent),
        )
    })
}
