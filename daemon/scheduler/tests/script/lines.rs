//! The language of scenarios: what happens, a command a line, against what is decided, a decision a line.

use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::{Decision, Event};
use holdfast_wire::id::{BuildHash, JobId, LeaseNumber};
use holdfast_wire::job::{JobOutcome, JobSpec, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::phone::{Battery, PhoneReport, Readiness};
use holdfast_wire::requirement::Fallback;
use holdfast_wire::sync::{HeldLease, IdlePhone, Order, PhoneOrder, YieldWhen};
use holdfast_wire::time::Time;

use super::rules::{change, class_of};
use crate::farm::{World, end_of, ended, phone, spec};

/// A decision as a line of text; none for those that only tell readers to look.
fn line(decision: &Decision) -> Option<String> {
    match decision {
        Decision::SaveJob(job) => Some(match &job.state {
            JobState::Queued => format!("{} queued", job.id),
            JobState::Running { attempt, phone, others } => {
                let others = others.iter().map(|other| format!(", {}", other.phone));
                format!("{}.{attempt} on {phone}{}", job.id, others.collect::<String>())
            }
            JobState::Ended { outcome: JobOutcome::Failed { blame, reason }, .. } => {
                format!("{} failed, {blame}: {reason}", job.id)
            }
            JobState::Ended { outcome, .. } => format!("{} {}", job.id, outcome.as_str()),
        }),
        Decision::Order { order: PhoneOrder { phone, order, next, withdrawn }, .. } => {
            let order = match order {
                Order::Run { lease, work } => format!("{phone} runs {} by lease {lease}", work.attempt),
                Order::Yield { attempt, when: YieldWhen::AtOnce, .. } => {
                    format!("{phone} gives up {attempt} at once")
                }
                Order::Yield { attempt, when: YieldWhen::CaseDone, .. } => {
                    format!("{phone} gives up {attempt} after its case")
                }
                Order::Rest { through } => format!("{phone} rests after {through}"),
            };
            let next =
                next.as_ref().map(|next| format!(", then {} by lease {}", next.work.attempt, next.lease));
            let without = withdrawn.map(|lease| format!(", not by lease {lease}"));
            Some(order + &next.unwrap_or_default() + &without.unwrap_or_default())
        }
        Decision::KeepLateReport { attempt, .. } => Some(format!("{attempt} late")),
        Decision::SavePhone(phone) => {
            phone.quarantine.as_ref().map(|why| format!("{} quarantined: {}", phone.facts.udid, why.reason))
        }
        Decision::SaveOwner(_)
        | Decision::SaveCompare(_)
        | Decision::ForgetCompare(_)
        | Decision::JobMoved(_)
        | Decision::PhoneChanged(_)
        | Decision::RackChanged(_)
        | Decision::WakeAt(_) => None,
    }
}

/// Plays a scenario, a command a line, and compares what is decided. The clock begins at 00:16:40 UTC; a text in single
/// quotes is one word. Lines of a scenario:
///
/// | command | what happens |
/// |---|---|
/// | `phone A on r1 [ios 16.7] [model M] [label x] [battery 80] [state offline]` | its rack tells of a phone |
/// | `sync r1 [A:1 J1.1]… [idle A:1 …]` | a rack tells what it holds, and which phones it knows to be idle; `A:1-2` will not begin lease 2 |
/// | `keep r1 SECONDS [A:1 J1.1]…` | the rack speaks every second for so long |
/// | `submit CLASS [prio 5] [by 60] [build 141] [owner o] [cases 3] [phones 2] [compare c]` and `[ios-min 17] [ios-max 16] [label x] [model m] [phone A] [pool p] [when 'EXPRESSION'] [then 'SECONDS: EXPRESSION']…` | a job comes |
/// | `cancel J1` · `end J1.1 on A lease 1 passed, revoked, job, phone, rack, farm or yielded CASES [failing]` | a job or an attempt ends |
/// | `wait SECONDS` · `back SECONDS` · `restart` | time passes, or is set back; the daemon dies and comes back |
/// | `quarantine A` · `take A by o [for SECONDS]` · `release A` · `revoke A` | an operator acts |
/// | `rule …` | an operator changes a rule, in the words of [`change`] |
/// | `explain J1` · `queue` | says why a job waits, or who waits, first served first |
pub(crate) fn check(scenario: &str, expected: &str) {
    let mut world = World::new();
    let mut told = String::new();
    for command in scenario.lines().map(str::trim).filter(|line| !line.is_empty()) {
        for line in play(&mut world, command) {
            told.push_str(&line);
            told.push('\n');
        }
    }
    let expected: String = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(told == expected, "scenario:\n{scenario}\ndecided:\n{told}\nexpected:\n{expected}");
}

fn play(world: &mut World, command: &str) -> Vec<String> {
    let words = words_of(command);
    let decisions = match words.as_slice() {
        ["phone", udid, "on", rack, more @ ..] => {
            let report = phone_with(udid, more);
            world.apply(Event::PhoneReported { rack: rack.parse().unwrap(), report: Box::new(report) })
        }
        ["sync", rack, more @ ..] => {
            let mut parts = more.split(|word| *word == "idle");
            let held = parts.next().unwrap_or_default().chunks(2).map(held_lease).collect();
            let idle = parts.flatten().map(|word| idle_phone(word)).collect();
            world.apply(Event::RackSynced { rack: rack.parse().unwrap(), held, idle })
        }
        ["submit", class, more @ ..] => {
            let job = world.brain.next_job();
            let spec = spec_with(class, more, world.now);
            world.apply(Event::JobSubmitted { job, spec: Box::new(spec) })
        }
        ["cancel", job] => world.apply(Event::JobCancelled { job: job.parse().unwrap() }),
        ["end", attempt, "on", udid, "lease", lease, end @ ..] => world.apply(ended(
            attempt.parse().unwrap(),
            udid.parse().unwrap(),
            LeaseNumber(lease.parse().unwrap()),
            end_in_words(end),
        )),
        ["wait", seconds] => world.pass(Duration::from_secs(seconds.parse().unwrap())),
        ["keep", rack, seconds, held @ ..] => {
            let held: Vec<HeldLease> = held.chunks(2).map(held_lease).collect();
            let mut all = Vec::new();
            for _ in 0..seconds.parse::<u64>().unwrap() {
                all.extend(world.pass(Duration::from_secs(1)));
                all.extend(world.apply(Event::RackSynced {
                    rack: rack.parse().unwrap(),
                    held: held.clone(),
                    idle: vec![],
                }));
            }
            all
        }
        ["back", seconds] => {
            let back = seconds.parse::<i64>().unwrap() * 1_000;
            world.now = holdfast_wire::time::Time::from_unix_ms(world.now.as_unix_ms() - back);
            Vec::new()
        }
        ["restart"] => world.restart(),
        ["quarantine", udid] => world.apply(Event::PhoneQuarantined {
            phone: udid.parse().unwrap(),
            reason: "by hand".to_owned(),
            until: None,
        }),
        ["take", udid, "by", owner, more @ ..] => world.apply(Event::PhoneTaken {
            phone: udid.parse().unwrap(),
            by: owner.parse().unwrap(),
            reason: "by hand".to_owned(),
            until: match more {
                ["for", seconds] => Some(world.now.after(Duration::from_secs(seconds.parse().unwrap()))),
                _ => None,
            },
        }),
        ["revoke", udid] => {
            world.apply(Event::LeaseRevoked { phone: udid.parse().unwrap(), reason: "by hand".to_owned() })
        }
        ["rule", rule @ ..] => {
            change(&mut world.policy, rule);
            world.apply(Event::PolicyChanged { policy: Box::new(world.policy.clone()) })
        }
        ["queue"] => {
            let queue = world.brain.queue();
            return vec![
                queue.iter().map(|job| format!(" {job}")).fold("waiting:".to_owned(), |all, job| all + &job),
            ];
        }
        ["release", udid] => world.apply(Event::PhoneReleased { phone: udid.parse().unwrap() }),
        ["explain", job] => {
            let job: JobId = job.parse().unwrap();
            return vec![match world.brain.explain(job) {
                Some(explanation) => format!("{job} waits: {}", explanation.summary),
                None => format!("{job} does not wait"),
            }];
        }
        ["hope", job] => {
            let job: JobId = job.parse().unwrap();
            return vec![match world.brain.never_starts(job) {
                Some(why) => format!("{job} never starts: {why}"),
                None => format!("{job} may start"),
            }];
        }
        ["eta", job] => {
            let job: JobId = job.parse().unwrap();
            return vec![match world.brain.eta(world.now, job) {
                Some(eta) => format!(
                    "{job} starts in about {} s: {}",
                    eta.likely.since(world.now).as_secs(),
                    eta.words
                ),
                None => format!("when {job} starts cannot be said"),
            }];
        }
        _ => panic!("no such command: {command}"),
    };
    lines_of(&decisions)
}

/// The decisions of one event. In which order phones are told is no rule, so orders come last, by phone.
fn lines_of(decisions: &[Decision]) -> Vec<String> {
    let is_order = |decision: &&Decision| matches!(decision, Decision::Order { .. });
    let mut orders: Vec<String> = decisions.iter().filter(is_order).filter_map(line).collect();
    orders.sort();
    let others = decisions.iter().filter(|decision| !is_order(decision)).filter_map(line);
    others.chain(orders).collect()
}

fn phone_with(udid: &str, more: &[&str]) -> PhoneReport {
    let mut report = phone(udid);
    let mut more = more.iter();
    while let Some(word) = more.next() {
        let mut value = || *more.next().unwrap();
        match *word {
            "ios" => report.facts.os_version = value().parse().unwrap(),
            "model" => report.facts.product_type = value().to_owned(),
            "label" => report.facts.labels.push(value().parse().unwrap()),
            "battery" => {
                report.facts.battery = Some(Battery {
                    level_percent: value().parse().unwrap(),
                    charging: false,
                    temperature_celsius: None,
                    health_percent: None,
                    cycles: None,
                });
            }
            "state" => {
                report.readiness = match value() {
                    "offline" => Readiness::Offline,
                    "cooling" => Readiness::Cooling,
                    other => panic!("no such state: {other}"),
                };
                report.reason = "said the rack".to_owned();
            }
            other => panic!("no such word of a phone: {other}"),
        }
    }
    report
}

fn spec_with(class: &str, more: &[&str], now: Time) -> JobSpec {
    let mut spec = spec(class_of(class));
    for pair in more.chunks(2) {
        let wants = Arc::make_mut(&mut spec.requirements);
        match pair {
            ["build", value] => {
                Arc::make_mut(&mut spec.build).hash = BuildHash::new([value.parse().unwrap(); 32])
            }
            ["owner", value] => spec.owner = Some(value.parse().unwrap()),
            ["phones", value] => spec.phones = value.parse().unwrap(),
            ["compare", value] => spec.compare = Some(value.parse().unwrap()),
            ["cases", value] => {
                let case = spec.cases[0].clone();
                spec.cases = Arc::new(vec![case; value.parse().unwrap()]);
            }
            ["prio", value] => spec.priority = value.parse().unwrap(),
            ["ios-min", value] => wants.os_min = Some(value.parse().unwrap()),
            ["ios-max", value] => wants.os_max = Some(value.parse().unwrap()),
            ["label", value] => wants.labels.push(value.parse().unwrap()),
            ["model", value] => wants.models.push((*value).to_owned()),
            ["phone", value] => wants.phone = Some(value.parse().unwrap()),
            ["pool", value] => wants.pool = Some(value.parse().unwrap()),
            ["when", expression] => wants.expression = Some(expression.parse().unwrap()),
            ["then", fallback] => {
                let (after_s, expression) = fallback.split_once(": ").unwrap();
                let fallback =
                    Fallback { after_s: after_s.parse().unwrap(), expression: expression.parse().unwrap() };
                wants.fallbacks.push(fallback);
            }
            ["by", value] => spec.start_by = Some(now.after(Duration::from_secs(value.parse().unwrap()))),
            other => panic!("no such words of a job: {other:?}"),
        }
    }
    spec
}

/// The words of a command; what stands in single quotes is one.
fn words_of(command: &str) -> Vec<&str> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(place, part)| if place % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

fn end_in_words(words: &[&str]) -> AttemptEnd {
    match words {
        ["yielded", cases_done, failing @ ..] => AttemptEnd::Yielded {
            cases_done: cases_done.parse().unwrap(),
            failure: (!failing.is_empty()).then(|| "a case failed".to_owned()),
        },
        [end] => end_of(end),
        other => panic!("no such end: {other:?}"),
    }
}

fn idle_phone(word: &str) -> IdlePhone {
    let (udid, obeyed) = word.split_once(':').unwrap();
    IdlePhone { phone: udid.parse().unwrap(), obeyed: LeaseNumber(obeyed.parse().unwrap()) }
}

fn held_lease(words: &[&str]) -> HeldLease {
    let (udid, lease) = words[0].split_once(':').unwrap();
    let (lease, withdrawn) = lease.split_once('-').map_or((lease, None), |(lease, text)| (lease, Some(text)));
    HeldLease {
        phone: udid.parse().unwrap(),
        lease: LeaseNumber(lease.parse().unwrap()),
        attempt: words[1].parse().unwrap(),
        withdrawn: withdrawn.map(|text| LeaseNumber(text.parse().unwrap())),
    }
}
