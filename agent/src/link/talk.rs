//! What a request says and what an answer changes: the version numbers of both sides. No network here.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_wire::id::{EntryId, LeaseNumber, RackId, StartId, Udid};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{
    AttemptProgress, HeldLease, IdlePhone, OutboxItem, PHONES_PER_RACK_MAX, PROTOCOL, SyncReply, SyncRequest,
    Version,
};

use crate::outbox::Waiting;

/// Everything the rack has to say at this moment, apart from the outbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Voice {
    /// Grows with every change of a phone's report.
    pub version: Version,
    /// Each phone's report, and the version at which it changed last.
    pub phones: BTreeMap<Udid, (Version, PhoneReport)>,
    /// Leases held now.
    pub held: Vec<HeldLease>,
    /// Phones that hold none, with the last lease that each obeyed.
    pub idle: Vec<IdlePhone>,
    /// Where attempts stand.
    pub progress: Vec<AttemptProgress>,
}

/// Where the talk with the daemon stands.
#[derive(Debug)]
pub struct Talk {
    rack: RackId,
    agent_start: StartId,
    number: u64,
    daemon_start: Option<StartId>,
    orders_seen: Version,
    phones_seen: Version,
    said: Said,
    /// By phone, the newest lease whose end was said. The rack's own word that it is free comes a moment later.
    over: BTreeMap<Udid, LeaseNumber>,
}

/// What the last answered request said.
#[derive(Debug, Default)]
struct Said {
    held: Vec<HeldLease>,
    progress: Vec<AttemptProgress>,
    entries: Vec<EntryId>,
}

impl Talk {
    /// Of a rack that has said nothing yet.
    pub fn new(rack: RackId, agent_start: StartId) -> Self {
        Self {
            rack,
            agent_start,
            number: 0,
            daemon_start: None,
            orders_seen: Version::default(),
            phones_seen: Version::default(),
            said: Said::default(),
            over: BTreeMap::new(),
        }
    }

    /// Whether no daemon has answered yet.
    pub fn is_new(&self) -> bool {
        self.daemon_start.is_none()
    }

    /// Whether there is anything that the daemon does not know.
    pub fn has_news(&self, voice: &Voice, waiting: &Waiting) -> bool {
        self.has_grave_news(voice, waiting) || voice.progress != self.said.progress
    }

    /// The same, progress left aside. Which phones rest is told with the next request, whatever makes it.
    pub fn has_grave_news(&self, voice: &Voice, waiting: &Waiting) -> bool {
        self.is_new()
            || voice.version > self.phones_seen
            || self.held(voice) != self.said.held
            || waiting.ready.iter().any(|entry| !self.said.entries.contains(&entry.id))
    }

    /// The next request. `voice` has to be older than `waiting`: a phone is said to be idle by the one only as long
    /// as nothing of it waits in the other.
    pub fn request(&mut self, voice: &Voice, waiting: &Waiting, wait: Duration) -> SyncRequest {
        self.number += 1;
        for entry in &waiting.ready {
            if let OutboxItem::AttemptEnded { report } = &entry.what {
                let over = self.over.entry(report.phone.clone()).or_default();
                *over = report.lease.max(*over);
            }
        }
        let changed = voice.phones.values().filter(|(version, _)| *version > self.phones_seen);
        SyncRequest {
            protocol: PROTOCOL,
            rack: self.rack.clone(),
            agent_start: self.agent_start.clone(),
            number: self.number,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            daemon_start: self.daemon_start.clone(),
            orders_seen: self.orders_seen,
            phones_version: voice.version,
            phones: changed.take(PHONES_PER_RACK_MAX).map(|(_, report)| report.clone()).collect(),
            held: self.held(voice),
            idle: idle(voice, waiting),
            entries: waiting.ready.clone(),
            progress: voice.progress.clone(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Leases that are held, those left out whose end is said in the same breath or has been.
    fn held(&self, voice: &Voice) -> Vec<HeldLease> {
        let is_over = |held: &HeldLease| self.over.get(&held.phone).is_some_and(|over| held.lease <= *over);
        voice.held.iter().filter(|held| !is_over(held)).cloned().collect()
    }

    /// Takes in the answer to a request. What it orders has to be the rack's own before the next request.
    pub fn answered(&mut self, request: &SyncRequest, reply: &SyncReply) {
        let is_another = request.daemon_start.as_ref().is_some_and(|start| *start != reply.daemon_start);
        // A daemon that has started anew read our changes against a picture that it does not have.
        self.phones_seen =
            if is_another { Version::default() } else { reply.phones_seen.min(request.phones_version) };
        self.daemon_start = Some(reply.daemon_start.clone());
        self.orders_seen = reply.orders_version;
        self.said = Said {
            held: request.held.clone(),
            progress: request.progress.clone(),
            entries: request.entries.iter().map(|entry| entry.id.clone()).collect(),
        };
        if is_another {
            self.said = Said::default();
        }
    }
}

/// Phones that rest and of which no report waits.
pub fn idle(voice: &Voice, waiting: &Waiting) -> Vec<IdlePhone> {
    voice.idle.iter().filter(|idle| !waiting.unreported.contains(&idle.phone)).cloned().collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use holdfast_wire::outcome::{AttemptEnd, AttemptReport};
    use holdfast_wire::sync::OutboxEntry;
    use holdfast_wire::time::Time;

    use super::*;
    use crate::phone::facts_unknown;
    use holdfast_wire::phone::Readiness;

    fn voice(version: u64, phones: &[(&str, u64)]) -> Voice {
        let report = |udid: &str| PhoneReport {
            facts: facts_unknown(&udid.parse().unwrap(), None).unwrap(),
            readiness: Readiness::Ready,
            reason: String::new(),
            since: Time::from_unix_ms(0),
        };
        let phones =
            phones.iter().map(|(udid, at)| (udid.parse().unwrap(), (Version(*at), report(udid)))).collect();
        Voice { version: Version(version), phones, ..Voice::default() }
    }

    fn reply(start: &str, orders: u64, phones_seen: u64) -> SyncReply {
        SyncReply {
            daemon_start: start.parse().unwrap(),
            now: Time::from_unix_ms(0),
            orders_version: Version(orders),
            orders: Vec::new(),
            phones_seen: Version(phones_seen),
            confirmed: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Each line: what the rack has, what the request then says, what the daemon answers.
    #[test]
    fn only_what_changed_is_said_and_a_new_daemon_is_told_all() {
        let mut talk = Talk::new("rack".parse().unwrap(), "a1".parse().unwrap());
        let steps = [
            // rack's version and phones, expected phones and orders_seen, answer
            ((2, vec![("a", 1), ("b", 2)]), "a b @0", ("d1", 5, 2)),
            ((2, vec![("a", 1), ("b", 2)]), "@5", ("d1", 5, 2)),
            ((3, vec![("a", 3), ("b", 2)]), "a @5", ("d1", 6, 2)),
            ((3, vec![("a", 3), ("b", 2)]), "a @6", ("d1", 6, 3)),
            ((4, vec![("a", 3), ("b", 4)]), "b @6", ("d2", 1, 4)),
            ((4, vec![("a", 3), ("b", 4)]), "a b @1", ("d2", 1, 4)),
            ((4, vec![("a", 3), ("b", 4)]), "@1", ("d2", 1, 4)),
        ];
        for (turn, ((version, phones), expected, (start, orders, seen))) in (1..).zip(steps) {
            let request = talk.request(&voice(version, &phones), &Waiting::default(), Duration::ZERO);
            let said: String =
                request.phones.iter().map(|report| format!("{} ", report.facts.udid)).collect();
            assert_eq!(format!("{said}@{}", request.orders_seen.0), expected, "turn {turn}");
            assert_eq!(request.number, turn);
            talk.answered(&request, &reply(start, orders, seen));
        }
    }

    #[test]
    fn a_daemon_that_claims_to_have_seen_the_future_is_not_believed() {
        let mut talk = Talk::new("rack".parse().unwrap(), "a1".parse().unwrap());
        let request = talk.request(&voice(1, &[("a", 1)]), &Waiting::default(), Duration::ZERO);
        talk.answered(&request, &reply("d1", 1, 99));
        assert!(talk.has_news(&voice(2, &[("a", 2)]), &Waiting::default()));
        assert!(!talk.has_news(&voice(1, &[("a", 1)]), &Waiting::default()));
    }

    fn report_of(phone: &str, lease: u64) -> OutboxEntry {
        let report = AttemptReport {
            attempt: "J1.1".parse().unwrap(),
            phone: phone.parse().unwrap(),
            lease: LeaseNumber(lease),
            end: AttemptEnd::Passed,
            cases: Vec::new(),
            crashes: Vec::new(),
            started_at: Time::from_unix_ms(0),
            ended_at: Time::from_unix_ms(1),
        };
        OutboxEntry {
            id: format!("{phone}-{lease}").parse().unwrap(),
            what: OutboxItem::AttemptEnded { report },
        }
    }

    fn waiting(ready: &[(&str, u64)], unreported: &[&str]) -> Waiting {
        let ready: Vec<OutboxEntry> = ready.iter().map(|(phone, lease)| report_of(phone, *lease)).collect();
        let unreported = unreported.iter().map(|phone| phone.parse().unwrap()).collect();
        Waiting { all: ready.len(), ready, unreported, crashes: BTreeMap::new() }
    }

    fn with_leases(held: &[(&str, u64)], idle: &[(&str, u64)]) -> Voice {
        let held = held.iter().map(|(phone, lease)| HeldLease {
            phone: phone.parse().unwrap(),
            lease: LeaseNumber(*lease),
            attempt: "J1.1".parse().unwrap(),
            withdrawn: None,
        });
        let idle = idle
            .iter()
            .map(|(phone, lease)| IdlePhone { phone: phone.parse().unwrap(), obeyed: LeaseNumber(*lease) });
        Voice { held: held.collect(), idle: idle.collect(), ..Voice::default() }
    }

    /// Each line: leases the rack says are held and resting, reports that are said, phones with a report that waits;
    /// then what the request says is held and idle.
    #[test]
    fn a_phone_is_idle_only_when_nothing_of_it_waits_and_free_in_the_breath_that_says_its_end() {
        let mut talk = Talk::new("rack".parse().unwrap(), "a1".parse().unwrap());
        let held_1 = with_leases(&[("a", 1)], &[("b", 7)]);
        let rests = with_leases(&[], &[("a", 1), ("b", 7)]);
        let held_2 = with_leases(&[("a", 2)], &[("b", 7)]);
        let steps = [
            ("runs", &held_1, waiting(&[], &[]), "held a 1; idle b 7"),
            ("the rack is a moment late", &held_1, waiting(&[("a", 1)], &["a"]), "held; idle b 7"),
            ("said, not confirmed", &rests, waiting(&[("a", 1)], &["a"]), "held; idle b 7"),
            ("its report waits behind others", &rests, waiting(&[], &["a"]), "held; idle b 7"),
            ("the rack is very late", &held_1, waiting(&[], &[]), "held; idle b 7"),
            ("confirmed", &rests, waiting(&[], &[]), "held; idle a 1 b 7"),
            ("the next runs", &held_2, waiting(&[], &[]), "held a 2; idle b 7"),
        ];
        for (what, voice, waiting, expected) in steps {
            let request = talk.request(voice, &waiting, Duration::ZERO);
            let held = request.held.iter().map(|held| format!(" {} {}", held.phone, held.lease));
            let idle = request.idle.iter().map(|idle| format!(" {} {}", idle.phone, idle.obeyed));
            let said = format!("held{}; idle{}", held.collect::<String>(), idle.collect::<String>());
            assert_eq!(said, expected, "{what}");
            talk.answered(&request, &reply("d1", 1, 0));
        }
        assert!(!talk.has_news(&held_2, &Waiting::default()), "all of it is said");
        assert!(talk.has_news(&rests, &Waiting::default()));
    }
}
