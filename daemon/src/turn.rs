//! The loop: the one owner of brain and store. What waits is taken in at once, decided one by one, recorded in one
//! transaction, and only then carried out, shown and answered, in the order of the turns. While one turn is on its way
//! to the disk the next ones are decided already. If recording fails the daemon stops: the store holds the last true
//! state.

mod crashes;
mod notices;
mod symbols;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use holdfast_scheduler::{Decision, Event, JobRecord, PhoneRecord, Scheduler};
use holdfast_store::{Key, Op, Revision, Store, StoreError};
use holdfast_wire::api::{Act, Change, JobEta};
use holdfast_wire::build::Build;
use holdfast_wire::id::{AttemptId, BlobHash, CaseName, JobId, ScheduleName, Udid};
use holdfast_wire::job::JobSpec;
use holdfast_wire::time::Time;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::archive::{self, Archive};
use crate::changes::Changes;
use crate::clock::Clock;
use crate::config::FarmConfig;
use crate::farm::{
    AgentSpoke, Ask, Deed, Farm, FarmError, Progress, REASONS_MAX, RunRefused, Submitted, Verdict, Who, entry,
};
use crate::meters::{self, Meters, Reading};
use crate::notices::Desk;
use crate::orders::Orders;
use crate::parts;
use crate::records::{self, BatchId, CaseStat, LateReport, Submission};
use crate::restore::{Restored, restore};
use crate::retention::{self, Keeping};
use crate::rules::{Rules, RulesChange};
use crate::snapshot::Snapshot;
use crate::specs::{SpecName, Specs};

/// Requests that may wait for the loop; more wait at the door, which slows their senders down.
const REQUESTS_WAITING_MAX: usize = 1_024;

/// Questions that may wait, which is never long.
const QUESTIONS_WAITING_MAX: usize = 256;

/// Questions that are answered between two turns.
const QUESTIONS_BETWEEN_TURNS: usize = 16;

/// Requests in one turn: one sync of the disk serves so many; more would keep the first one waiting.
const REQUESTS_PER_TURN_MAX: usize = 256;

/// Decisions after which a turn takes in no more, so that its first answer need not wait for ever.
const DECISIONS_PER_TURN_MAX: usize = 1_024;

/// Turns that may be on their way to the disk: enough that the disk always has one, and few enough that what is
/// decided runs ahead of what is durable by some milliseconds only.
const FLIGHTS_MAX: usize = 8;

/// How often it is looked for what has been kept long enough: retention is counted in days.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);

/// The loop itself, ready to run.
#[derive(Debug)]
pub struct Loop<S> {
    store: Arc<S>,
    specs: Specs,
    brain: Scheduler,
    clock: Arc<Clock>,
    asks: mpsc::Receiver<Ask>,
    questions: mpsc::Receiver<Ask>,
    progress: Progress,
    orders: Orders,
    changes: Changes,
    meters: Arc<Meters>,
    /// The picture with everything that is decided, durable or not: copies of it are shown turn by turn.
    picture: Snapshot,
    submissions: BTreeMap<String, Submission>,
    rules: Rules,
    case_stats: BTreeMap<CaseName, CaseStat>,
    /// What was last written of each phone besides its lease, and from what: it need not be written with every lease.
    phones_written: BTreeMap<Udid, (Arc<PhoneRecord>, Op)>,
    /// When each phone was last let go of.
    rested: BTreeMap<Udid, Time>,
    next_job: JobId,
    next_audit: u64,
    wake_at: Option<Time>,
    keeping: Option<Keeping>,
    flights: VecDeque<Flight>,
    sweep: Option<oneshot::Receiver<Unnamed>>,
    /// What people are told.
    desk: Desk,
    notices: Arc<Notify>,
}

/// What a sweep found that no archived job names.
type Unnamed = Result<Vec<(SpecName, Key)>, StoreError>;

/// An answer that may be given once the turn is durable.
type Answer = Box<dyn FnOnce() + Send>;

/// What a turn has decided so far.
#[derive(Default)]
struct Turn {
    /// When it began; none when nothing was decided in it.
    began: Option<Time>,
    decisions: Vec<Decision>,
    ops: BTreeMap<Key, Op>,
    /// Batches of waiting jobs that are recorded when everything is decided.
    batches: BTreeSet<BatchId>,
    changes: Vec<Change>,
    answers: Vec<Answer>,
    readings: Vec<Reading>,
    /// Attempts that are over.
    over: Vec<AttemptId>,
    /// Whether there is anything that readers have not seen.
    news: bool,
}

/// A turn on its way to the disk.
struct Flight {
    turn: Turn,
    /// The picture after it.
    picture: Option<Snapshot>,
    commit: Commit,
}

/// Where a turn's transaction stands.
enum Commit {
    Flying(Pin<Box<dyn Future<Output = Result<Revision, StoreError>> + Send>>),
    Landed(Result<Revision, StoreError>),
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flight").field("decisions", &self.turn.decisions.len()).finish_non_exhaustive()
    }
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
        let (store, specs) = (Arc::new(store), Specs::default());
        let restored = restore(&*store, &specs, config.into(), clock.now()).await?;
        let Restored { brain, decisions, picture, submissions, rules, desk, next_job, next_audit } = restored;
        let archive = Archive::of(store.clone(), specs.clone());
        let stats = archive.case_stats().await?;
        let (asks, incoming) = mpsc::channel(REQUESTS_WAITING_MAX);
        let (questions, asked) = mpsc::channel(QUESTIONS_WAITING_MAX);
        let (shown, follow) = watch::channel(Arc::new(picture.clone()));
        let farm = Farm {
            asks,
            questions,
            shown: follow,
            orders: Orders::default(),
            changes: Changes::default(),
            meters: Arc::default(),
            specs: specs.clone(),
            archive,
            notices: Arc::default(),
            progress: Progress::new(Arc::new(shown)),
        };
        let mut this = Self {
            store,
            specs,
            brain,
            clock,
            asks: incoming,
            questions: asked,
            progress: farm.progress.clone(),
            orders: farm.orders.clone(),
            changes: farm.changes.clone(),
            meters: farm.meters.clone(),
            picture,
            submissions,
            rules,
            case_stats: stats.into_iter().map(|stat| (stat.case.clone(), stat)).collect(),
            phones_written: BTreeMap::new(),
            rested: BTreeMap::new(),
            next_job,
            next_audit,
            wake_at: None,
            keeping: None,
            flights: VecDeque::new(),
            sweep: None,
            desk,
            notices: farm.notices.clone(),
        };
        this.note_wake(&decisions);
        this.carry_out(&decisions);
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
        let mut open = true;
        while open || !self.flights.is_empty() || !waiting.is_empty() {
            self.answer_some()?;
            let may_begin = self.flights.len() < FLIGHTS_MAX;
            let timer = self.timer();
            tokio::select! {
                biased;
                landed = landing(&mut self.flights), if !self.flights.is_empty() => self.land(landed)?,
                () = std::future::ready(()), if may_begin && !waiting.is_empty() => self.turn(&mut waiting).await?,
                taken = self.asks.recv_many(&mut waiting, REQUESTS_PER_TURN_MAX), if may_begin && open => {
                    open = taken > 0;
                    self.turn(&mut waiting).await?;
                }
                () = timer, if may_begin && open => self.turn(&mut waiting).await?,
                Some(question) = self.questions.recv(), if open => self.answer(question)?,
                _ = trim.tick(), if may_begin && open => self.trim().await?,
                found = swept(&mut self.sweep), if may_begin && open => self.end_sweep(found).await?,
            }
        }
        Ok(())
    }

    /// Answers a few questions: between two turns, so that neither keeps the other waiting.
    fn answer_some(&mut self) -> Result<(), FarmError> {
        for _ in 0..QUESTIONS_BETWEEN_TURNS {
            let Ok(question) = self.questions.try_recv() else { break };
            self.answer(question)?;
        }
        Ok(())
    }

    /// Answers a question by what is decided. It changes nothing, so there is nothing to be recorded before.
    fn answer(&mut self, question: Ask) -> Result<(), FarmError> {
        let mut turn = Turn::default();
        self.decide(&mut turn, question)?;
        turn.answers.into_iter().for_each(|answer| answer());
        Ok(())
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
        let mut turn = Turn { began: Some(self.clock.now()), ..Turn::default() };
        if self.wake_at.is_some_and(|at| at <= self.clock.now()) {
            self.wake_at = None;
            self.apply(&mut turn, Event::TimeReached)?;
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
        self.begin(turn).await
    }

    /// Sends what a turn records on its way.
    async fn begin(&mut self, mut turn: Turn) -> Result<(), FarmError> {
        for batch in std::mem::take(&mut turn.batches) {
            self.record_batch(&mut turn, batch)?;
        }
        let picture = turn.news.then(|| {
            self.picture.at = self.clock.now();
            self.picture.clone()
        });
        let mut parts = parts::divide(std::mem::take(&mut turn.ops), &turn.decisions, turn.began);
        let ops = parts.pop().unwrap_or_default();
        // Nearly every turn is one transaction. Before the last part of a larger one, nothing else is decided.
        for part in parts {
            self.store.commit(Vec::new(), part).await?;
        }
        let commit = if ops.is_empty() {
            Commit::Landed(Ok(Revision::ZERO))
        } else {
            let store = self.store.clone();
            let mut flying: Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async move { store.commit(Vec::new(), ops).await });
            // Looked at once, it stands in the store's queue, behind the turn before.
            match poll_fn(|context| Poll::Ready(flying.as_mut().poll(context))).await {
                Poll::Ready(landed) => Commit::Landed(landed),
                Poll::Pending => Commit::Flying(flying),
            }
        };
        self.flights.push_back(Flight { turn, picture, commit });
        Ok(())
    }

    /// Carries out, shows and answers what is now durable.
    fn land(&mut self, landed: Option<Result<Flight, StoreError>>) -> Result<(), FarmError> {
        let Some(flight) = landed else { return Ok(()) };
        let Flight { turn, picture, commit: _ } = flight?;
        self.carry_out(&turn.decisions);
        if let Some(picture) = picture {
            self.progress.show(picture, &turn.over);
        }
        self.meters.count(turn.readings, turn.decisions.len());
        for answer in turn.answers {
            answer();
        }
        self.changes.tell(turn.changes);
        Ok(())
    }

    /// Removes what has been kept long enough, one transaction at a time; the rest goes an hour later.
    async fn trim(&mut self) -> Result<(), FarmError> {
        let mut turn = Turn::default();
        self.prune_notices(&mut turn)?;
        if !turn.ops.is_empty() {
            self.begin(turn).await?;
        }
        let Some(Keeping { retention, blobs }) = self.keeping.clone() else { return Ok(()) };
        let now = self.clock.now();
        let old = retention::old_jobs(&*self.store, &self.specs, now, &retention).await?;
        let trim = retention::due(&old, &self.submissions, now, &retention)?;
        if trim.ops.is_empty() {
            return Ok(());
        }
        let mut turn = Turn { news: true, ..Turn::default() };
        trim.ops.into_iter().for_each(|op| turn.put(op));
        for key in &trim.keys {
            self.submissions.remove(key);
        }
        for id in &trim.jobs {
            self.picture.forget_job(*id);
        }
        tracing::info!(jobs = trim.jobs.len(), keys = trim.keys.len(), "let go of what was kept long enough");
        // A report that stays behind when the daemon is killed here takes room and does no harm.
        turn.answers.push(Box::new(move || {
            tokio::task::spawn_blocking(move || {
                let removed = trim.reports.iter().try_for_each(|report| blobs.remove(report));
                if let Err(error) = removed {
                    tracing::warn!(%error, "cannot remove a report that nobody names any more");
                }
            });
        }));
        self.begin(turn).await?;
        self.begin_sweep();
        Ok(())
    }

    /// Looks, beside the loop, for what no job shares any more.
    fn begin_sweep(&mut self) {
        if self.sweep.is_some() {
            return;
        }
        self.specs.begin_sweep();
        let (found, sweep) = oneshot::channel();
        let store = self.store.clone();
        tokio::spawn(async move { drop(found.send(archive::unnamed(&*store).await)) });
        self.sweep = Some(sweep);
    }

    async fn end_sweep(&mut self, found: Result<Vec<(SpecName, Key)>, StoreError>) -> Result<(), FarmError> {
        let known = self.specs.end_sweep();
        let mut turn = Turn::default();
        let unnamed = found?.into_iter().filter(|(name, _)| !known.contains(name));
        unnamed.take(DECISIONS_PER_TURN_MAX).for_each(|(_, key)| turn.put(Op::delete(key)));
        self.begin(turn).await
    }

    /// Lets the brain take in a fact; what follows from it becomes part of the turn.
    fn apply(&mut self, turn: &mut Turn, event: Event) -> Result<(), FarmError> {
        let decisions = self.brain.apply(self.clock.now(), event);
        if decisions.is_empty() {
            return Ok(());
        }
        turn.news = true;
        for decision in &decisions {
            match decision {
                Decision::SaveJob(job) => self.record_job(turn, job)?,
                Decision::SavePhone(phone) => self.record_phone(turn, phone)?,
                Decision::SaveOwner(used) => turn.put(records::put_owner(used)?),
                Decision::SaveCompare(compare) => turn.put(records::put_compare(compare)?),
                Decision::ForgetCompare(name) => turn.put(Op::delete(records::compare_key(name)?)),
                Decision::KeepLateReport { attempt, report } => {
                    turn.put(records::put_late_report(&LateReport { attempt: *attempt, report: *report })?);
                }
                Decision::PhoneChanged(udid) => turn.changes.push(Change::Phone { udid: udid.clone() }),
                Decision::RackChanged(id) => turn.changes.push(Change::Rack { id: id.clone() }),
                Decision::JobMoved(_) | Decision::Order { .. } | Decision::WakeAt(_) => {}
            }
        }
        self.note_wake(&decisions);
        self.picture.take(&self.brain, &decisions);
        for decision in &decisions {
            if let Decision::PhoneChanged(udid) = decision {
                self.tell_of_limits(turn, udid)?;
            }
        }
        turn.decisions.extend(decisions);
        Ok(())
    }

    fn record_job(&mut self, turn: &mut Turn, job: &JobRecord) -> Result<(), FarmError> {
        self.rules.timetable.saw_job(job);
        meters::read(&self.picture, job, &mut self.rested, &mut turn.readings);
        let (is_fresh, known) = (records::is_fresh(job), self.picture.jobs.get(&job.id));
        if is_fresh || known.is_some_and(|known| records::is_fresh(known)) {
            turn.batches.insert(BatchId::of(job.id));
        }
        if !is_fresh {
            let name = self.name_spec(turn, job)?;
            records::put_job(job, name)?.into_iter().for_each(|op| turn.put(op));
        }
        let over = job.attempts.iter().zip(1..).filter(|(attempt, _)| attempt.ended.is_some());
        turn.over.extend(over.map(|(_, number)| AttemptId { job: job.id, number }));
        turn.changes.push(Change::Job { id: job.id });
        Ok(())
    }

    /// Records those of some neighbours that wait and were never begun.
    fn record_batch(&self, turn: &mut Turn, batch: BatchId) -> Result<(), FarmError> {
        let jobs = batch.jobs().filter_map(|id| self.brain.job(id)).filter(|job| records::is_fresh(job));
        let named = jobs.map(|job| Ok((&**job, self.name_spec(turn, job)?)));
        let jobs: Vec<(&JobRecord, SpecName)> = named.collect::<Result<_, FarmError>>()?;
        turn.put(records::put_batch(batch, &jobs)?);
        Ok(())
    }

    /// The name of what a job shares, which is recorded when it is new.
    fn name_spec(&self, turn: &mut Turn, job: &JobRecord) -> Result<SpecName, FarmError> {
        let (name, new) = records::name_spec(&self.specs, job)?;
        if let Some(parts) = new {
            turn.put(records::put_spec(name, &parts)?);
        }
        Ok(name)
    }

    fn record_phone(&mut self, turn: &mut Turn, phone: &Arc<PhoneRecord>) -> Result<(), FarmError> {
        let udid = &phone.facts.udid;
        let written = self.phones_written.get(udid);
        if written.is_none_or(|(before, _)| !records::is_known_alike(before, phone)) {
            let known = records::put_known(phone)?;
            if written.is_none_or(|(_, op)| *op != known) {
                turn.put(known.clone());
            }
            self.phones_written.insert(udid.clone(), (phone.clone(), known));
        }
        turn.put(records::put_held(phone)?);
        turn.changes.push(Change::Phone { udid: udid.clone() });
        Ok(())
    }

    fn note_wake(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            if let Decision::WakeAt(at) = decision {
                self.wake_at = Some(*at);
            }
        }
    }

    fn decide(&mut self, turn: &mut Turn, ask: Ask) -> Result<(), FarmError> {
        match ask {
            Ask::Submit { spec, key, answer } => {
                let submitted = self.submit(turn, spec, key)?;
                turn.answer(answer, submitted);
            }
            Ask::Tell { events, audit, answer } => {
                for event in events {
                    self.apply(turn, event)?;
                }
                if let Some(deed) = audit {
                    self.note_deed(turn, deed)?;
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
                let kept = self.keep_symbols(turn, build, symbols)?;
                turn.answer(answer, kept);
            }
            Ask::Regroup { signed, answer } => {
                let moved = self.regroup(turn, signed)?;
                turn.answer(answer, moved);
            }
            Ask::Group { id, deed, who, answer } => {
                let done = self.change_group(turn, id, deed, who)?;
                turn.answer(answer, done);
            }
            Ask::Crash { crash, answer } => {
                let kept = self.keep_crash(turn, *crash)?;
                turn.answer(answer, kept);
            }
            Ask::Named { named, answer } => {
                let changed = self.take_names(turn, named)?;
                turn.answer(answer, changed);
            }
            Ask::History { app, history, answer } => {
                self.picture.put_history(app, history);
                turn.news = true;
                turn.answer(answer, ());
            }
            Ask::Notice(ask) => self.decide_notice(turn, ask)?,
            Ask::Rules { change, who, answer } => {
                let words = self.change_rules(turn, change, who)?;
                turn.answer(answer, words);
            }
            Ask::RunSchedule { name, who, answer } => {
                let run = self.run_schedule(turn, &name, who)?;
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
                    let waiting = Some(self.brain.waiting(job)?);
                    Some(JobEta { waiting, eta: self.brain.eta(now, job), job })
                };
                let foretold = jobs.into_iter().filter_map(of).collect();
                turn.answer(answer, foretold);
            }
            Ask::Reasons { jobs, answer } => {
                let reasons = jobs
                    .iter()
                    .enumerate()
                    .map(|(place, job)| if place < REASONS_MAX { self.brain.waiting(*job) } else { None });
                let reasons = reasons.collect();
                turn.answer(answer, reasons);
            }
        }
        Ok(())
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
        let same = spec.content.as_deref().and_then(|content| self.picture.with_content(content));
        let job = match same {
            Some(same) => same,
            None => self.submit_new(turn, spec)?,
        };
        if let Some((key, body)) = key {
            let submission = Submission { body, job, at: self.clock.now() };
            turn.put(records::put_submission(&key, &submission)?);
            self.submissions.insert(key, submission);
        }
        Ok(match same {
            Some(_) => Submitted::Before(job),
            None => {
                Submitted::New { job, waiting: self.brain.waiting(job), never: self.brain.never_starts(job) }
            }
        })
    }

    /// The number of a new job.
    fn new_job(&mut self) -> JobId {
        let job = self.brain.next_job().max(self.next_job);
        self.next_job = JobId(job.0 + 1);
        job
    }

    /// Submits the jobs of schedules that are due. Each firing is recorded in the transaction of its job: whatever
    /// happens then, it is served once.
    fn fire(&mut self, turn: &mut Turn) -> Result<(), FarmError> {
        let now = self.clock.now();
        if self.rules.timetable.next_at().is_none_or(|at| at > now) {
            return Ok(());
        }
        for due in self.rules.timetable.due(now, &self.picture, self.brain.jobs()) {
            let job = match due.what {
                Ok(spec) => {
                    let job = self.submit_new(turn, spec)?;
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

    fn change_rules(
        &mut self,
        turn: &mut Turn,
        change: RulesChange,
        who: Who,
    ) -> Result<Vec<String>, FarmError> {
        let changed = self.rules.change(self.clock.now(), change)?;
        self.note_deed(turn, who.did(changed.act))?;
        for op in changed.ops {
            turn.put(op);
        }
        if let Some(event) = changed.event {
            self.apply(turn, event)?;
        }
        self.show_rules(turn);
        self.follow_receivers(turn);
        Ok(changed.words)
    }

    fn run_schedule(
        &mut self,
        turn: &mut Turn,
        name: &ScheduleName,
        who: Who,
    ) -> Result<Result<JobId, RunRefused>, FarmError> {
        let timetable = &self.rules.timetable;
        let Some(plan) = timetable.plans().iter().find(|plan| plan.name == *name) else {
            return Ok(Err(RunRefused::Unknown));
        };
        match timetable.spec(plan, self.clock.now(), &self.picture) {
            Ok(spec) => {
                let job = self.submit_new(turn, spec)?;
                let act = Act::ScheduleRun { schedule: name.clone(), job };
                self.note_deed(turn, who.did(act))?;
                Ok(Ok(job))
            }
            Err(problem) => Ok(Err(RunRefused::Problem(problem))),
        }
    }

    fn show_rules(&mut self, turn: &mut Turn) {
        self.picture.rules = self.rules.shown();
        turn.news = true;
    }

    fn submit_new(&mut self, turn: &mut Turn, mut spec: Box<JobSpec>) -> Result<JobId, FarmError> {
        let job = self.new_job();
        self.specs.share_once(&mut spec).map_err(|source| StoreError::Encode { source })?;
        self.apply(turn, Event::JobSubmitted { job, spec })?;
        Ok(job)
    }

    fn note_deed(&mut self, turn: &mut Turn, deed: Deed) -> Result<(), FarmError> {
        let number = self.next_audit;
        self.next_audit += 1;
        turn.put(records::put_audit(&entry(number, self.clock.now(), deed))?);
        Ok(())
    }

    fn hear(&mut self, turn: &mut Turn, spoke: AgentSpoke) -> Result<(), FarmError> {
        let AgentSpoke { rack, agent_version, events, crashes, results, reports } = spoke;
        for (hash, bytes) in reports {
            turn.put(records::put_report(&hash, bytes)?);
        }
        for verdict in results {
            self.count_case(turn, verdict)?;
        }
        for event in events {
            self.apply(turn, event)?;
        }
        if self.picture.agents.get(&rack) != Some(&agent_version) {
            self.picture.put_agent(rack, agent_version);
            turn.news = true;
        }
        for crash in crashes {
            self.keep_crash(turn, crash)?;
        }
        Ok(())
    }

    /// Counts how a case went, unless its attempt is over already: reports are said again until they are confirmed.
    fn count_case(&mut self, turn: &mut Turn, verdict: Verdict) -> Result<(), FarmError> {
        let Verdict { attempt, case, went } = verdict;
        let Some(job) = self.brain.job(attempt.job) else { return Ok(()) };
        let index = (attempt.number as usize).wrapping_sub(1);
        if job.attempts.get(index).is_none_or(|attempt| attempt.ended.is_some()) {
            return Ok(());
        }
        let build = job.spec.build.hash;
        let stat = self.case_stats.entry(case.clone()).or_insert_with(|| CaseStat::new(case.clone()));
        stat.count(attempt, build, went, self.clock.now());
        let op = records::put_case_stat(stat)?;
        turn.put(op);
        self.count_run(turn, build, attempt, case)
    }

    /// A build that is known already keeps its first upload's time and symbols.
    fn keep_build(&mut self, turn: &mut Turn, build: Build) -> Result<Arc<Build>, FarmError> {
        let known = self.picture.builds.get(&build.identity.hash).cloned();
        match known {
            Some(known) => Ok(known),
            None => self.change_build(turn, build),
        }
    }

    fn change_build(&mut self, turn: &mut Turn, build: Build) -> Result<Arc<Build>, FarmError> {
        turn.put(records::put_build(&build)?);
        turn.changes.push(Change::Build { hash: build.identity.hash });
        turn.news = true;
        let build = Arc::new(build);
        self.picture.put_build(build.clone());
        Ok(build)
    }

    /// Carries decisions out.
    fn carry_out(&self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Order { rack, order } => self.orders.set(rack, order.clone()),
                Decision::SaveJob(_)
                | Decision::SavePhone(_)
                | Decision::SaveOwner(_)
                | Decision::SaveCompare(_)
                | Decision::ForgetCompare(_)
                | Decision::KeepLateReport { .. }
                | Decision::JobMoved(_)
                | Decision::PhoneChanged(_)
                | Decision::RackChanged(_)
                | Decision::WakeAt(_) => {}
            }
        }
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
}

/// Waits until the first turn is durable, and takes it. May be dropped half-way.
async fn landing(flights: &mut VecDeque<Flight>) -> Option<Result<Flight, StoreError>> {
    let first = flights.front_mut()?;
    if let Commit::Flying(flying) = &mut first.commit {
        let landed = flying.await;
        first.commit = Commit::Landed(landed);
    }
    let mut flight = flights.pop_front()?;
    match std::mem::replace(&mut flight.commit, Commit::Landed(Ok(Revision::ZERO))) {
        Commit::Landed(Err(error)) => Some(Err(error)),
        Commit::Landed(Ok(_)) | Commit::Flying(_) => Some(Ok(flight)),
    }
}

/// Waits for what a sweep found; for ever when there is none.
async fn swept(sweep: &mut Option<oneshot::Receiver<Unnamed>>) -> Unnamed {
    let Some(running) = sweep else { return std::future::pending().await };
    let found = running.await;
    *sweep = None;
    // A sweep that broke off found nothing; the next one looks again.
    found.unwrap_or_else(|_| Ok(Vec::new()))
}
