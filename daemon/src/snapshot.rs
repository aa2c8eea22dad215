//! The immutable picture that readers get. A new one is made from the last by what a turn changed; what did not
//! change is shared, so a picture costs little and may be held as long as somebody reads it.

use std::cmp::Reverse;
use std::sync::Arc;

use holdfast_scheduler::record::Ended;
use holdfast_scheduler::{AttemptRecord, Decision, JobRecord, Scheduler};
use holdfast_wire::api::{AttemptView, CrashView, JobView, PhoneView, ProgressView, RackView};
use holdfast_wire::build::Build;
use holdfast_wire::id::{AttemptId, BuildHash, CrashId, JobId, RackId, Udid};
use holdfast_wire::job::JobState;
use holdfast_wire::outcome::CaseResult;
use holdfast_wire::time::Time;
use imbl::{OrdMap, OrdSet, Vector};

use crate::rules::Shown;

/// Waiting jobs whose reason is worked out with every picture: what a page shows. Others are explained on demand.
pub const EXPLAINED_MAX: usize = 100;

/// One picture of the farm.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows with every picture.
    pub number: u64,
    /// The rules in force.
    pub rules: Arc<Shown>,
    /// When it was made.
    pub at: Time,
    /// Every job, by number.
    pub jobs: OrdMap<JobId, Arc<JobRecord>>,
    /// Jobs that run.
    pub running: OrdSet<JobId>,
    /// Jobs that wait, in the order of service.
    pub queue: Arc<Vec<JobId>>,
    /// Jobs that have ended, newest first.
    pub ended: OrdSet<(Reverse<Time>, JobId)>,
    /// Why the first [`EXPLAINED_MAX`] waiting jobs wait.
    pub waiting: Arc<OrdMap<JobId, String>>,
    /// Every phone, by rack and slot.
    pub phones: Arc<Vec<PhoneView>>,
    /// Every rack, by name.
    pub racks: Arc<Vec<RackView>>,
    /// Every crash, by hash.
    pub crashes: OrdMap<CrashId, Arc<CrashView>>,
    /// The same, newest first.
    pub crashes_newest: OrdSet<(Reverse<Time>, CrashId)>,
    /// Crashes of an attempt.
    pub crashes_of: OrdMap<AttemptId, Vector<CrashId>>,
    /// Every build, by hash.
    pub builds: OrdMap<BuildHash, Arc<Build>>,
    /// The same, newest first.
    pub builds_newest: OrdSet<(Reverse<Time>, BuildHash)>,
    /// Program versions of the agents.
    pub agents: OrdMap<RackId, String>,
    /// Where running attempts stand; bypasses the brain.
    pub progress: OrdMap<AttemptId, ProgressView>,
}

impl Snapshot {
    /// Takes over a job.
    pub fn put_job(&mut self, job: Arc<JobRecord>) {
        if let Some(before) = self.jobs.get(&job.id) {
            match &before.state {
                JobState::Queued => {}
                JobState::Running { attempt, .. } => {
                    self.running.remove(&job.id);
                    if !matches!(job.state, JobState::Running { .. }) {
                        self.progress.remove(&AttemptId { job: job.id, number: *attempt });
                    }
                }
                JobState::Ended { at, .. } => {
                    self.ended.remove(&(Reverse(*at), job.id));
                }
            }
        }
        match &job.state {
            JobState::Queued => {}
            JobState::Running { .. } => {
                self.running.insert(job.id);
            }
            JobState::Ended { at, .. } => {
                self.ended.insert((Reverse(*at), job.id));
            }
        }
        self.jobs.insert(job.id, job);
    }

    /// Forgets a job that is over.
    pub fn forget_job(&mut self, id: JobId) {
        if let Some(JobState::Ended { at, .. }) = self.jobs.get(&id).map(|job| job.state.clone()) {
            self.ended.remove(&(Reverse(at), id));
            self.jobs.remove(&id);
        }
    }

    /// Takes over a crash.
    pub fn put_crash(&mut self, crash: Arc<CrashView>) {
        let id = crash.origin.id;
        if let Some(attempt) = crash.origin.attempt.filter(|_| !self.crashes.contains_key(&id)) {
            let mut known = self.crashes_of.get(&attempt).cloned().unwrap_or_default();
            known.push_back(id);
            self.crashes_of.insert(attempt, known);
        }
        self.crashes_newest.insert((Reverse(crash.origin.collected_at), id));
        self.crashes.insert(id, crash);
    }

    /// Takes over a build.
    pub fn put_build(&mut self, build: Arc<Build>) {
        self.builds_newest.insert((Reverse(build.uploaded_at), build.identity.hash));
        self.builds.insert(build.identity.hash, build);
    }

    /// Takes over what a turn of the brain decided.
    pub fn take(&mut self, brain: &Scheduler, decisions: &[Decision]) {
        for decision in decisions {
            if let Decision::SaveJob(job) = decision {
                self.put_job(job.clone());
            }
        }
        if decisions.iter().any(|decision| matches!(decision, Decision::SaveJob(_))) {
            self.queue = Arc::new(brain.queue());
        }
    }

    /// Looks at phones, racks and reasons anew.
    pub fn look(&mut self, brain: &Scheduler, now: Time) {
        self.number += 1;
        self.at = now;
        let mut phones: Vec<PhoneView> = brain
            .phones()
            .map(|phone| PhoneView {
                facts: (**phone.facts).clone(),
                rack: phone.rack.clone(),
                pool: phone.pool.cloned(),
                state: phone.state,
                reason: phone.reason,
                since: phone.since,
                progress: None,
                failures_in_a_row: phone.failures_in_a_row,
            })
            .collect();
        phones.sort_by(|a, b| {
            (&a.rack, &a.facts.slot, &a.facts.udid).cmp(&(&b.rack, &b.facts.slot, &b.facts.udid))
        });
        self.phones = Arc::new(phones);
        let racks = brain.racks().map(|rack| RackView {
            id: rack.id.clone(),
            online: rack.online,
            last_heard: rack.last_heard,
            agent_version: self.agents.get(rack.id).cloned().unwrap_or_default(),
            phones: rack.phones,
            phones_working: rack.phones_working,
        });
        self.racks = Arc::new(racks.collect());
        let first = self.queue.iter().take(EXPLAINED_MAX);
        let waiting = first.filter_map(|job| Some((*job, brain.waiting(*job)?)));
        self.waiting = Arc::new(waiting.collect());
    }

    /// A job for readers. The cases of its attempts come from reports, which are not here.
    pub fn job(&self, id: JobId, cases: impl Fn(&AttemptRecord) -> Vec<CaseResult>) -> Option<JobView> {
        let job = self.jobs.get(&id)?;
        let attempts = job.attempts.iter().zip(1..).map(|(attempt, number)| {
            let id = AttemptId { job: id, number };
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
        Some(JobView {
            id,
            spec: job.spec.clone(),
            state: job.state.clone(),
            submitted_at: job.submitted_at,
            waiting: self.waiting.get(&id).cloned(),
            eta: None,
            warning: None,
            cases_done: 0,
            yielded: 0,
            attempts: attempts.collect(),
        })
    }

    /// Every phone for readers.
    pub fn phones(&self) -> impl Iterator<Item = PhoneView> {
        self.phones.iter().map(|phone| {
            let progress = match phone.state {
                holdfast_wire::phone::PhoneState::Busy { attempt } => self.progress.get(&attempt).cloned(),
                _ => None,
            };
            PhoneView { progress, ..phone.clone() }
        })
    }

    /// One phone for readers.
    pub fn phone(&self, udid: &Udid) -> Option<PhoneView> {
        self.phones().find(|phone| phone.facts.udid == *udid)
    }

    /// Every job's number in the order of lists: running, waiting in the order of service, ended newest first.
    pub fn listed(&self) -> impl Iterator<Item = JobId> {
        let ended = self.ended.iter().map(|(_, job)| *job);
        self.running.iter().copied().chain(self.queue.iter().copied()).chain(ended)
    }
}
