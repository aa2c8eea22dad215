//! Why a job waits: rule by rule, phone by phone, and in one sentence. Reads only.

use std::collections::BTreeMap;

use holdfast_wire::api::{Explanation, Obstacle, PhoneAnswer, Rule, RuleAnswer};
use holdfast_wire::id::{JobId, Owner};
use holdfast_wire::phone::PhoneState;
use holdfast_wire::requirement::Place as Whereabouts;

use crate::fleet::Phone;
use crate::kinds::{Kind, PhoneId};
use crate::lanes::Lane;
use crate::record::NextPhase;
use crate::scheduler::Scheduler;
use crate::waiting::Slot;

/// Jobs that are counted one by one to say how many go before another; beyond it, it is only said to be more.
pub(crate) const AHEAD_MAX: usize = 10_000;

impl Scheduler {
    /// Why a queued job waits; none when the job is unknown, running or over.
    pub fn explain(&self, id: JobId) -> Option<Explanation> {
        let slot = self.jobs.get(id)?;
        if slot.is_staged {
            return Some(self.explain_staged(slot));
        }
        if !slot.is_waiting {
            return None;
        }
        let ahead = self.ahead(slot, AHEAD_MAX);
        let answers = self.by_udid.values().filter_map(|phone| self.answer(slot, *phone));
        let summary = self.summary(slot, ahead);
        Some(Explanation {
            job: id,
            summary,
            ahead,
            rules: self.rules_of(slot, ahead),
            phones: answers.collect(),
        })
    }

    /// The one sentence of [`Self::explain`]. The work is that of looking at kinds of phones, not at phones or jobs.
    pub fn waiting(&self, id: JobId) -> Option<String> {
        let slot = self.jobs.get(id)?;
        if slot.is_staged {
            return Some(self.summary_of_staged(slot));
        }
        slot.is_waiting.then(|| self.summary(slot, self.ahead(slot, AHEAD_MAX / 10)))
    }

    /// Why a job waits that belongs to a phone already: no other phone is asked.
    fn explain_staged(&self, slot: &Slot) -> Explanation {
        let summary = self.summary_of_staged(slot);
        let phone = &self.phones[slot.seat];
        let behind = phone.counting().map(|hold| hold.attempt);
        let rule = Rule::Next { phone: phone.udid().clone(), behind };
        let rules = vec![RuleAnswer { rule, words: summary.clone(), until: None }];
        Explanation { job: slot.record.id, summary, ahead: 0, rules, phones: Vec::new() }
    }

    fn summary_of_staged(&self, slot: &Slot) -> String {
        let phone = &self.phones[slot.seat];
        let udid = phone.udid();
        let phase = phone.record.next.as_ref().map(|next| next.phase);
        match (phone.counting().map(|hold| hold.attempt), phase) {
            (Some(attempt), Some(NextPhase::Staged)) => format!("next on phone {udid}, behind {attempt}"),
            (Some(attempt), _) => {
                format!("it was to be next on phone {udid}, behind {attempt}, and is being taken back")
            }
            (None, _) => format!("rack {} has yet to say whether it begins on {udid}", phone.record.rack),
        }
    }

    /// Jobs that are served before this one on phones that would do for both, counted up to a limit.
    pub(crate) fn ahead(&self, slot: &Slot, most: usize) -> usize {
        let own = &self.lanes.list[slot.lane];
        let place = self.counted(slot);
        let mut count = 0;
        for (id, lane) in self.lanes.list.iter().enumerate() {
            if self.lanes.heads[id] >= place || !self.compete(own, lane) {
                continue;
            }
            count += self.before(lane, place, most - count);
            if count >= most {
                break;
            }
        }
        count
    }

    /// Whether jobs of the two lanes want a common kind of phone.
    fn compete(&self, one: &Lane, other: &Lane) -> bool {
        let common = |id: usize| !self.kinds.list[id].members.is_empty() && other.fits(id);
        one.kinds().any(common)
    }

    /// Why one phone does not run the job; none when it is about to.
    pub(crate) fn answer(&self, slot: &Slot, id: PhoneId) -> Option<PhoneAnswer> {
        let phone = &self.phones[id];
        let obstacle = self.obstacle(slot, id)?;
        let words = words(&obstacle);
        Some(PhoneAnswer { phone: phone.udid().clone(), rack: phone.record.rack.clone(), obstacle, words })
    }

    fn obstacle(&self, slot: &Slot, id: PhoneId) -> Option<Obstacle> {
        let phone = &self.phones[id];
        let lane = &self.lanes.list[slot.lane];
        if !lane.fits(phone.kind) {
            return Some(self.never(slot, lane, phone));
        }
        if let Some(home) = self.home(slot).filter(|home| *home != id) {
            return Some(Obstacle::Comparison { phone: self.phones[home].udid().clone() });
        }
        if slot.is_picky && self.avoids(slot, id) {
            let here = slot.record.failed_elsewhere().any(|(attempt, _)| attempt.phone == *phone.udid());
            return Some(if here { Obstacle::FailedHereBefore } else { Obstacle::FailedOnRackBefore });
        }
        self.obstacle_of_state(phone).or_else(|| self.obstacle_of_rule(slot, lane, phone))
    }

    /// What keeps every job like this one off the phone, however free it is.
    pub(crate) fn never(&self, slot: &Slot, lane: &Lane, phone: &Phone) -> Obstacle {
        let pool = self.pool(phone.pool);
        let serves = pool.filter(|pool| match &lane.pool {
            Some(wanted) => pool.name == *wanted,
            None => pool.serves.contains(&lane.key.class) || pool.lends.contains(&lane.key.class),
        });
        let Some(pool) = serves else {
            return Obstacle::Pool { pool: pool.map(|pool| pool.name.clone()) };
        };
        let owner = slot.record.spec.owner.as_ref();
        let refuses = |only: &[holdfast_wire::id::Owner]| {
            !only.is_empty() && owner.is_none_or(|owner| !only.contains(owner))
        };
        if refuses(&pool.only) {
            return Obstacle::Only { owners: pool.only.clone() };
        }
        let demanding =
            self.demands.iter().find(|(demand, only)| refuses(only) && demand.holds(&phone.truth));
        if let Some((_, only)) = demanding {
            return Obstacle::Only { owners: only.clone() };
        }
        let place =
            Whereabouts { facts: &phone.record.facts, rack: &phone.record.rack, pool: Some(&pool.name) };
        let term = self.lanes.wants[lane.key.wants].steps.get(lane.key.step).map(|(_, term)| term);
        match term.and_then(|term| term.mismatch(&place)) {
            Some(mismatch) => Obstacle::Requirement { mismatch },
            None => Obstacle::BuildTooNew {
                minimum_os: slot.record.spec.build.minimum_os.clone().unwrap_or_default(),
            },
        }
    }

    fn obstacle_of_state(&self, phone: &Phone) -> Option<Obstacle> {
        let (state, reason) = self.state(phone);
        let state = match state {
            PhoneState::Ready => {
                return phone.gathered.map(|job| Obstacle::GatheredFor { job });
            }
            PhoneState::Busy { attempt } if phone.noted.victim.is_none() && phone.summoned.is_some() => {
                return Some(Obstacle::Yielding { attempt });
            }
            PhoneState::Busy { attempt } => return Some(Obstacle::Busy { attempt }),
            PhoneState::Taken { by, until } => return Some(Obstacle::Taken { by, until }),
            state => state,
        };
        let reason = match phone.counting().filter(|_| state == PhoneState::Offline) {
            Some(hold) => format!("{reason}, and {} may still run there", hold.attempt),
            None => reason,
        };
        Some(Obstacle::NotReady { state: state.as_str().to_owned(), reason })
    }

    /// What keeps a job from a phone that is free for it.
    fn obstacle_of_rule(&self, slot: &Slot, lane: &Lane, phone: &Phone) -> Option<Obstacle> {
        let share = &self.shares.list[slot.owner];
        if lane.shut.window {
            let (name, opens) = self.window_of(lane.key.class);
            return Some(Obstacle::Window { name, opens });
        }
        if let (true, Some(owner), Some(running_max)) =
            (share.is_full(lane.key.phones), &share.owner, share.rule.running_max)
        {
            return Some(Obstacle::OwnerLimit { owner: owner.clone(), running_max });
        }
        if lane.key.phones > 1 {
            let free = self.free_for(slot);
            return Some(Obstacle::Gang { needed: lane.key.phones, free });
        }
        if share.is_beyond_quota()
            && let Some(owner) = &share.owner
        {
            return Some(Obstacle::OverQuota { owner: owner.clone() });
        }
        let pool = self.pool(phone.pool);
        (lane.lent.has(phone.kind)).then(|| pool.map(|pool| Obstacle::Lent { pool: pool.name.clone() }))?
    }

    /// The window of a class and when it opens.
    pub(crate) fn window_of(
        &self,
        class: holdfast_wire::job::JobClass,
    ) -> (String, Option<holdfast_wire::time::Time>) {
        let name = self.rule(class).window.clone().unwrap_or_default();
        let opens = self.policy.windows.get(&name).and_then(|calendar| calendar.next_change(self.now));
        (name, opens)
    }

    /// Phones that are free or kept for a job of several phones.
    pub(crate) fn free_for(&self, slot: &Slot) -> u16 {
        let lane = &self.lanes.list[slot.lane];
        let kinds = lane.kinds();
        let free: usize = kinds.map(|kind| self.kinds.list[kind].free.len()).sum();
        let kept = self.gangs.get(&slot.record.id).map_or(0, std::collections::BTreeSet::len);
        u16::try_from(free + kept).unwrap_or(u16::MAX)
    }

    /// Kinds that fit a waiting job and have phones.
    pub(crate) fn fitting<'a>(&'a self, lane: &'a Lane) -> impl Iterator<Item = &'a Kind> + 'a {
        let kinds = lane.kinds().map(|kind| &self.kinds.list[kind]);
        kinds.filter(|kind| !kind.members.is_empty())
    }

    pub(crate) fn summary(&self, slot: &Slot, ahead: usize) -> String {
        if self.phones.is_empty() {
            return "no phone is known to the farm; start an agent on a rack".to_owned();
        }
        let lane = &self.lanes.list[slot.lane];
        let fitting: usize = self.fitting(lane).map(|kind| kind.members.len()).sum();
        if fitting == 0 {
            return format!("no phone of the farm fits: {}", self.why_none_fits(slot, lane));
        }
        let behind = behind(ahead);
        let fit = if fitting == 1 { "1 phone fits".to_owned() } else { format!("{fitting} phones fit") };
        if let Some(rule) = self.blocking_rule(slot, lane) {
            return format!("{fit}; {rule}; {behind}");
        }
        let busy: usize = self.fitting(lane).map(|kind| kind.busy as usize).sum();
        if busy == fitting {
            return format!("{fit}, busy with other work; {behind}");
        }
        let tried = if slot.record.attempts.is_empty() { "" } else { "it is to be tried again; " };
        let others = self.fitting(lane).flat_map(|kind| kind.members.iter().copied());
        let others = others.filter(|phone| !self.phones[*phone].noted.busy).take(LOOKED_AT_MAX);
        let answers: Vec<PhoneAnswer> = others.filter_map(|phone| self.answer(slot, phone)).collect();
        if answers.is_empty() {
            return format!("{fit}; {behind}");
        }
        format!("{tried}{fit}, {busy} busy with other work; {}; {behind}", commonest(answers.iter()))
    }

    /// Why none of the phones fits, from those that are looked at.
    fn why_none_fits(&self, slot: &Slot, lane: &Lane) -> String {
        let phones = self.by_udid.values().take(LOOKED_AT_MAX).map(|id| &self.phones[*id]);
        let answers = phones.map(|phone| {
            let obstacle = self.never(slot, lane, phone);
            let words = words(&obstacle);
            PhoneAnswer { phone: phone.udid().clone(), rack: phone.record.rack.clone(), obstacle, words }
        });
        commonest(answers.collect::<Vec<_>>().iter())
    }

    /// The rule that keeps the job waiting whatever the phones do.
    fn blocking_rule(&self, slot: &Slot, lane: &Lane) -> Option<String> {
        let share = &self.shares.list[slot.owner];
        let owner = share.owner.as_ref().map(ToString::to_string).unwrap_or_default();
        if lane.shut.window {
            let (name, opens) = self.window_of(lane.key.class);
            return Some(match opens {
                Some(at) => format!("window {name} is shut until {at}"),
                None => format!("window {name} is shut and never opens; look at the pools file"),
            });
        }
        if share.is_full(lane.key.phones) {
            return Some(format!("{owner} runs as many jobs at once as it may"));
        }
        if lane.shut.phones {
            return Some(format!("it needs {} phones at once and fewer work", lane.key.phones));
        }
        let home = self.home(slot).map(|home| self.phones[home].udid());
        home.map(|udid| format!("it waits for phone {udid}, where what it is compared with ran"))
    }
}

/// Phones that are looked at for one sentence, at most.
const LOOKED_AT_MAX: usize = 500;

pub(crate) fn behind(ahead: usize) -> String {
    match ahead {
        0 => "it is next".to_owned(),
        1 => "1 job goes before it".to_owned(),
        _ if ahead == AHEAD_MAX || ahead == AHEAD_MAX / 10 => format!("more than {ahead} jobs go before it"),
        _ => format!("{ahead} jobs go before it"),
    }
}

/// The commonest obstacles in words, each with how many phones it keeps away; at most three.
fn commonest<'a>(answers: impl Iterator<Item = &'a PhoneAnswer>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.words.as_str()).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(words, count)| (std::cmp::Reverse(*count), *words));
    let shown: Vec<String> = counts
        .iter()
        .take(3)
        .map(|(words, count)| match count {
            1 => format!("1 phone: {words}"),
            _ => format!("{count} phones: {words}"),
        })
        .collect();
    shown.join("; ")
}

fn words(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Pool { pool: Some(pool) } => format!("pool {pool} does not serve this job"),
        Obstacle::Pool { pool: None } => "no pool has taken the phone".to_owned(),
        Obstacle::Only { owners } => {
            let owners: Vec<&str> = owners.iter().map(Owner::as_str).collect();
            format!("it serves only {}", owners.join(", "))
        }
        Obstacle::Requirement { mismatch } => mismatch.to_string(),
        Obstacle::BuildTooNew { minimum_os } => format!("the build wants iOS {minimum_os} or newer"),
        Obstacle::Comparison { phone } => format!("the comparison began on phone {phone}"),
        Obstacle::FailedHereBefore => "the job failed there before, and another phone may do".to_owned(),
        Obstacle::FailedOnRackBefore => "the job failed on that rack before, and another may do".to_owned(),
        Obstacle::Lent { pool } => format!("pool {pool} is lent only while its own work does not want it"),
        Obstacle::Window { name, opens: Some(opens) } => format!("window {name} is shut until {opens}"),
        Obstacle::Window { name, opens: None } => format!("window {name} is shut and never opens again"),
        Obstacle::OwnerLimit { owner, running_max } => {
            format!("{owner} runs {running_max} at once, as many as it may")
        }
        Obstacle::OverQuota { owner } => {
            format!("{owner} has used today's phone-minutes up, so others go first")
        }
        Obstacle::Gang { needed, free } => {
            format!("free, but the job needs {needed} at once and {free} are free")
        }
        Obstacle::GatheredFor { job } => format!("held free for {job}, which needs several phones"),
        Obstacle::Before { job } => format!("goes to {job} first"),
        Obstacle::Busy { attempt } => format!("runs {attempt}"),
        Obstacle::Yielding { attempt } => format!("{attempt} is giving it up"),
        Obstacle::Taken { by, until: Some(until) } => format!("taken by {by} until {until}"),
        Obstacle::Taken { by, until: None } => format!("taken by {by} until it is released"),
        Obstacle::NotReady { state, reason } if reason.is_empty() => state.clone(),
        Obstacle::NotReady { state, reason } => format!("{state}: {reason}"),
    }
}
