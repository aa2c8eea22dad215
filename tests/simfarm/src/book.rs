//! What is known of the farm from outside the brain: every record as it was ordered to be written, what was promised to
//! whom, and what changed with the last event. The laws are held against it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::record::{HoldPhase, JobRecord, NextPhase, OwnerRecord, PhoneRecord};
use holdfast_scheduler::{Decision, Event, Place, Policy, Scheduler};
use holdfast_wire::id::{AttemptId, BlobHash, CompareName, JobId, LeaseNumber, Owner, RackId, Udid};
use holdfast_wire::job::JobState;
use holdfast_wire::phone::Readiness;
use holdfast_wire::requirement::Term;

use crate::daemon::Disk;

/// The records, as the brain ordered them to be written.
#[derive(Debug)]
pub struct Book {
    /// Every job.
    pub jobs: BTreeMap<JobId, Arc<JobRecord>>,
    /// Those that wait, with what they demand from when on.
    pub waiting: BTreeMap<JobId, Vec<(Duration, Term)>>,
    /// Those that run.
    pub running: BTreeMap<JobId, Arc<JobRecord>>,
    /// Every phone.
    pub phones: BTreeMap<Udid, Arc<PhoneRecord>>,
    /// What owners have used.
    pub owners: BTreeMap<Owner, Arc<OwnerRecord>>,
    /// The rules in force.
    pub policy: Policy,
    /// Submissions that were answered.
    pub promised: BTreeMap<BlobHash, JobId>,
    /// For which attempt each lease number of each phone was set aside or given.
    leases: BTreeMap<(Udid, LeaseNumber), AttemptId>,
    /// Jobs that belong to a phone which is to begin them next, or whose rack has yet to say that it will not.
    pub staged: BTreeMap<JobId, Udid>,
    /// The phone of each comparison: where the last job of it began.
    pub homes: BTreeMap<CompareName, Udid>,
    /// What racks said last of phones, in this life of the daemon: whether they have them.
    pub said: BTreeMap<Udid, BTreeMap<RackId, bool>>,
    /// What readers who follow the changes know.
    pub picture: Picture,
    /// What the last event changed.
    pub last: Changes,
}

/// The farm as readers see it who look only where they are told to.
#[derive(Debug, Default)]
pub struct Picture {
    /// Phones, as text.
    pub phones: BTreeMap<Udid, String>,
    /// Racks: whether each is heard, its phones, those that work.
    pub racks: BTreeMap<RackId, (bool, usize, usize)>,
    /// Places of waiting jobs.
    pub places: BTreeMap<JobId, Place>,
}

/// What one event changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Jobs before and after, in the order in which they were written.
    pub jobs: Vec<(Option<Arc<JobRecord>>, Arc<JobRecord>)>,
    /// Phones before and after.
    pub phones: Vec<(Option<Arc<PhoneRecord>>, Arc<PhoneRecord>)>,
    /// Phones that were told to yield.
    pub yields: Vec<Udid>,
    /// Comparisons of which a job began, each with the first phone of that job.
    pub begun: Vec<(CompareName, Udid)>,
    /// Whether anything was decided at all.
    pub decided: bool,
    /// A lease number that is for two attempts, in words.
    pub twice: Option<String>,
}

impl Changes {
    /// Jobs that were given phones: the job, and the phones. What was staged and may have begun, for all that is known,
    /// is over when it is recorded, and not given.
    pub fn grants(&self) -> impl Iterator<Item = (&Arc<JobRecord>, Vec<&Udid>)> {
        self.jobs.iter().filter_map(|(before, after)| {
            let known = before.as_ref().map_or(0, |job| job.attempts.len());
            let new = after.attempts.iter().skip(known).filter(|attempt| attempt.ended.is_none());
            let phones: Vec<&Udid> = new.map(|attempt| &attempt.phone).collect();
            (!phones.is_empty()).then_some((after, phones))
        })
    }

    /// The same without jobs that were staged before: their phone had been chosen then.
    pub fn choices(&self) -> impl Iterator<Item = (&Arc<JobRecord>, Vec<&Udid>)> {
        self.grants().filter(|(job, _)| {
            let before = self.phones.iter().filter_map(|(before, _)| before.as_ref()?.next.as_ref());
            let mut staged = before.filter(|next| next.attempt.job == job.id);
            staged.all(|next| next.phase == NextPhase::Withdrawn)
        })
    }

    /// Jobs that were staged: the phone, and the job.
    pub fn stagings(&self) -> impl Iterator<Item = (&Udid, JobId)> {
        self.phones.iter().filter_map(|(before, after)| {
            let next = after.next.as_ref().filter(|next| next.phase == NextPhase::Staged)?;
            let known = before.as_ref().and_then(|before| before.next.as_ref());
            known
                .is_none_or(|known| known.lease != next.lease)
                .then_some((&after.facts.udid, next.attempt.job))
        })
    }
}

impl Book {
    /// Of a farm that has just begun.
    pub fn new(policy: Policy) -> Self {
        Self {
            jobs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            phones: BTreeMap::new(),
            owners: BTreeMap::new(),
            policy,
            promised: BTreeMap::new(),
            leases: BTreeMap::new(),
            staged: BTreeMap::new(),
            homes: BTreeMap::new(),
            said: BTreeMap::new(),
            picture: Picture::default(),
            last: Changes::default(),
        }
    }

    /// The daemon has started from its disk: what was not on it has never been.
    pub fn restart(&mut self, disk: &Disk, brain: &Scheduler) {
        self.jobs = disk.jobs.clone();
        self.phones = disk.phones.clone();
        self.owners = disk.owners.clone();
        self.policy = brain.policy().clone();
        self.waiting.clear();
        self.running.clear();
        let homes = disk.compares.values().map(|compare| (compare.name.clone(), compare.phone.clone()));
        self.homes = homes.collect();
        self.said.clear();
        for job in disk.jobs.values() {
            self.sort(job);
        }
        self.last = Changes::default();
        self.leases.clear();
        let phones: Vec<_> = self.phones.values().cloned().collect();
        phones.iter().for_each(|phone| self.note_leases(phone));
        self.note_staged();
        self.picture = Picture::default();
        self.look(brain);
    }

    fn sort(&mut self, job: &Arc<JobRecord>) {
        match &job.state {
            JobState::Queued => {
                self.running.remove(&job.id);
                self.waiting.entry(job.id).or_insert_with(|| job.spec.requirements.steps());
            }
            JobState::Running { .. } => {
                self.waiting.remove(&job.id);
                self.running.insert(job.id, job.clone());
            }
            JobState::Ended { .. } => {
                self.waiting.remove(&job.id);
                self.running.remove(&job.id);
            }
        }
    }

    fn look(&mut self, brain: &Scheduler) {
        for phone in brain.phones() {
            self.picture.phones.insert(phone.udid.clone(), shown(&phone));
        }
        for rack in brain.racks() {
            let known = (rack.online, rack.phones, rack.phones_working);
            self.picture.racks.insert(rack.id.clone(), known);
        }
        let places = self.waiting.keys().filter_map(|id| Some((*id, brain.place(*id)?)));
        self.picture.places = places.collect();
    }

    /// Takes in what an event led to.
    pub fn take(&mut self, event: &Event, decisions: &[Decision], brain: &Scheduler) {
        self.last = Changes { decided: !decisions.is_empty(), ..Changes::default() };
        if let Event::PolicyChanged { policy } = event {
            self.policy = (**policy).clone();
        }
        if let Event::PhoneReported { rack, report } = event {
            let of_phone = self.said.entry(report.facts.udid.clone()).or_default();
            of_phone.insert(rack.clone(), report.readiness != Readiness::Offline);
        }
        for decision in decisions {
            match decision {
                Decision::SaveJob(job) => self.take_job(job, brain),
                Decision::SavePhone(phone) => self.take_phone(phone, brain),
                Decision::SaveOwner(owner) => drop(self.owners.insert(owner.owner.clone(), owner.clone())),
                Decision::JobMoved(id) => self.look_at_place(*id, brain),
                Decision::PhoneChanged(udid) => self.look_at_phone(udid, brain),
                Decision::RackChanged(rack) => {
                    if let Some(rack) = brain.rack_by_name(rack) {
                        let known = (rack.online, rack.phones, rack.phones_working);
                        self.picture.racks.insert(rack.id.clone(), known);
                    }
                }
                Decision::SaveCompare(compare) => {
                    drop(self.homes.insert(compare.name.clone(), compare.phone.clone()));
                }
                Decision::ForgetCompare(name) => drop(self.homes.remove(name)),
                Decision::KeepLateReport { .. } | Decision::Order { .. } | Decision::WakeAt(_) => {}
            }
        }
        self.note_staged();
    }

    fn note_staged(&mut self) {
        let staged = self.phones.values().filter_map(|phone| {
            let next = phone.next.as_ref().filter(|next| next.phase != NextPhase::Withdrawn)?;
            let job = self.jobs.get(&next.attempt.job)?;
            let number = u32::try_from(job.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
            let is_its = job.state == JobState::Queued && next.attempt.number == number;
            is_its.then(|| (job.id, phone.facts.udid.clone()))
        });
        self.staged = staged.collect();
    }

    fn note_leases(&mut self, phone: &PhoneRecord) {
        let held = phone.hold.as_ref().map(|hold| (phone.last_lease, hold.attempt));
        let next = phone.next.as_ref().map(|next| (next.lease, next.attempt));
        for (lease, attempt) in held.into_iter().chain(next) {
            let before = self.leases.insert((phone.facts.udid.clone(), lease), attempt);
            if let Some(before) = before.filter(|before| *before != attempt) {
                self.last.twice =
                    Some(format!("{lease} of {} is for {before} and {attempt}", phone.facts.udid));
            }
        }
    }

    fn take_job(&mut self, job: &Arc<JobRecord>, brain: &Scheduler) {
        let before = self.jobs.insert(job.id, job.clone());
        let known = before.as_ref().map_or(0, |job| job.attempts.len());
        let begun = job.attempts.iter().skip(known).find(|attempt| attempt.ended.is_none());
        if let (Some(name), Some(first)) = (&job.spec.compare, begun) {
            self.last.begun.push((name.clone(), first.phone.clone()));
        }
        self.last.jobs.push((before, job.clone()));
        self.sort(job);
        self.look_at_place(job.id, brain);
    }

    fn look_at_place(&mut self, id: JobId, brain: &Scheduler) {
        match brain.place(id) {
            Some(place) => drop(self.picture.places.insert(id, place)),
            None => drop(self.picture.places.remove(&id)),
        }
    }

    fn take_phone(&mut self, phone: &Arc<PhoneRecord>, brain: &Scheduler) {
        let udid = phone.facts.udid.clone();
        self.note_leases(phone);
        let before = self.phones.insert(udid.clone(), phone.clone());
        let yields = |phone: &PhoneRecord| match phone.hold.as_ref().map(|hold| hold.phase) {
            Some(HoldPhase::Yielding { when, .. }) => Some(when),
            Some(HoldPhase::Active { .. } | HoldPhase::Releasing) | None => None,
        };
        if yields(phone).is_some() && before.as_ref().and_then(|phone| yields(phone)) != yields(phone) {
            self.last.yields.push(udid.clone());
        }
        self.last.phones.push((before, phone.clone()));
        self.look_at_phone(&udid, brain);
    }

    fn look_at_phone(&mut self, udid: &Udid, brain: &Scheduler) {
        if let Some(phone) = brain.phone(udid) {
            self.picture.phones.insert(udid.clone(), shown(&phone));
        }
    }

    /// Attempts of an owner that count and hold a phone, and how long they are expected to take, milliseconds.
    pub fn runs(&self, owner: Option<&Owner>) -> (u32, u64) {
        let (mut count, mut expected_ms) = (0, 0);
        for job in self.running.values().filter(|job| job.spec.owner.as_ref() == owner) {
            let open = job.attempts.iter().filter(|attempt| attempt.ended.is_none()).count() as u64;
            count += u32::try_from(open).unwrap_or(u32::MAX);
            expected_ms += open * usual_ms(job);
        }
        // What is staged counts as if it ran.
        let staged = self.staged.keys().filter_map(|id| self.jobs.get(id));
        for job in staged.filter(|job| job.spec.owner.as_ref() == owner) {
            count += 1;
            expected_ms += usual_ms(job);
        }
        (count, expected_ms)
    }
}

/// How long an attempt is expected to take, milliseconds.
pub fn usual_ms(job: &JobRecord) -> u64 {
    u64::try_from(job.spec.usual_duration().as_millis()).unwrap_or(u64::MAX)
}

/// A phone as readers see it, as text.
pub fn shown(phone: &holdfast_scheduler::PhoneStatus<'_>) -> String {
    format!(
        "{:?} since {} on {} in {:?}, {} failures: {}",
        phone.state, phone.since, phone.rack, phone.pool, phone.failures_in_a_row, phone.reason
    )
}
