//! Events and decisions as lines of text, for the story of a run.

use holdfast_scheduler::record::HoldPhase;
use holdfast_scheduler::{Decision, Event};
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::sync::Order;
use holdfast_wire::time::Time;

/// An event and what it led to.
pub fn event(now: Time, event: &Event, decisions: &[Decision]) -> String {
    let said: Vec<String> = decisions.iter().filter_map(decision).collect();
    format!("[{now}] {} => {}", happened(event), said.join("; "))
}

fn happened(event: &Event) -> String {
    match event {
        Event::JobSubmitted { job, spec } => {
            let requirements = spec.requirements.expression.as_ref().map(|asked| asked.as_str().to_owned());
            format!(
                "{job} submitted: {} of {:?}, priority {}, build {}, {} phones, {} cases, asks {requirements:?}, \
                 compares {:?}, by {:?}",
                spec.class,
                spec.owner,
                spec.priority,
                spec.build.build_number,
                spec.phones,
                spec.cases.len(),
                spec.compare,
                spec.start_by,
            )
        }
        Event::PhoneReported { rack, report } => {
            let facts = &report.facts;
            format!(
                "{rack} reports {} {:?}: {} {} {:?} {:?}%",
                facts.udid,
                report.readiness,
                facts.model,
                facts.os_version,
                facts.labels,
                facts.battery.as_ref().map(|battery| battery.level_percent)
            )
        }
        Event::AttemptEnded { rack, attempt, phone, lease, end, .. } => {
            format!("{rack}: {attempt} on {phone} under {lease} ended {end:?}")
        }
        Event::RackSynced { rack, held, idle } => {
            let held: Vec<String> =
                held.iter().map(|held| format!("{}:{} {}", held.phone, held.lease, held.attempt)).collect();
            let idle: Vec<String> =
                idle.iter().map(|idle| format!("{}:{}", idle.phone, idle.obeyed)).collect();
            format!("{rack} synced, holds {held:?}, idle {idle:?}")
        }
        Event::PolicyChanged { policy } => format!("policy changed to {} pools", policy.pools.len()),
        other => format!("{other:?}"),
    }
}

fn decision(decision: &Decision) -> Option<String> {
    match decision {
        Decision::SaveJob(job) => Some(match &job.state {
            JobState::Queued => format!("{} waits", job.id),
            JobState::Running { attempt, phone, others } => {
                let others: Vec<&str> = others.iter().map(|other| other.phone.as_str()).collect();
                format!("{}.{attempt} has {phone} {}", job.id, others.join(" "))
            }
            JobState::Ended { outcome: JobOutcome::Failed { blame, reason }, .. } => {
                format!("{} failed ({blame}: {reason})", job.id)
            }
            JobState::Ended { outcome, .. } => format!("{} {}", job.id, outcome.as_str()),
        }),
        Decision::SavePhone(phone) => {
            let hold = phone.hold.as_ref().map(|hold| match hold.phase {
                HoldPhase::Active { .. } => format!("active {}", hold.attempt),
                HoldPhase::Yielding { when, .. } => format!("yielding {} {when:?}", hold.attempt),
                HoldPhase::Releasing => format!("releasing {}", hold.attempt),
            });
            let next = phone.next.as_ref();
            let next = next.map(|next| format!(", then {} {} {:?}", next.attempt, next.lease, next.phase));
            Some(format!(
                "{}:{} {}{}",
                phone.facts.udid,
                phone.last_lease,
                hold.unwrap_or_else(|| "free".to_owned()),
                next.unwrap_or_default()
            ))
        }
        Decision::Order { order, .. } => Some(match &order.order {
            Order::Run { lease, work } => format!("order {} run {} {lease}", order.phone, work.attempt),
            Order::Yield { lease, attempt, when } => {
                format!("order {} yield {attempt} {lease} {when:?}", order.phone)
            }
            Order::Rest { through } => format!("order {} rest {through}", order.phone),
        }),
        Decision::KeepLateReport { attempt, .. } => Some(format!("{attempt} late")),
        Decision::WakeAt(at) => Some(format!("wake at {at}")),
        Decision::SaveOwner(owner) => Some(format!("{} used {} ms", owner.owner, owner.used_ms)),
        Decision::SaveCompare(compare) => Some(format!("{} is at home on {}", compare.name, compare.phone)),
        Decision::ForgetCompare(name) => Some(format!("{name} is forgotten")),
        Decision::JobMoved(_) | Decision::PhoneChanged(_) | Decision::RackChanged(_) => None,
    }
}
