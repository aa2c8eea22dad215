//! The immutable picture that readers get. A new one is made from the last by what a turn changed; what did not
//! change is shared, so a picture costs what changed and not what there is, and may be held as long as somebody reads
//! it. Why jobs wait is not in it: that is worked out when somebody looks.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Deref;
use std::sync::Arc;

use holdfast_scheduler::record::Ended;
use holdfast_scheduler::{AttemptRecord, Decision, JobRecord, PhoneStatus, Place, RackStatus, Scheduler};
use holdfast_wire::api::{AttemptView, CrashView, JobView, PhoneView, ProgressView, RackView};
use holdfast_wire::build::Build;
use holdfast_wire::id::{
    AttemptId, BlobHash, BuildHash, BundleId, CrashId, JobId, Owner, PoolName, RackId, Slot, Udid,
};
use holdfast_wire::job::{JobClass, JobOutcome, JobState};
use holdfast_wire::notice::NoticeView;
use holdfast_wire::outcome::CaseResult;
use holdfast_wire::phone::{PhoneFacts, PhoneState};
use holdfast_wire::time::Time;
use imbl::{OrdMap, OrdSet, Vector};

use crate::commits::History;
use crate::groups::{BuildRuns, Groups, Lines};

/// Jobs that are over and in the picture: the newest. Older ones are read from the store.
pub const ENDED_MAX: usize = 10_000;

/// Where an ended job stands among the others: newest first.
pub type EndedKey = (Reverse<Time>, JobId);

/// What happened, as a phone names it: with kind and moment, so that a made-up name is not taken for another's.
type Incident = (String, String, Option<Time>);

/// Where a phone stands among the others.
type PhoneKey = (RackId, Slot, Udid);

/// One picture of the farm.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows with every picture.
    pub number: u64,
    /// The rules in force.
    pub rules: Arc<crate::rules::Shown>,
    /// When it was made.
    pub at: Time,
    /// Every job that waits or runs, and the newest of those that are over; by number.
    pub jobs: OrdMap<JobId, Arc<JobRecord>>,
    /// Jobs that run.
    pub running: OrdSet<JobId>,
    /// Jobs that wait, by class.
    waiting: BTreeMap<JobClass, Waiting>,
    /// How many jobs of each owner wait and run; owners without any are not here.
    pub by_owner: OrdMap<Option<Owner>, JobCounts>,
    /// The newest jobs that have ended, newest first.
    pub ended: OrdSet<EndedKey>,
    /// Jobs that answer for others with the same content, by its hash.
    by_content: OrdMap<BlobHash, JobId>,
    phones: OrdMap<PhoneKey, Arc<ShownPhone>>,
    phone_keys: OrdMap<Udid, PhoneKey>,
    /// Every rack, by name.
    pub racks: OrdMap<RackId, RackView>,
    /// Every crash, by hash.
    pub crashes: OrdMap<CrashId, Arc<CrashView>>,
    /// The same without twins, newest first.
    pub crashes_newest: OrdSet<(Reverse<Time>, CrashId)>,
    /// Crashes by what happened, without twins.
    of_incident: OrdMap<Incident, CrashId>,
    /// Crashes of an attempt.
    pub crashes_of: OrdMap<AttemptId, Vector<CrashId>>,
    /// Crash groups.
    pub groups: Groups,
    /// How often builds were tested; builds that never were are not here.
    pub runs: OrdMap<BuildHash, Arc<BuildRuns>>,
    /// What people were told of crashes, what waits and what was held back, by number.
    pub notices: OrdMap<u64, Arc<NoticeView>>,
    /// Every build, by hash.
    pub builds: OrdMap<BuildHash, Arc<Build>>,
    /// The same, newest first.
    pub builds_newest: OrdSet<(Reverse<Time>, BuildHash)>,
    /// What the mirrors of apps show of the commits of their builds; apps without a mirror are not here.
    pub histories: OrdMap<BundleId, Arc<History>>,
    /// The same builds in the order of their commits.
    lines: Arc<Lines>,
    /// Builds by the UUIDs of their programs, lower case; of several the one with the lowest hash.
    of_uuid: OrdMap<String, BuildHash>,
    /// Program versions of the agents.
    pub agents: OrdMap<RackId, String>,
    /// Where running attempts stand; bypasses the brain.
    pub progress: OrdMap<AttemptId, ProgressView>,
}

/// How many jobs of an owner are not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounts {
    /// That wait.
    pub waiting: usize,
    /// That run.
    pub running: usize,
}

impl JobCounts {
    /// The count of a state; none of one that is over.
    fn of(&mut self, state: &JobState) -> Option<&mut usize> {
        match state {
            JobState::Queued => Some(&mut self.waiting),
            JobState::Running { .. } => Some(&mut self.running),
            JobState::Ended { .. } => None,
        }
    }
}

/// A phone in the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownPhone {
    /// What is known of it.
    pub facts: Arc<PhoneFacts>,
    /// Its rack.
    pub rack: RackId,
    /// Its pool; a phone in none gets no work.
    pub pool: Option<PoolName>,
    /// Its state.
    pub state: PhoneState,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// Failures in a row that were blamed on it.
    pub failures_in_a_row: u32,
}

/// The waiting jobs of a class.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// In the order of service.
    pub queue: OrdSet<Place>,
    /// Their places by number: the oldest is the first.
    pub by_age: OrdMap<JobId, Place>,
}

impl Waiting {
    fn put(&mut self, place: Place) {
        self.queue.insert(place);
        self.by_age.insert(place.job(), place);
    }

    fn remove(&mut self, id: JobId) {
        if let Some(place) = self.by_age.remove(&id) {
            self.queue.remove(&place);
        }
    }
}

impl Snapshot {
    /// Takes over a job and its place in the queue.
    pub fn put_job(&mut self, record: Arc<JobRecord>, place: Option<Place>) {
        let before = self.jobs.get(&record.id).cloned();
        if let Some(before) = &before {
            self.withdraw(before);
        }
        self.count(&record.spec.owner, before.as_ref().map(|before| &before.state), &record.state);
        if let Some(place) = place {
            self.waiting.entry(record.spec.class).or_default().put(place);
        }
        self.list_job(record);
        while self.ended.len() > ENDED_MAX {
            let Some((_, oldest)) = self.ended.get_max().copied() else { break };
            self.forget_job(oldest);
        }
    }

    /// Takes over every job that waits or runs, at the start, but for their places in the queue.
    pub fn list_live(&mut self, jobs: &[Arc<JobRecord>]) {
        let mut by_owner: BTreeMap<&Option<Owner>, JobCounts> = BTreeMap::new();
        for job in jobs {
            if let Some(count) = by_owner.entry(&job.spec.owner).or_default().of(&job.state) {
                *count += 1;
            }
            self.list_job(job.clone());
        }
        self.by_owner = by_owner.into_iter().map(|(owner, counts)| (owner.clone(), counts)).collect();
    }

    /// Takes over the places of all these jobs, at the start: there may be a million, so two threads share the work.
    pub fn queue_live(&mut self, brain: &Scheduler, jobs: &[Arc<JobRecord>]) {
        let places = || {
            let mut places: BTreeMap<JobClass, Vec<Place>> = BTreeMap::new();
            for job in jobs {
                places.entry(job.spec.class).or_default().extend(brain.place(job.id));
            }
            places
        };
        std::thread::scope(|scope| {
            let by_age = scope.spawn(|| {
                let by_age =
                    |places: Vec<Place>| places.into_iter().map(|place| (place.job(), place)).collect();
                places().into_values().map(by_age).collect::<Vec<_>>()
            });
            let queues: Vec<(JobClass, OrdSet<Place>)> = places()
                .into_iter()
                .map(|(class, mut places)| {
                    // Neighbours in turn are put in much faster than any other order.
                    places.sort_unstable();
                    (class, places.into_iter().collect())
                })
                .collect();
            let by_age = by_age.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let waiting = queues.into_iter().zip(by_age);
            self.waiting =
                waiting.map(|((class, queue), by_age)| (class, Waiting { queue, by_age })).collect();
        });
    }

    /// Takes over a job wherever it is listed but for the queue.
    fn list_job(&mut self, record: Arc<JobRecord>) {
        match &record.state {
            JobState::Queued => {}
            JobState::Running { .. } => {
                self.running.insert(record.id);
            }
            JobState::Ended { at, .. } => {
                self.ended.insert((Reverse(*at), record.id));
            }
        }
        if let Some(content) = record.spec.content.as_deref() {
            if answers_for_others(&record.state) {
                self.by_content.insert(*content, record.id);
            } else if self.by_content.get(content) == Some(&record.id) {
                self.by_content.remove(content);
            }
        }
        self.jobs.insert(record.id, record);
    }

    /// Counts a job where it stands, and no longer where it stood.
    fn count(&mut self, owner: &Option<Owner>, before: Option<&JobState>, after: &JobState) {
        if before.is_some_and(|before| std::mem::discriminant(before) == std::mem::discriminant(after)) {
            return;
        }
        let mut counts = self.by_owner.get(owner).copied().unwrap_or_default();
        if let Some(count) = before.and_then(|before| counts.of(before)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = counts.of(after) {
            *count += 1;
        }
        if counts == JobCounts::default() {
            self.by_owner.remove(owner);
        } else {
            self.by_owner.insert(owner.clone(), counts);
        }
    }

    /// Takes a job out of where it stood.
    fn withdraw(&mut self, before: &JobRecord) {
        if let Some(waiting) = self.waiting.get_mut(&before.spec.class) {
            waiting.remove(before.id);
        }
        match &before.state {
            JobState::Queued => {}
            JobState::Running { .. } => {
                self.running.remove(&before.id);
            }
            JobState::Ended { at, .. } => {
                self.ended.remove(&(Reverse(*at), before.id));
            }
        }
    }

    /// A waiting job has another place, with nothing else about it changed.
    fn move_job(&mut self, id: JobId, place: Option<Place>) {
        let Some(job) = self.jobs.get(&id) else { return };
        let waiting = self.waiting.entry(job.spec.class).or_default();
        waiting.remove(id);
        if let Some(place) = place {
            waiting.put(place);
        }
    }

    /// Forgets a job that is over; the store still has it, or it is gone for good.
    pub fn forget_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id).cloned() else { return };
        let JobState::Ended { at, .. } = &job.state else { return };
        self.ended.remove(&(Reverse(*at), id));
        if let Some(content) = job.spec.content.as_deref()
            && self.by_content.get(content) == Some(&id)
        {
            self.by_content.remove(content);
        }
        self.jobs.remove(&id);
    }

    /// The crash of which this one is a twin: another one of the same incident.
    pub fn first_of_incident(&self, crash: &CrashView) -> Option<CrashId> {
        self.of_incident.get(&incident(crash)?).copied().filter(|first| *first != crash.origin.id)
    }

    /// Takes over a crash. A twin is known, and in no list.
    pub fn put_crash(&mut self, crash: Arc<CrashView>) {
        let id = crash.origin.id;
        if crash.twin_of.is_some() {
            self.crashes.insert(id, crash);
            return;
        }
        if let Some(incident) = incident(&crash) {
            self.of_incident.insert(incident, id);
        }
        if let Some(attempt) = crash.origin.attempt.filter(|_| !self.crashes.contains_key(&id)) {
            let mut known = self.crashes_of.get(&attempt).cloned().unwrap_or_default();
            known.push_back(id);
            self.crashes_of.insert(attempt, known);
        }
        self.crashes_newest.insert((Reverse(crash.origin.collected_at), id));
        self.crashes.insert(id, crash);
    }

    /// The build of which a program with this UUID is a part.
    pub fn build_of_uuid(&self, uuid: &str) -> Option<&Arc<Build>> {
        self.builds.get(self.of_uuid.get(uuid.to_ascii_lowercase().as_str())?)
    }

    /// Builds in the order of their commits.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Takes over what the mirror of an app shows.
    pub fn put_history(&mut self, app: BundleId, history: Arc<History>) {
        self.lines = Arc::default();
        self.histories.insert(app, history);
    }

    /// Takes over a build.
    pub fn put_build(&mut self, build: Arc<Build>) {
        self.lines = Arc::default();
        for uuid in &build.identity.uuids {
            let first = self.of_uuid.entry(uuid.to_ascii_lowercase()).or_insert(build.identity.hash);
            *first = build.identity.hash.min(*first);
        }
        self.builds_newest.insert((Reverse(build.uploaded_at), build.identity.hash));
        self.builds.insert(build.identity.hash, build);
    }

    /// Takes over what a turn of the brain decided. The work is proportional to the decisions.
    pub fn take(&mut self, brain: &Scheduler, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::SaveJob(job) => self.put_job(job.clone(), brain.place(job.id)),
                Decision::JobMoved(id) => self.move_job(*id, brain.place(*id)),
                Decision::SavePhone(phone) => self.look_at_phone(brain, &phone.facts.udid),
                Decision::PhoneChanged(udid) => self.look_at_phone(brain, udid),
                Decision::RackChanged(id) => self.look_at_rack(brain, id),
                Decision::SaveOwner(_)
                | Decision::SaveCompare(_)
                | Decision::ForgetCompare(_)
                | Decision::KeepLateReport { .. }
                | Decision::Order { .. }
                | Decision::WakeAt(_) => {}
            }
        }
    }

    /// Looks at every phone and rack: at the start.
    pub fn look_at_all(&mut self, brain: &Scheduler) {
        for phone in brain.phones() {
            self.put_phone(shown_phone(phone));
        }
        for rack in brain.racks() {
            self.put_rack(&rack);
        }
    }

    fn look_at_phone(&mut self, brain: &Scheduler, udid: &Udid) {
        let Some(phone) = brain.phone(udid) else { return };
        self.put_phone(shown_phone(phone));
    }

    fn put_phone(&mut self, phone: ShownPhone) {
        let udid = phone.facts.udid.clone();
        let key = (phone.rack.clone(), phone.facts.slot.clone(), udid.clone());
        let before = self.phone_keys.get(&udid);
        // A phone that stays where it is changes nothing there, and readers go on to share it.
        if before != Some(&key) {
            if let Some(before) = before.cloned() {
                self.phones.remove(&before);
            }
            self.phone_keys.insert(udid, key.clone());
        }
        self.phones.insert(key, Arc::new(phone));
    }

    fn look_at_rack(&mut self, brain: &Scheduler, id: &RackId) {
        if let Some(rack) = brain.rack_by_name(id) {
            self.put_rack(&rack);
        }
    }

    fn put_rack(&mut self, rack: &RackStatus<'_>) {
        let view = RackView {
            id: rack.id.clone(),
            online: rack.online,
            last_heard: rack.last_heard,
            agent_version: self.agents.get(rack.id).cloned().unwrap_or_default(),
            phones: rack.phones,
            phones_working: rack.phones_working,
        };
        self.racks.insert(rack.id.clone(), view);
    }

    /// Takes over the program version of a rack's agent.
    pub fn put_agent(&mut self, rack: RackId, version: String) {
        if let Some(view) = self.racks.get_mut(&rack) {
            view.agent_version.clone_from(&version);
        }
        self.agents.insert(rack, version);
    }

    /// The waiting jobs of a class.
    pub fn waiting_of(&self, class: JobClass) -> Waiting {
        self.waiting.get(&class).cloned().unwrap_or_default()
    }

    /// How many jobs wait.
    pub fn queue_len(&self) -> usize {
        self.waiting.values().map(|class| class.queue.len()).sum()
    }

    /// Every waiting job in the order of service.
    pub fn queue(&self) -> impl Iterator<Item = JobId> {
        merged(self.waiting.values().map(|class| class.queue.iter().copied())).map(Place::job)
    }

    /// The job that answers for another one with this content: it waits, runs or has passed.
    pub fn with_content(&self, content: &BlobHash) -> Option<JobId> {
        self.by_content.get(content).copied()
    }

    /// A job for readers. The cases of its attempts come from reports, which are not here; nor is why it waits.
    pub fn job(&self, id: JobId, cases: impl Fn(&AttemptRecord) -> Vec<CaseResult>) -> Option<JobView> {
        self.jobs.get(&id).map(|job| self.view(job, cases))
    }

    /// A job for readers, whether it is in the picture or was read from the store.
    pub fn view(&self, job: &JobRecord, cases: impl Fn(&AttemptRecord) -> Vec<CaseResult>) -> JobView {
        let attempts = job.attempts.iter().zip(1..).map(|(attempt, number)| {
            let id = AttemptId { job: job.id, number };
            AttemptView {
                id,
                phone: attempt.phone.clone(),
                rack: attempt.rack.clone(),
                lease: attempt.lease,
                leased_at: attempt.leased_at,
                progress: self.progress.get(&id).cloned(),
                end: attempt.ended.as_ref().map(|ended| ended.end.clone()),
                ended_at: attempt.ended.as_ref().map(|ended: &Ended| ended.at),
                cases: cases(attempt),
                crashes: self
                    .crashes_of
                    .get(&id)
                    .map(|ids| ids.iter().copied().collect())
                    .unwrap_or_default(),
            }
        });
        JobView {
            id: job.id,
            spec: job.spec.clone(),
            state: job.state.clone(),
            submitted_at: job.submitted_at,
            waiting: None,
            eta: None,
            warning: None,
            cases_done: job.cases_done,
            yielded: job.yielded,
            attempts: attempts.collect(),
        }
    }

    /// Every phone for readers, by rack and slot.
    pub fn phones(&self) -> impl Iterator<Item = PhoneView> {
        self.phones.values().map(|phone| self.phone_view(phone))
    }

    /// Every phone without what it runs, by rack and slot: nothing is copied.
    pub fn phones_at_rest(&self) -> impl Iterator<Item = &ShownPhone> {
        self.phones.values().map(Deref::deref)
    }

    /// One phone for readers.
    pub fn phone(&self, udid: &Udid) -> Option<PhoneView> {
        self.phone_at_rest(udid).map(|phone| self.phone_view(phone))
    }

    /// One phone without what it runs: nothing is copied.
    pub fn phone_at_rest(&self, udid: &Udid) -> Option<&ShownPhone> {
        self.phones.get(self.phone_keys.get(udid)?).map(Deref::deref)
    }

    fn phone_view(&self, phone: &ShownPhone) -> PhoneView {
        let progress = match phone.state {
            PhoneState::Busy { attempt } => self.progress.get(&attempt).cloned(),
            _ => None,
        };
        let ShownPhone { facts, rack, pool, state, reason, since, failures_in_a_row } = phone.clone();
        let facts = Arc::unwrap_or_clone(facts);
        PhoneView { facts, rack, pool, state, reason, since, progress, failures_in_a_row }
    }
}

fn incident(crash: &CrashView) -> Option<Incident> {
    Some((crash.incident.clone()?, crash.kind.clone(), crash.happened_at))
}

/// Whether a job answers for a later one that asks for the same.
fn answers_for_others(state: &JobState) -> bool {
    match state {
        JobState::Queued | JobState::Running { .. } => true,
        JobState::Ended { outcome, .. } => *outcome == JobOutcome::Passed,
    }
}

fn shown_phone(phone: PhoneStatus<'_>) -> ShownPhone {
    ShownPhone {
        facts: phone.facts.clone(),
        rack: phone.rack.clone(),
        pool: phone.pool.cloned(),
        state: phone.state,
        reason: phone.reason,
        since: phone.since,
        failures_in_a_row: phone.failures_in_a_row,
    }
}

/// Several sorted runs as one.
pub fn merged<T: Ord + Copy>(
    runs: impl IntoIterator<Item = impl Iterator<Item = T>>,
) -> impl Iterator<Item = T> {
    let mut runs: Vec<Peekable<_>> = runs.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let heads = runs.iter_mut().enumerate().filter_map(|(run, items)| Some((*items.peek()?, run)));
        let (_, first) = heads.min()?;
        runs.get_mut(first)?.next()
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn record(id: u64, owner: Option<&str>, state: JobState) -> Arc<JobRecord> {
        let spec = serde_json::from_value(serde_json::json!({
            "class": "idle", "cases": [], "requirements": {}, "priority": 0, "owner": owner, "start_by": null,
            "build": { "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": "1",
                "build_number": "1", "uuids": [], "minimum_os": null }
        }));
        Arc::new(JobRecord {
            id: JobId(id),
            spec: spec.unwrap(),
            submitted_at: Time::default(),
            state,
            attempts: Vec::new(),
            cases_done: 0,
            failure: None,
            yielded: 0,
        })
    }

    #[test]
    fn owners_are_counted_as_a_walk_over_all_jobs_would() {
        let running: JobState = serde_json::from_value(serde_json::json!({
            "state": "running", "attempt": 1, "phone": "P1"
        }))
        .unwrap();
        let states = [
            JobState::Queued,
            running,
            JobState::Ended { outcome: JobOutcome::Passed, at: Time::from_unix_ms(1) },
        ];
        let owners = [None, Some("ada"), Some("bob")];
        let mut picture = Snapshot::default();
        let mut expected: BTreeMap<u64, usize> = BTreeMap::new();
        for step in 0..600_usize {
            // Every state follows every other one, and itself.
            let (id, state) = ((step * 7 % 30) as u64, (step / 30 * (step % 5 + 1)) % states.len());
            let owner = owners[id as usize % owners.len()];
            picture.put_job(record(id, owner, states[state].clone()), None);
            expected.insert(id, state);
            for (place, owner) in owners.iter().enumerate() {
                let of = |state| {
                    let jobs = expected
                        .iter()
                        .filter(|(id, is)| **id as usize % owners.len() == place && **is == state);
                    jobs.count()
                };
                let owner: Option<Owner> = owner.map(|owner| owner.parse().unwrap());
                let counted = picture.by_owner.get(&owner).copied();
                let walked = JobCounts { waiting: of(0), running: of(1) };
                assert_eq!(counted, (walked != JobCounts::default()).then_some(walked), "{step}: {owner:?}");
            }
        }
    }

    #[test]
    fn sorted_runs_are_one_sorted_run() {
        let runs = [vec![1, 4, 9], vec![], vec![2, 3, 10, 11], vec![5]];
        let all: Vec<i32> = merged(runs.iter().map(|run| run.iter().copied())).collect();
        assert_eq!(all, [1, 2, 3, 4, 5, 9, 10, 11]);
    }
}
