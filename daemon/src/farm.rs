//! The loop: the one owner of brain and store. What waits is taken in at once, decided one by one, recorded in one
//! transaction, and only then carried out, shown and answered. If recording fails the daemon stops: the store
//! holds the last true state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::{Decision, Event, JobRecord, Record, RestoreError, Scheduler};
use holdfast_store::codec::Kind;
use holdfast_store::{Entry, Key, Op, Store, StoreError};
use holdfast_wire::api::{Change, CrashView, Explanation, JobEta, Plan};
use holdfast_wire::build::Build;
use holdfast_wire::id::{BlobHash, BuildHash, JobId, Owner, RackId, ScheduleName, Udid};
use holdfast_wire::job::{JobSpec, JobState};
use holdfast_wire::time::Time;
use tokio::sync::{mpsc, oneshot, watch};

use crate::changes::Changes;
use crate::clock::Clock;
use crate::config::FarmConfig;
use crate::orders::Orders;
use crate::records::{self, LateReport, Submission};
use crate::retention::{self, Keeping};
use crate::rules::{OVERRIDE, Rules, RulesChange};
use crate::schedules::SCHEDULE;
use crate::snapshot::Snapshot;

/// Requests that may wait for the loop; more wait at the door, which slows their senders down.
const REQUESTS_WAITING_MAX: usize = 1_024;

/// Requests in one turn: one sync of the disk serves so many; more would keep the first one waiting.
const REQUESTS_PER_TURN_MAX: usize = 256;

/// Decisions after which a turn takes in no more: what one turn records must fit one transaction.
const DECISIONS_PER_TURN_MAX: usize = 1_024;

/// Entries read from the store at once at the start.
const PAGE_ENTRIES: usize = 4_096;

/// How often it is looked for what has been kept long enough: retention is counted in days.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);

/// Why the loop cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The store does not serve.
    #[error("the store does not serve; nothing was answered that is not in it")]
    Store(#[from] StoreError),
    /// What the store holds makes no farm.
    #[error("the store holds records that contradict each other")]
    Restore(#[from] RestoreError),
}

/// What may be asked of the loop. The answer comes once it is durable.
#[derive(Debug)]
pub enum Ask {
    /// Submit a job.
    Submit {
        /// What is asked.
        spec: Box<JobSpec>,
        /// The key that it was sent under, with the hash of the body that came with it.
        key: Option<(String, BlobHash)>,
        /// What became of it.
        answer: oneshot::Sender<Submitted>,
    },
    /// Something happened; whatever changed is durable when this is answered.
    Tell {
        /// What, in order.
        events: Vec<Event>,
        /// Done.
        answer: oneshot::Sender<()>,
    },
    /// An agent spoke.
    Agent {
        /// What it said.
        spoke: Box<AgentSpoke>,
        /// Done.
        answer: oneshot::Sender<()>,
    },
    /// A build is on disk.
    Build {
        /// What is known of it.
        build: Box<Build>,
        /// What the farm knows of it: the first upload counts.
        answer: oneshot::Sender<Arc<Build>>,
    },
    /// The symbols of a build are on disk.
    Symbols {
        /// Which build.
        build: BuildHash,
        /// Where they are kept.
        symbols: BlobHash,
        /// What the farm now knows of the build; none when it does not know it.
        answer: oneshot::Sender<Option<Arc<Build>>>,
    },
    /// The rules change.
    Rules {
        /// How.
        change: RulesChange,
        /// What changed, in words.
        answer: oneshot::Sender<Vec<String>>,
    },
    /// Submit the job of a schedule now, out of turn.
    RunSchedule {
        /// Which.
        name: ScheduleName,
        /// Its job.
        answer: oneshot::Sender<Result<JobId, RunRefused>>,
    },
    /// What do owners use? Changes nothing.
    Usage {
        /// How long the attempts of each have held phones today (UTC), milliseconds.
        answer: oneshot::Sender<Vec<(Owner, u64)>>,
    },
    /// Why does a job wait? Changes nothing.
    Explain {
        /// Which.
        job: JobId,
        /// Why; none unless it waits.
        answer: oneshot::Sender<Option<Explanation>>,
    },
    /// What would happen if this were submitted now? Changes nothing.
    Plan {
        /// What would be asked.
        spec: Box<JobSpec>,
        /// What would happen.
        answer: oneshot::Sender<Plan>,
    },
    /// When do these start, and why do they wait? Changes nothing.
    Eta {
        /// Which.
        jobs: Vec<JobId>,
        /// Those of them that wait, in the same order.
        answer: oneshot::Sender<Vec<JobEta>>,
    },
}

/// What an agent said in one request, everything parsed and every blob it names on disk.
#[derive(Debug)]
pub struct AgentSpoke {
    /// The rack that speaks.
    pub rack: RackId,
    /// Its agent's program version.
    pub agent_version: String,
    /// What happened, in the order in which the brain wants it: reports, ended attempts, the sync itself.
    pub events: Vec<Event>,
    /// Crashes that it took.
    pub crashes: Vec<CrashView>,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is a new job.
    New {
        /// Its name.
        job: JobId,
        /// Why nothing that the farm has can ever run it; none while there is hope.
        never: Option<String>,
    },
    /// The same was submitted under this key before.
    Before(JobId),
    /// Something else was submitted under this key before.
    OtherBody(JobId),
}

/// Why a schedule cannot be run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunRefused {
    /// There is no such schedule.
    Unknown,
    /// What its job needs is not there; in words.
    Problem(String),
}

/// The way to the loop, and what it shows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Farm {
    asks: mpsc::Sender<Ask>,
    shown: watch::Receiver<Arc<Snapshot>>,
    /// What each phone has to obey.
    pub orders: Orders,
    /// What changed.
    pub changes: Changes,
    progress: Arc<watch::Sender<Arc<Snapshot>>>,
}

/// The daemon stops: nothing more is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping; send the request again in a moment")]
pub struct Stopping;

impl Farm {
    /// The newest picture.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shown.borrow().clone()
    }

    /// Follows the pictures.
    pub fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shown.clone()
    }

    /// Asks the loop, and waits for its answer.
    ///
    /// # Errors
    /// The daemon stops.
    pub async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Stopping> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }

    /// Shows where attempts stand. Passes the brain by: progress decides nothing and need not survive.
    pub fn show_progress(&self, progress: Vec<holdfast_wire::sync::AttemptProgress>) {
        if progress.is_empty() {
            return;
        }
        let changed: Vec<Change> = progress.iter().map(|one| Change::Job { id: one.attempt.job }).collect();
        self.progress.send_modify(|shown| {
            let snapshot = Arc::make_mut(shown);
            snapshot.number += 1;
            for one in progress {
                let runs = |job: &Arc<JobRecord>| {
                    matches!(job.state, JobState::Running { attempt, .. } if attempt == one.attempt.number)
                };
                if snapshot.jobs.get(&one.attempt.job).is_some_and(runs) {
                    let view = holdfast_wire::api::ProgressView {
                        step: one.step,
                        percent: one.percent.min(100),
                        note: one.note,
                    };
                    snapshot.progress.insert(one.attempt, view);
                }
            }
        });
        self.changes.tell(changed);
    }
}

/// The loop itself, ready to run.
#[derive(Debug)]
pub struct Loop<S> {
    store: S,
    brain: Scheduler,
    clock: Arc<Clock>,
    asks: mpsc::Receiver<Ask>,
    shown: Arc<watch::Sender<Arc<Snapshot>>>,
    orders: Orders,
    changes: Changes,
    submissions: BTreeMap<String, Submission>,
    rules: Rules,
    wake_at: Option<Time>,
    keeping: Option<Keeping>,
}

/// An answer that may be given once the turn is durable.
type Answer = Box<dyn FnOnce() + Send>;

/// A change of the picture that is no decision of the brain's.
type Repaint = Box<dyn FnOnce(&mut Snapshot) + Send>;

/// What a turn has decided so far.
#[derive(Default)]
struct Turn {
    decisions: Vec<Decision>,
    ops: BTreeMap<Key, Op>,
    changes: Vec<Change>,
    repaints: Vec<Repaint>,
    answers: Vec<Answer>,
    /// Whether there is anything that readers have not seen.
    news: bool,
}

impl<S: Store> Loop<S> {
    /// Reads the store, and makes the loop and the way to it.
    ///
    /// # Errors
    /// The store does not serve, or what it holds makes no farm.
    pub async fn restore(
        store: S,
        config: impl Into<FarmConfig>,
        clock: Arc<Clock>,
    ) -> Result<(Self, Farm), FarmError> {
        let now = clock.now();
        let (overrides, schedules) = (all(&store, OVERRIDE).await?, all(&store, SCHEDULE).await?);
        let (mut rules, ops) = Rules::restore(config.into(), now, &overrides, &schedules)?;
        if !ops.is_empty() {
            store.commit(Vec::new(), ops).await?;
        }
        let mut snapshot = Snapshot::default();
        let mut kept = Vec::new();
        for entry in all(&store, records::JOB).await? {
            let job = records::read_job(&entry)?;
            rules.timetable.saw_job(&job);
            snapshot.put_job(Arc::new(job.clone()));
            kept.push(Record::Job(job));
        }
        for entry in all(&store, records::PHONE).await? {
            kept.push(Record::Phone(records::read_phone(&entry)?));
        }
        for entry in all(&store, records::OWNER).await? {
            kept.push(Record::Owner(records::read_owner(&entry)?));
        }
        for entry in all(&store, records::BUILD).await? {
            snapshot.put_build(Arc::new(records::read(&entry)?));
        }
        for entry in all(&store, records::CRASH).await? {
            snapshot.put_crash(Arc::new(records::read(&entry)?));
        }
        let mut submissions = BTreeMap::new();
        for entry in all(&store, records::SUBMISSION).await? {
            let key = records::SUBMISSION.name_of(&entry.key).unwrap_or_default().to_owned();
            submissions.insert(key, records::read(&entry)?);
        }
        let (brain, decisions) = Scheduler::restore(rules.policy(), now, kept)?;
        snapshot.rules = rules.shown();
        snapshot.queue = Arc::new(brain.queue());
        snapshot.look(&brain, now);
        let (asks, incoming) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (shown, follow) = watch::channel(Arc::new(snapshot));
        let shown = Arc::new(shown);
        let farm = Farm {
            asks,
            shown: follow,
            orders: Orders::default(),
            changes: Changes::default(),
            progress: shown.clone(),
        };
        let (orders, changes) = (farm.orders.clone(), farm.changes.clone());
        let mut this = Self {
            store,
            brain,
            clock,
            asks: incoming,
            shown,
            orders,
            changes,
            submissions,
            rules,
            wake_at: None,
            keeping: None,
        };
        this.act(&decisions);
        Ok((this, farm))
    }

    /// Lets go of what has been kept long enough; without this, everything is kept.
    #[must_use]
    pub fn keeping(self, keeping: Keeping) -> Self {
        Self { keeping: Some(keeping), ..self }
    }

    /// Runs until every way to it is gone.
    ///
    /// # Errors
    /// The store stopped serving; nobody was answered for what is not in it.
    pub async fn run(mut self) -> Result<(), FarmError> {
        let mut waiting = Vec::with_capacity(REQUESTS_PER_TURN_MAX);
        let mut trim = tokio::time::interval(TRIM_EVERY);
        loop {
            let timer = self.timer();
            tokio::select! {
                biased;
                () = std::future::ready(()), if !waiting.is_empty() => {}
                taken = self.asks.recv_many(&mut waiting, REQUESTS_PER_TURN_MAX) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                () = timer => {}
                _ = trim.tick() => self.trim().await?,
            }
            self.turn(&mut waiting).await?;
        }
    }

    /// Waits until the brain wants to be woken, or a schedule fires.
    fn timer(&self) -> impl Future<Output = ()> + use<S> {
        let at = self.wake_at.into_iter().chain(self.rules.timetable.next_at()).min();
        let wait = at.map(|at| at.since(self.clock.now()));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn turn(&mut self, waiting: &mut Vec<Ask>) -> Result<(), FarmError> {
        let mut turn = Turn::default();
        if self.wake_at.is_some_and(|at| at <= self.clock.now()) {
            self.wake_at = None;
            self.apply(&mut turn, Event::TimeReached);
        }
        self.fire(&mut turn)?;
        let mut left = std::mem::take(waiting).into_iter();
        for ask in left.by_ref() {
            self.decide(&mut turn, ask)?;
            if turn.decisions.len() > DECISIONS_PER_TURN_MAX {
                break;
            }
        }
        waiting.extend(left);
        for decision in &turn.decisions {
            if let Some(op) = op_of(decision)? {
                turn.ops.insert(op.key().clone(), op);
            }
        }
        if !turn.ops.is_empty() {
            self.store.commit(Vec::new(), turn.ops.into_values().collect()).await?;
        }
        self.act(&turn.decisions);
        if turn.news {
            self.show(&turn.decisions, turn.repaints);
        }
        for answer in turn.answers {
            answer();
        }
        self.changes.tell(turn.changes.into_iter().chain(turn.decisions.iter().filter_map(change_of)));
        Ok(())
    }

    /// Removes what has been kept long enough, one transaction at a time; the rest goes an hour later.
    async fn trim(&mut self) -> Result<(), FarmError> {
        let Some(Keeping { retention, blobs }) = self.keeping.clone() else { return Ok(()) };
        let late = all(&self.store, records::LATE_REPORT).await?;
        let late: Vec<LateReport> = late.iter().map(records::read).collect::<Result<_, _>>()?;
        let snapshot = self.shown.borrow().clone();
        let trim = retention::due(&snapshot, &self.submissions, &late, self.clock.now(), &retention)?;
        if trim.ops.is_empty() {
            return Ok(());
        }
        self.store.commit(Vec::new(), trim.ops).await?;
        for key in &trim.keys {
            self.submissions.remove(key);
        }
        let jobs = trim.jobs;
        tracing::info!(jobs = jobs.len(), keys = trim.keys.len(), "let go of what was kept long enough");
        self.show(
            &[],
            vec![Box::new(move |snapshot: &mut Snapshot| {
                jobs.iter().for_each(|id| snapshot.forget_job(*id))
            })],
        );
        // A report that stays behind when the daemon is killed here takes room and does no harm.
        let removed = tokio::task::spawn_blocking(move || {
            trim.reports.iter().try_for_each(|report| blobs.remove(report))
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(%error, "cannot remove a report that nobody names any more");
        }
        Ok(())
    }

    fn apply(&mut self, turn: &mut Turn, event: Event) {
        let decisions = self.brain.apply(self.clock.now(), event);
        turn.news |= !decisions.is_empty();
        for decision in &decisions {
            if let Decision::SaveJob(job) = decision {
                self.rules.timetable.saw_job(job);
            }
        }
        turn.decisions.extend(decisions);
    }

    fn decide(&mut self, turn: &mut Turn, ask: Ask) -> Result<(), FarmError> {
        match ask {
            Ask::Submit { spec, key, answer } => {
                let submitted = self.submit(turn, spec, key)?;
                turn.answer(answer, submitted);
            }
            Ask::Tell { events, answer } => {
                for event in events {
                    self.apply(turn, event);
                }
                turn.answer(answer, ());
            }
            Ask::Agent { spoke, answer } => {
                self.hear(turn, *spoke)?;
                turn.answer(answer, ());
            }
            Ask::Build { build, answer } => {
                let kept = self.keep_build(turn, *build)?;
                turn.answer(answer, kept);
            }
            Ask::Symbols { build, symbols, answer } => {
                let known = self.shown.borrow().builds.get(&build).cloned();
                let kept = match known {
                    None => None,
                    Some(known) => {
                        Some(self.change_build(turn, Build { symbols: Some(symbols), ..(*known).clone() })?)
                    }
                };
                turn.answer(answer, kept);
            }
            Ask::Rules { change, answer } => {
                let words = self.change_rules(turn, change)?;
                turn.answer(answer, words);
            }
            Ask::RunSchedule { name, answer } => {
                let run = self.run_schedule(turn, &name);
                turn.answer(answer, run);
            }
            Ask::Usage { answer } => {
                let usage = self.brain.owners().map(|usage| (usage.owner.clone(), usage.used_ms)).collect();
                turn.answer(answer, usage);
            }
            Ask::Explain { job, answer } => {
                let explanation = self.brain.explain(job);
                turn.answer(answer, explanation);
            }
            Ask::Plan { spec, answer } => {
                let plan = self.brain.plan(self.clock.now(), &spec);
                turn.answer(answer, plan);
            }
            Ask::Eta { jobs, answer } => {
                let now = self.clock.now();
                let of = |job| {
                    Some(JobEta {
                        waiting: Some(self.brain.waiting(job)?),
                        eta: self.brain.eta(now, job),
                        job,
                    })
                };
                turn.answer(answer, jobs.into_iter().filter_map(of).collect());
            }
        }
        Ok(())
    }

    /// Submits the jobs of schedules that are due. Each firing is recorded in the transaction of its job: whatever
    /// happens then, it is served once.
    fn fire(&mut self, turn: &mut Turn) -> Result<(), FarmError> {
        let now = self.clock.now();
        if self.rules.timetable.next_at().is_none_or(|at| at > now) {
            return Ok(());
        }
        let snapshot = self.shown.borrow().clone();
        for due in self.rules.timetable.due(now, &snapshot, self.brain.jobs()) {
            let job = match due.what {
                Ok(spec) => {
                    let job = self.brain.next_job();
                    self.apply(turn, Event::JobSubmitted { job, spec });
                    tracing::info!(schedule = %due.schedule, %job, firing = %due.firing, "a schedule submitted a job");
                    Ok(job)
                }
                Err(problem) => {
                    tracing::warn!(schedule = %due.schedule, problem, "a schedule fired and submitted nothing");
                    Err(problem)
                }
            };
            if let Some(op) = self.rules.timetable.record(&due.schedule, due.firing, job)? {
                turn.put(op);
            }
        }
        self.rules.look_at_firings();
        self.show_rules(turn);
        Ok(())
    }

    fn change_rules(&mut self, turn: &mut Turn, change: RulesChange) -> Result<Vec<String>, FarmError> {
        let changed = self.rules.change(self.clock.now(), change)?;
        for op in changed.ops {
            turn.put(op);
        }
        if let Some(event) = changed.event {
            self.apply(turn, event);
        }
        self.show_rules(turn);
        Ok(changed.words)
    }

    fn run_schedule(&mut self, turn: &mut Turn, name: &ScheduleName) -> Result<JobId, RunRefused> {
        let timetable = &self.rules.timetable;
        let plan = timetable.plans().iter().find(|plan| plan.name == *name).ok_or(RunRefused::Unknown)?;
        let shown = self.shown.borrow().clone();
        let spec = timetable.spec(plan, self.clock.now(), &shown).map_err(RunRefused::Problem)?;
        let job = self.brain.next_job();
        self.apply(turn, Event::JobSubmitted { job, spec });
        Ok(job)
    }

    fn show_rules(&mut self, turn: &mut Turn) {
        let shown = self.rules.shown();
        turn.repaint(move |snapshot| snapshot.rules = shown);
    }

    fn submit(
        &mut self,
        turn: &mut Turn,
        spec: Box<JobSpec>,
        key: Option<(String, BlobHash)>,
    ) -> Result<Submitted, FarmError> {
        if let Some((key, body)) = &key
            && let Some(before) = self.submissions.get(key)
        {
            let same = before.body == *body;
            return Ok(if same { Submitted::Before(before.job) } else { Submitted::OtherBody(before.job) });
        }
        let job = self.brain.next_job();
        if let Some((key, body)) = key {
            let submission = Submission { body, job, at: self.clock.now() };
            turn.put(records::put_submission(&key, &submission)?);
            self.submissions.insert(key, submission);
        }
        self.apply(turn, Event::JobSubmitted { job, spec });
        Ok(Submitted::New { job, never: self.brain.never_starts(job) })
    }

    fn hear(&mut self, turn: &mut Turn, spoke: AgentSpoke) -> Result<(), FarmError> {
        let AgentSpoke { rack, agent_version, events, crashes } = spoke;
        for event in events {
            self.apply(turn, event);
        }
        let shown = self.shown.borrow().clone();
        let new_version = shown.agents.get(&rack) != Some(&agent_version);
        let new: Vec<CrashView> =
            crashes.into_iter().filter(|crash| !shown.crashes.contains_key(&crash.origin.id)).collect();
        if new.is_empty() && !new_version {
            return Ok(());
        }
        for crash in &new {
            turn.put(records::put_crash(crash)?);
            turn.changes.push(Change::Crash { id: crash.origin.id });
        }
        turn.repaint(move |snapshot| {
            snapshot.agents.insert(rack, agent_version);
            for crash in new {
                snapshot.put_crash(Arc::new(crash));
            }
        });
        Ok(())
    }

    /// A build that is known already keeps its first upload's time and symbols.
    fn keep_build(&mut self, turn: &mut Turn, build: Build) -> Result<Arc<Build>, FarmError> {
        let known = self.shown.borrow().builds.get(&build.identity.hash).cloned();
        match known {
            Some(known) => Ok(known),
            None => self.change_build(turn, build),
        }
    }

    fn change_build(&mut self, turn: &mut Turn, build: Build) -> Result<Arc<Build>, FarmError> {
        turn.put(records::put_build(&build)?);
        turn.changes.push(Change::Build { hash: build.identity.hash });
        let build = Arc::new(build);
        let shown = build.clone();
        turn.repaint(move |snapshot| snapshot.put_build(shown));
        Ok(build)
    }

    /// Carries decisions out.
    fn act(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Order { rack, order } => self.orders.set(rack, order.clone()),
                Decision::WakeAt(at) => self.wake_at = Some(*at),
                Decision::SaveJob(_)
                | Decision::JobMoved(_)
                | Decision::SaveOwner(_)
                | Decision::SavePhone(_)
                | Decision::KeepLateReport { .. }
                | Decision::PhoneChanged(_)
                | Decision::RackChanged(_) => {}
            }
        }
    }

    fn show(&self, decisions: &[Decision], repaints: Vec<Repaint>) {
        let now = self.clock.now();
        self.shown.send_modify(|shown| {
            let snapshot = Arc::make_mut(shown);
            for repaint in repaints {
                repaint(snapshot);
            }
            snapshot.take(&self.brain, decisions);
            snapshot.look(&self.brain, now);
        });
    }
}

impl Turn {
    fn put(&mut self, op: Op) {
        self.ops.insert(op.key().clone(), op);
    }

    fn answer<T: Send + 'static>(&mut self, to: oneshot::Sender<T>, answer: T) {
        // Whoever asked may have gone away; what was asked is done all the same.
        self.answers.push(Box::new(move || drop(to.send(answer))));
    }

    /// Changes the picture once this turn is durable, before its answers are given.
    fn repaint(&mut self, change: impl FnOnce(&mut Snapshot) + Send + 'static) {
        self.news = true;
        self.repaints.push(Box::new(change));
    }
}

/// What a decision writes.
fn op_of(decision: &Decision) -> Result<Option<Op>, StoreError> {
    match decision {
        Decision::SaveJob(job) => records::put_job(job).map(Some),
        Decision::SavePhone(phone) => records::put_phone(phone).map(Some),
        Decision::SaveOwner(owner) => records::put_owner(owner).map(Some),
        Decision::KeepLateReport { attempt, report } => {
            records::put_late_report(&LateReport { attempt: *attempt, report: *report }).map(Some)
        }
        Decision::Order { .. }
        | Decision::JobMoved(_)
        | Decision::PhoneChanged(_)
        | Decision::RackChanged(_)
        | Decision::WakeAt(_) => Ok(None),
    }
}

/// What readers of the change stream are told of a decision.
fn change_of(decision: &Decision) -> Option<Change> {
    let phone = |udid: &Udid| Some(Change::Phone { udid: udid.clone() });
    match decision {
        Decision::SaveJob(job) => Some(Change::Job { id: job.id }),
        Decision::JobMoved(id) => Some(Change::Job { id: *id }),
        Decision::SavePhone(record) => phone(&record.facts.udid),
        Decision::PhoneChanged(udid) => phone(udid),
        Decision::RackChanged(id) => Some(Change::Rack { id: id.clone() }),
        Decision::KeepLateReport { .. }
        | Decision::SaveOwner(_)
        | Decision::Order { .. }
        | Decision::WakeAt(_) => None,
    }
}

/// Every record of a kind.
async fn all<S: Store>(store: &S, kind: Kind) -> Result<Vec<Entry>, StoreError> {
    let prefix = kind.prefix();
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.key.clone());
        let page = store.scan_prefix(&prefix, after.as_ref(), PAGE_ENTRIES).await?;
        let last = page.entries.len() < PAGE_ENTRIES;
        entries.extend(page.entries);
        if last {
            return Ok(entries);
        }
    }
}
