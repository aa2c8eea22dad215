//! What Prometheus reads at `/metrics`: gauges out of the newest picture, and what `meters` has counted and timed.

use std::collections::BTreeMap;

use holdfast_wire::id::{PoolName, RackId};
use holdfast_wire::job::JobClass;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::meters::Meters;
use crate::snapshot::Snapshot;

/// The media type of the OpenMetrics text format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels<const N: usize> = [(&'static str, String); N];
type Whole<const N: usize> = Family<Labels<N>, Gauge>;
type Real<const N: usize> = Family<Labels<N>, Gauge<f64, std::sync::atomic::AtomicU64>>;

/// The whole text.
///
/// # Errors
/// Never in practice: the text is written to memory.
pub fn text(snapshot: &Snapshot, meters: &Meters) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("holdfast");
    let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The program that runs", info);
    phones(&mut registry, snapshot);
    racks(&mut registry, snapshot);
    queue(&mut registry, snapshot);
    meters.register(&mut registry);
    crashes(&mut registry, snapshot);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn phones(registry: &mut Registry, snapshot: &Snapshot) {
    let (counts, charge, heat) = (Whole::<3>::default(), Real::<1>::default(), Real::<1>::default());
    let mut by_state: BTreeMap<(&'static str, Option<PoolName>, RackId), i64> = BTreeMap::new();
    for phone in snapshot.phones_at_rest() {
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
    for rack in snapshot.racks.values() {
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
        let queue = snapshot.waiting_of(class);
        let count = i64::try_from(queue.by_age.len()).unwrap_or(i64::MAX);
        let first = queue.by_age.get_min().and_then(|(id, _)| snapshot.jobs.get(id));
        let age = first.map_or(std::time::Duration::ZERO, |job| snapshot.at.since(job.submitted_at));
        waiting.get_or_create(&labels).set(count);
        oldest.get_or_create(&labels).set(age.as_secs_f64());
        let of_class = |id: &&_| snapshot.jobs.get(*id).is_some_and(|job| job.spec.class == class);
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

fn crashes(registry: &mut Registry, snapshot: &Snapshot) {
    let counts = Whole::<1>::default();
    for crash in snapshot.crashes.values().filter(|crash| crash.twin_of.is_none()) {
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
        let mut snapshot = Snapshot::default();
        snapshot.racks.insert(rack.id.clone(), rack);
        let text = text(&snapshot, &Meters::default()).unwrap();
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
