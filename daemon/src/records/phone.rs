//! Phones in the store, in two records: what is known of them, which is long and changes seldom, and what holds them,
//! which is short and changes with every lease.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_scheduler::PhoneRecord;
use holdfast_scheduler::record::{Hold, HoldPhase, Next, NextPhase, Quarantined, Taken};
use holdfast_store::codec::{Record, encode};
use holdfast_store::{Entry, Op, StoreError};
use holdfast_wire::crash::CRASH_LIMITS_MAX;
use holdfast_wire::id::{AttemptId, BuildHash, LeaseNumber, Owner, RackId, Udid};
use holdfast_wire::phone::PhoneFacts;
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use super::{LEASE, PHONE, VERSION, bad};

/// What is known of a phone; in the first version, what holds it too.
#[derive(Serialize, Deserialize)]
struct Known {
    rack: RackId,
    facts: PhoneFacts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_lease: Option<LeaseNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<StoredHold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failures_in_a_row: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quarantine: Option<StoredQuarantine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<StoredTaken>,
}

/// What holds a phone.
#[derive(Serialize, Deserialize)]
struct Held {
    last_lease: LeaseNumber,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<StoredHold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<StoredNext>,
    #[serde(default, skip_serializing_if = "is_zero")]
    failures_in_a_row: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_build: Option<BuildHash>,
    #[serde(default)]
    busy_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredHold {
    attempt: AttemptId,
    /// None once the attempt has been given up.
    deadline: Option<Time>,
    /// How soon it has to give the phone up; none when it has not been told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    yields: Option<YieldWhen>,
}

/// What was staged behind that.
#[derive(Serialize, Deserialize)]
struct StoredNext {
    attempt: AttemptId,
    lease: LeaseNumber,
    phase: StoredPhase,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPhase {
    Staged,
    Withdrawing,
    Unsure { until: Time },
    Withdrawn,
}

#[derive(Serialize, Deserialize)]
struct StoredTaken {
    by: Owner,
    reason: String,
    since: Time,
    until: Option<Time>,
}

#[derive(Serialize, Deserialize)]
struct StoredQuarantine {
    reason: String,
    since: Time,
    until: Option<Time>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Writes what is known of a phone.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_known(phone: &PhoneRecord) -> Result<Op, StoreError> {
    let known = Known {
        rack: phone.rack.clone(),
        facts: lasting(&phone.facts),
        last_lease: None,
        hold: None,
        failures_in_a_row: None,
        quarantine: phone.quarantine.as_ref().map(|why| StoredQuarantine {
            reason: why.reason.clone(),
            since: why.since,
            until: why.until,
        }),
        taken: phone.taken.as_ref().map(|taken| StoredTaken {
            by: taken.by.clone(),
            reason: taken.reason.clone(),
            since: taken.since,
            until: taken.until,
        }),
    };
    Ok(Op::put(PHONE.name(phone.facts.udid.as_str())?, encode(VERSION, &known)?))
}

/// Writes what holds a phone.
///
/// # Errors
/// The store's, when the record has no JSON form.
pub fn put_held(phone: &PhoneRecord) -> Result<Op, StoreError> {
    let held = Held {
        last_lease: phone.last_lease,
        hold: phone.hold.as_ref().map(stored_hold),
        next: phone.next.as_ref().map(stored_next),
        failures_in_a_row: phone.failures_in_a_row,
        last_build: phone.last_build,
        busy_ms: phone.busy_ms,
    };
    Ok(Op::put(LEASE.name(phone.facts.udid.as_str())?, encode(VERSION, &held)?))
}

/// Whether nothing has happened between two records of a phone that [`put_known`] would write.
pub fn is_known_alike(one: &PhoneRecord, other: &PhoneRecord) -> bool {
    Arc::ptr_eq(&one.facts, &other.facts)
        && one.rack == other.rack
        && one.quarantine == other.quarantine
        && one.taken == other.taken
}

fn stored_hold(hold: &Hold) -> StoredHold {
    let (deadline, yields) = match hold.phase {
        HoldPhase::Active { deadline } => (Some(deadline), None),
        HoldPhase::Yielding { deadline, when } => (Some(deadline), Some(when)),
        HoldPhase::Releasing => (None, None),
    };
    StoredHold { attempt: hold.attempt, deadline, yields }
}

fn stored_next(next: &Next) -> StoredNext {
    let phase = match next.phase {
        NextPhase::Staged => StoredPhase::Staged,
        NextPhase::Withdrawing => StoredPhase::Withdrawing,
        NextPhase::Unsure { until } => StoredPhase::Unsure { until },
        NextPhase::Withdrawn => StoredPhase::Withdrawn,
    };
    StoredNext { attempt: next.attempt, lease: next.lease, phase }
}

fn read_next(next: StoredNext) -> Next {
    let phase = match next.phase {
        StoredPhase::Staged => NextPhase::Staged,
        StoredPhase::Withdrawing => NextPhase::Withdrawing,
        StoredPhase::Unsure { until } => NextPhase::Unsure { until },
        StoredPhase::Withdrawn => NextPhase::Withdrawn,
    };
    Next { attempt: next.attempt, lease: next.lease, phase }
}

/// What of a phone's facts is worth keeping. The lists of apps and crash files may be longer than a record, and the
/// rack tells them anew as soon as it speaks; that crashes were lost is kept for people who look while it is away.
fn lasting(facts: &PhoneFacts) -> PhoneFacts {
    let crash_limits = facts.crash_limits.iter().take(CRASH_LIMITS_MAX).cloned().collect();
    PhoneFacts { apps: Vec::new(), crash_files_waiting: BTreeMap::new(), crash_limits, ..facts.clone() }
}

/// Reads a phone from what is known of it and, since the second version, what holds it.
///
/// # Errors
/// A record is damaged or newer than this program, or the second one is missing.
pub fn read_phone(entry: &Entry, held: Option<&Entry>) -> Result<PhoneRecord, StoreError> {
    let record = Record::open(&entry.key, &entry.value, VERSION)?;
    let known: Known = record.read(&entry.key)?;
    let held: Held = match (record.version, held) {
        // A lease is written with the phone's first change since the first version.
        (_, Some(held)) => Record::open(&held.key, &held.value, VERSION)?.read(&held.key)?,
        (1, None) => Held {
            last_lease: known.last_lease.ok_or_else(|| bad(&entry.key, "it names no lease"))?,
            hold: known.hold,
            next: None,
            failures_in_a_row: known.failures_in_a_row.unwrap_or(0),
            last_build: None,
            busy_ms: 0,
        },
        (_, None) => return Err(bad(&entry.key, "the record of what holds the phone is missing")),
    };
    let hold = held.hold.map(|hold| Hold {
        attempt: hold.attempt,
        phase: match (hold.deadline, hold.yields) {
            (Some(deadline), None) => HoldPhase::Active { deadline },
            (Some(deadline), Some(when)) => HoldPhase::Yielding { deadline, when },
            (None, _) => HoldPhase::Releasing,
        },
    });
    let quarantine =
        known.quarantine.map(|why| Quarantined { reason: why.reason, since: why.since, until: why.until });
    Ok(PhoneRecord {
        rack: known.rack,
        facts: Arc::new(known.facts),
        last_lease: held.last_lease,
        hold,
        next: held.next.map(read_next),
        failures_in_a_row: held.failures_in_a_row,
        quarantine,
        taken: known.taken.map(|taken| Taken {
            by: taken.by,
            reason: taken.reason,
            since: taken.since,
            until: taken.until,
        }),
        last_build: held.last_build,
        busy_ms: held.busy_ms,
    })
}

/// The phone whose lease a key names.
pub fn leased(entry: &Entry) -> Option<Udid> {
    LEASE.name_of(&entry.key)?.parse().ok()
}

/// The phone that a key names.
pub fn named(entry: &Entry) -> Option<Udid> {
    PHONE.name_of(&entry.key)?.parse().ok()
}
