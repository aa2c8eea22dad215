//! What processes are said to use: believable numbers that follow from a process and the time, with no state.
//! How they are asked for is in [`sysmontap`](super::sysmontap) and [`graphics`](super::graphics).

use std::sync::Arc;

use crate::behave::{self, Ending, Kind, Process, mixed};
use crate::phone::Phone;

/// A mebibyte.
const MIB: u64 = 1 << 20;

/// Nanoseconds of a second.
const NANOS: f64 = 1e9;

/// What one process uses at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// Of one core.
    pub cpu_percent: f64,
    pub cpu_nanos: u64,
    pub footprint_bytes: u64,
    pub threads: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// Since it was launched.
    pub age_nanos: u64,
}

/// The use of a process now.
pub(super) fn of(phone: &Phone, process: &Process) -> Usage {
    let seed = process.name.bytes().fold(u64::from(process.pid), |seed, byte| mixed(seed ^ u64::from(byte)));
    let age = phone.clock.now().duration_since(process.started).as_secs_f64().max(0.0);
    let tenth = whole(age * 10.0);
    let noise = fraction(mixed(seed ^ tenth));
    let steady = fraction(seed);
    let (mean_percent, base_bytes, threads) = match process.kind {
        // An app is busy while it starts, then calms down.
        Kind::App { .. } => {
            (12.0 + steady * 20.0 + 90.0 / (1.0 + age * 2.0), 48 * MIB + seed % (90 * MIB), 9 + seed % 14)
        }
        Kind::System => (steady * 1.5, 2 * MIB + seed % (20 * MIB), 2 + seed % 6),
    };
    let growth = match &process.kind {
        // Memory climbs towards the limit until the kernel ends it.
        Kind::App { script, .. } if matches!(script.ends, Ending::Jetsam { .. }) => whole(age * 40.0) * MIB,
        Kind::App { .. } => whole(age.min(600.0) * 20_000.0),
        Kind::System => 0,
    };
    let jitter = mixed(seed ^ (tenth << 1)) % (MIB / 2);
    Usage {
        cpu_percent: mean_percent * (0.6 + noise * 0.8),
        cpu_nanos: whole((mean_percent / 100.0 * age + steady) * NANOS),
        footprint_bytes: base_bytes + growth + jitter,
        threads,
        read_bytes: 4 * MIB + seed % MIB + whole(age) * 14_000,
        written_bytes: seed % MIB + whole(age) * 5_000,
        age_nanos: whole(age * NANOS),
    }
}

/// Frames a second of the app in front; an empty home screen draws nothing.
pub(super) fn frames_per_second(phone: &Phone, number: u64) -> f64 {
    let front: Option<Arc<Process>> =
        behave::processes(phone).into_iter().rev().find(|process| process.app().is_some());
    match front {
        Some(process) => 56.0 + (fraction(mixed(number ^ u64::from(process.pid))) * 5.0).floor().min(4.0),
        None => 0.0,
    }
}

/// A number of per cent from `least` to just under `most`, by the number of the sample.
pub(super) fn percent(number: u64, salt: u64, least: u64, most: u64) -> u64 {
    least + mixed(number ^ (salt << 48)) % (most - least).max(1)
}

/// From 0 to just under 1.
fn fraction(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "16 bits are exact")]
    let low = (number & 0xFFFF) as f64;
    low / 65_536.0
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and ages are never negative"
    )]
    let whole = number as u64;
    whole
}
