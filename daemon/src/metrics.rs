//! What Prometheus reads at `/metrics`: gauges out of the newest picture, counters and durations out of what has
//! ended. Nothing is counted on the side, so that a restart and a lost answer count nothing twice.

use std::collections::BTreeMap;

use holdfast_wire::id::{PoolName, RackId};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::AttemptEnd;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::snapshot::Snapshot;

/// The media type of the OpenMetrics text format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of an attempt's duration, seconds: from a single launch to a whole suite.
const DURATION_BUCKETS: [f64; 10] = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1_800.0, 7_200.0];

type Labels<const N: usize> = [(&'static str, String); N];
type Whole<const N: usize> = Family<Labels<N>, Gauge>;
type Real<const N: usize> = Family<Labels<N>, Gauge<f64, std::sync::atomic::AtomicU64>>;

/// The whole text.
///
/// # Errors
/// Never in practice: the text is written to memory.
pub fn text(snapshot: &Snapshot) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("holdfast");
    let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The program that runs", info);
    phones(&mut registry, snapshot);
    racks(&mut registry, snapshot);
    queue(&mut registry, snapshot);
    attempts(&mut registry, snapshot);
    crashes(&mut registry, snapshot);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn phones(registry: &mut Registry, snapshot: &Snapshot) {
    let (counts, charge, heat) = (Whole::<3>::default(), Real::<1>::default(), Real::<1>::default());
    let mut by_state: BTreeMap<(&'static str, Option<PoolName>, RackId), i64> = BTreeMap::new();
    for phone in snapshot.phones.iter() {
        *by_state.entry((phone.state.as_str(), phone.pool.clone(), phone.rack.clone())).or_default() += 1;
        let labels = [("phone", phone.facts.udid.to_string())];
        if let Some(battery) = &phone.facts.battery {
            charge.get_or_create(&labels).set(f64::from(battery.level_percent) / 100.0);
            if let Some(celsius) = battery.temperature_celsius {
                heat.get_or_create(&labels).set(celsius);
            }
        }
    }
    for ((state, pool, rack), count) in by_state {
        let pool = pool.map(|pool| pool.to_string()).unwrap_or_default();
        let labels = [("state", state.to_owned()), ("pool", pool), ("rack", rack.to_string())];
        counts.get_or_create(&labels).set(count);
    }
    registry.register("phones", "Phones by state, pool and rack", counts);
    registry.register_with_unit(
        "phone_battery",
        "Charge of a phone, 0 to 1",
        Unit::Other("ratio".to_owned()),
        charge,
    );
    registry.register_with_unit("phone_temperature", "Temperature of a phone's battery", Unit::Celsius, heat);
}

fn racks(registry: &mut Registry, snapshot: &Snapshot) {
    let (heard, online) = (Real::<1>::default(), Whole::<1>::default());
    for rack in snapshot.racks.iter() {
        let labels = [("rack", rack.id.to_string())];
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 fit 53 bits for 285,000 years"
        )]
        heard.get_or_create(&labels).set(rack.last_heard.as_unix_ms() as f64 / 1_000.0);
        online.get_or_create(&labels).set(i64::from(rack.online));
    }
    registry.register_with_unit(
        "agent_last_seen_timestamp",
        "When a rack's agent last spoke",
        Unit::Seconds,
        heard,
    );
    registry.register("rack_online", "Whether a rack's agent is heard", online);
}

fn queue(registry: &mut Registry, snapshot: &Snapshot) {
    let (waiting, oldest, running) = (Whole::<1>::default(), Real::<1>::default(), Whole::<1>::default());
    for class in JobClass::ALL {
        let labels = [("class", class.to_string())];
        let of_class = |id: &&_| snapshot.jobs.get(*id).is_some_and(|job| job.spec.class == class);
        let mut count = 0;
        let mut age = std::time::Duration::ZERO;
        for job in snapshot.queue.iter().filter(of_class).filter_map(|id| snapshot.jobs.get(id)) {
            count += 1;
            age = age.max(snapshot.at.since(job.submitted_at));
        }
        waiting.get_or_create(&labels).set(count);
        oldest.get_or_create(&labels).set(age.as_secs_f64());
        let running_now = snapshot.running.iter().filter(of_class).count();
        running.get_or_create(&labels).set(i64::try_from(running_now).unwrap_or(i64::MAX));
    }
    registry.register("queue_jobs", "Jobs that wait, by class", waiting);
    registry.register_with_unit(
        "queue_oldest",
        "Age of the oldest waiting job, by class",
        Unit::Seconds,
        oldest,
    );
    registry.register("running_jobs", "Jobs that run, by class", running);
}

fn attempts(registry: &mut Registry, snapshot: &Snapshot) {
    let ends = Whole::<2>::default();
    let durations = Histogram::new(DURATION_BUCKETS);
    let ended_jobs = Whole::<1>::default();
    for job in snapshot.jobs.values() {
        if let holdfast_wire::job::JobState::Ended { outcome, .. } = &job.state {
            ended_jobs.get_or_create(&[("outcome", outcome.as_str().to_owned())]).inc();
        }
        for ended in job.attempts.iter().filter_map(|attempt| Some((attempt, attempt.ended.as_ref()?))) {
            let (attempt, ended) = ended;
            let (outcome, blame) = match &ended.end {
                AttemptEnd::Passed => ("passed", ""),
                AttemptEnd::Failed { blame, .. } => ("failed", blame.as_str()),
                AttemptEnd::Revoked => ("revoked", ""),
                AttemptEnd::Yielded { .. } => ("yielded", ""),
            };
            ends.get_or_create(&[("outcome", outcome.to_owned()), ("blame", blame.to_owned())]).inc();
            durations.observe(ended.at.since(attempt.leased_at).as_secs_f64());
        }
    }
    registry.register("kept_jobs_ended", "Jobs that are over and still kept, by outcome", ended_jobs);
    registry.register("kept_attempts", "Attempts that are over and still kept, by outcome and blame", ends);
    registry.register_with_unit(
        "attempt_duration",
        "From lease to end, of attempts still kept",
        Unit::Seconds,
        durations,
    );
}

fn crashes(registry: &mut Registry, snapshot: &Snapshot) {
    let counts = Whole::<1>::default();
    for crash in snapshot.crashes.values() {
        counts.get_or_create(&[("kind", crash.kind.clone())]).inc();
    }
    registry.register("kept_crashes", "Crash files that are kept, by kind", counts);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use holdfast_wire::api::RackView;
    use holdfast_wire::time::Time;

    use super::*;

    #[test]
    fn an_empty_farm_and_a_rack_are_told() {
        let rack = RackView {
            id: "r1".parse().unwrap(),
            online: true,
            last_heard: Time::from_unix_ms(1_500),
            agent_version: "0.1.0".to_owned(),
            phones: 0,
            phones_working: 0,
        };
        let snapshot = Snapshot { racks: std::sync::Arc::new(vec![rack]), ..Snapshot::default() };
        let text = text(&snapshot).unwrap();
        for line in [
            "holdfast_agent_last_seen_timestamp_seconds{rack=\"r1\"} 1.5",
            "holdfast_rack_online{rack=\"r1\"} 1",
            "holdfast_queue_jobs{class=\"crash\"} 0",
            "holdfast_attempt_duration_seconds_count 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("holdfast_build_info{version="), "{text}");
    }
}
