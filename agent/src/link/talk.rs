//! What a request says and what an answer changes: the version numbers of both sides. No network here.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_wire::id::{EntryId, RackId, StartId, Udid};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{
    AttemptProgress, HeldLease, OutboxEntry, PHONES_PER_RACK_MAX, PROTOCOL, SyncReply, SyncRequest, Version,
};

/// Everything the rack has to say at this moment, apart from the outbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Voice {
    /// Grows with every change of a phone's report.
    pub version: Version,
    /// Each phone's report, and the version at which it changed last.
    pub phones: BTreeMap<Udid, (Version, PhoneReport)>,
    /// Leases held now.
    pub held: Vec<HeldLease>,
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
        }
    }

    /// Whether no daemon has answered yet.
    pub fn is_new(&self) -> bool {
        self.daemon_start.is_none()
    }

    /// Whether there is anything that the daemon does not know.
    pub fn has_news(&self, voice: &Voice, ready: &[OutboxEntry]) -> bool {
        self.has_grave_news(voice, ready) || voice.progress != self.said.progress
    }

    /// The same, progress left aside.
    pub fn has_grave_news(&self, voice: &Voice, ready: &[OutboxEntry]) -> bool {
        self.is_new()
            || voice.version > self.phones_seen
            || voice.held != self.said.held
            || ready.iter().any(|entry| !self.said.entries.contains(&entry.id))
    }

    /// The next request.
    pub fn request(&mut self, voice: &Voice, ready: &[OutboxEntry], wait: Duration) -> SyncRequest {
        self.number += 1;
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
            held: voice.held.clone(),
            idle: Vec::new(),
            entries: ready.to_vec(),
            progress: voice.progress.clone(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
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
            let request = talk.request(&voice(version, &phones), &[], Duration::ZERO);
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
        let request = talk.request(&voice(1, &[("a", 1)]), &[], Duration::ZERO);
        talk.answered(&request, &reply("d1", 1, 99));
        assert!(talk.has_news(&voice(2, &[("a", 2)]), &[]));
        assert!(!talk.has_news(&voice(1, &[("a", 1)]), &[]));
    }
}
