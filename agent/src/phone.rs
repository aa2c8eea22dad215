//! One task per phone: asks the brain, performs the step, reports back. Which step comes next is the brain's
//! (`agent/attempt`); how a step is done is in [`perform`]; what is done between attempts in [`idle`]; which lease is
//! next in [`wanted`]; what is fetched for it meanwhile in [`ahead`]; what its log says of crash files in [`ears`] and
//! [`limits`].
//!
//! No wait here is deaf: whatever is under way, the task also hears orders, detaches and deadlines.

mod ahead;
mod ears;
mod idle;
mod limits;
mod perform;
mod wanted;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use holdfast_attempt::{
    Attempt, Brief, Event, Failure, FailureKind, Finished, PhoneLeft, Progress, Shelves, Step, Taken,
};
use holdfast_device::{Attachment, Phone};
use holdfast_wire::id::{AttemptId, BuildHash, EntryId, LeaseNumber, StartId, Udid};
use holdfast_wire::outcome::{AttemptEnd, AttemptReport, Blame, StepName};
use holdfast_wire::phone::{PhoneFacts, PhoneReport, Readiness};
use holdfast_wire::sync::{AttemptProgress, HeldLease, Order, OutboxItem, PhoneOrder, Work};
use holdfast_wire::time::Time;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::AgentError;
use crate::memory::{Memory, State};
use crate::outbox::{Outbox, Settled, crashes_of};
use ahead::Ahead;
use ears::Ears;
pub use idle::facts_unknown;
use perform::{Done, Hands};
use wanted::{Begin, Left, Wanted};

/// What every phone's task is given.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// This start of the agent.
    pub agent_start: StartId,
    /// The time.
    pub clock: Clock,
    /// Where results go.
    pub outbox: Outbox,
    /// Where builds come from.
    pub cache: Cache,
    /// Where memories lie.
    pub memory_folder: PathBuf,
}

/// What a phone's task is told.
#[derive(Debug)]
pub enum PhoneMessage<P> {
    /// The phone is on the bus.
    Attached {
        /// A handle on it.
        phone: Arc<P>,
        /// This plugging-in.
        attachment: Attachment,
    },
    /// It is not.
    Detached,
    /// What the daemon wants, and what it wants next.
    Order(PhoneOrder),
    /// The daemon has these crash files.
    Confirmed(Vec<Settled>),
    /// The phone's log has told of crash files.
    LogSpoke,
    /// Finish what runs, take no more.
    Drain,
}

/// What a phone's task tells.
#[derive(Debug)]
pub enum News {
    /// How the phone is.
    Report(Box<PhoneReport>),
    /// The last lease it obeyed, and the one it holds.
    Lease {
        /// The last one obeyed.
        lease: LeaseNumber,
        /// The one held now.
        held: Option<HeldLease>,
    },
    /// Where its attempt stands; none when none runs.
    Progress(Option<AttemptProgress>),
}

/// Why a task starts.
#[derive(Debug)]
pub enum Start {
    /// The agent starts, or the phone is new.
    Fresh,
    /// The task before it panicked.
    AfterPanic(String),
}

/// What a wait is dropped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GivesWay {
    /// To an order, and when the phone leaves or returns.
    ToOrders,
    /// Only when the phone leaves or returns.
    ToTheBus,
}

/// The owner of one phone.
pub struct PhoneTask<P> {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<PhoneMessage<P>>,
    /// The other end of `inbox`, for its own ears; the rack alone keeps it open.
    mailbox: mpsc::WeakSender<PhoneMessage<P>>,
    news: mpsc::Sender<(Udid, News)>,
    memory: Memory,
    start: Start,
    shelves: Shelves,
    /// Looks that are owed since the log told of a file: it may tell a moment before the file is there.
    looks_owed: u8,
    /// What is told of crash files has changed in the middle of an attempt.
    report_due: bool,
    plug: Option<Plug<P>>,
    wanted: Wanted,
    /// The build of what is staged, on its way or here.
    ahead: Option<Ahead>,
    readiness: Readiness,
    reason: String,
    since: Time,
    draining: bool,
    /// When the phone is to be read again.
    due: Instant,
    /// The rack has ended, and with it this task.
    over: bool,
}

struct Plug<P> {
    phone: Arc<P>,
    attachment: Attachment,
    ears: Ears,
}

impl<P: Phone> PhoneTask<P> {
    /// Of one phone, with what is remembered of it.
    pub fn new(
        memory: Memory,
        start: Start,
        draining: bool,
        shared: Arc<Shared>,
        (mailbox, inbox): (mpsc::WeakSender<PhoneMessage<P>>, mpsc::Receiver<PhoneMessage<P>>),
        news: mpsc::Sender<(Udid, News)>,
    ) -> Self {
        let since = shared.clock.now();
        let shelves = Shelves::new(shared.config.crash_limits.clone(), memory.lost());
        Self {
            shared,
            inbox,
            mailbox,
            news,
            memory,
            start,
            shelves,
            looks_owed: 0,
            report_due: false,
            plug: None,
            wanted: Wanted::default(),
            ahead: None,
            readiness: Readiness::Offline,
            reason: "not on the bus".to_owned(),
            since,
            draining,
            due: Instant::now(),
            over: false,
        }
    }

    /// Works until the rack ends.
    pub async fn run(mut self) {
        self.tell_report().await;
        while !self.over {
            if matches!(self.memory.state, State::Running { .. }) {
                self.recover().await;
            } else if let Some((lease, begin)) = self.wanted.begin() {
                match begin {
                    Begin::Run(work) => self.attempt(lease, work).await,
                    Begin::Yielded(attempt) => self.yield_unbegun(lease, attempt).await,
                }
            } else {
                self.ahead = None;
                self.idle_turn().await;
            }
        }
    }

    // ---- an attempt ----

    async fn attempt(&mut self, lease: LeaseNumber, work: Box<Work>) {
        self.memory.dirty = Some(work.build.bundle_id.clone());
        self.memory.begin(work.attempt, &work.build, self.shared.clock.now());
        if let Err(error) = self.record(lease, work.attempt) {
            let reason = format!("the lease could not be recorded: {error}");
            return self.end_without_running(failed_before(Blame::Rack, reason)).await;
        }
        self.tell_lease().await;
        if self.draining {
            let end = failed_before(Blame::Rack, "the agent is shutting down".to_owned());
            return self.end_without_running(end).await;
        }
        tracing::info!(phone = %self.memory.phone, attempt = %work.attempt, %lease, "begins");
        let finished = self.run_attempt(lease, *work).await;
        if let Some(finished) = finished {
            self.finish(finished).await;
        }
    }

    /// Ends a lease that was given up before it began. The phone is not touched.
    async fn yield_unbegun(&mut self, lease: LeaseNumber, attempt: AttemptId) {
        // Unrecorded, it is still reported before anything newer begins.
        let _logged = self.record(lease, attempt);
        self.tell_lease().await;
        tracing::info!(phone = %self.memory.phone, %attempt, %lease, "is given up before it began");
        self.end_without_running(AttemptEnd::Yielded { cases_done: 0, failure: None }).await;
    }

    /// Nothing happens on the phone before this is on disk.
    fn record(&mut self, lease: LeaseNumber, attempt: AttemptId) -> Result<(), AgentError> {
        let started_at = self.shared.clock.now();
        self.memory.lease = lease;
        self.memory.state = State::Running { attempt, lease, started_at };
        let saved = self.memory.save(&self.shared.memory_folder);
        saved.inspect_err(|error| tracing::error!(%error, "a lease could not be recorded"))
    }

    /// The heart: decide, act, hear, again.
    async fn run_attempt(&mut self, lease: LeaseNumber, work: Work) -> Option<Finished> {
        let (part, mut parts) = watch::channel(0);
        let build = work.build.hash;
        let mut hands = Hands::new(Arc::clone(&self.shared), &work, part);
        let brief = self.brief(lease, work).await?;
        let mut under_way: Option<Pin<Box<dyn Future<Output = Done> + Send>>> = None;
        let mut events: Vec<Event> = if self.plug.is_none() { vec![Event::PhoneLost] } else { Vec::new() };
        let (mut attempt, mut steps) = Attempt::begin(self.shared.clock.now(), brief);
        loop {
            for step in std::mem::take(&mut steps) {
                match step {
                    Step::Finish(finished) => return Some(*finished),
                    Step::Rest => under_way = None,
                    step => under_way = Some(self.prepare(&mut hands, step)),
                }
            }
            if std::mem::take(&mut self.report_due) {
                self.tell_report().await;
            }
            let progress = attempt.progress();
            self.fetch_ahead(progress.step, build);
            self.tell_progress(progress).await;
            if events.is_empty() {
                let wake_at = self.shared.clock.instant(attempt.wake_at());
                tokio::select! {
                    message = self.inbox.recv() => events = self.hear(message).await,
                    done = answer_of(&mut under_way) =>
                    {
                        under_way = None;
                        events = self.done(&mut hands, done);
                    }
                    Ok(()) = parts.changed() => events = vec![Event::Progressed(*parts.borrow_and_update())],
                    () = tokio::time::sleep_until(wake_at) => events = vec![Event::Tick],
                }
            }
            if self.over {
                return None;
            }
            if !events.is_empty() {
                steps = attempt.apply(self.shared.clock.now(), events.remove(0));
            }
        }
    }

    /// Fetches the build of what comes next while this attempt's own is on the phone already.
    fn fetch_ahead(&mut self, step: StepName, current: BuildHash) {
        if step < StepName::Run {
            return;
        }
        let wanted = self.wanted.staged().map(|staged| &staged.work.build);
        match wanted.filter(|build| build.hash != current) {
            Some(build) if self.ahead.as_ref().is_some_and(|ahead| ahead.is_of(build.hash)) => {}
            Some(build) => self.ahead = Some(Ahead::start(&self.shared, build)),
            None => self.ahead = None,
        }
    }

    async fn brief(&mut self, lease: LeaseNumber, work: Work) -> Option<Brief> {
        let mut taken = self.memory.taken();
        taken.extend(self.pending_files().await?);
        let mut earlier = self.memory.recent();
        earlier.retain(|known| known.attempt != work.attempt);
        Some(Brief {
            rack: self.shared.config.rack.clone(),
            phone: self.memory.phone.clone(),
            lease,
            work,
            installed: self.memory.installed,
            taken,
            earlier,
            settings: self.shared.config.attempt.clone(),
            thresholds: self.shared.config.thresholds.clone(),
        })
    }

    /// Files of this phone that wait in the outbox. None when the agent is ending: then nothing is to be done to a
    /// phone, because what is known of its files is not known any more.
    async fn pending_files(&mut self) -> Option<Vec<Taken>> {
        let pending = self.shared.outbox.pending(&self.memory.phone).await.ok();
        self.over |= pending.is_none();
        pending
    }

    /// Makes the operation of a step; what has to be on disk before it goes there first.
    fn prepare(&mut self, hands: &mut Hands, step: Step) -> Pin<Box<dyn Future<Output = Done> + Send>> {
        let Some(plug) = &self.plug else {
            let failure = Failure {
                blame: Blame::Phone,
                kind: FailureKind::Other,
                reason: "the phone is not on the bus".to_owned(),
            };
            return Box::pin(std::future::ready(Done::from(Event::Failed(failure))));
        };
        let phone = Arc::clone(&plug.phone);
        if step == Step::Install {
            // An install that is cut off leaves the phone with nobody knows what.
            self.memory.installed = None;
            if let Err(error) = self.memory.save(&self.shared.memory_folder) {
                return Box::pin(std::future::ready(Done::from(perform::failed_here(&error))));
            }
        }
        hands.perform(phone, step)
    }

    /// Takes from an operation that is done what the task itself has to remember.
    fn done(&mut self, hands: &mut Hands, done: Done) -> Vec<Event> {
        match &done.event {
            Event::Installed => {
                self.memory.installed = Some(hands.build().hash);
                perform::note_app(&mut self.memory.facts, hands.build());
            }
            Event::Launched { pid, .. } => {
                self.memory.note_launch(*pid);
                if let Err(error) = self.memory.save(&self.shared.memory_folder) {
                    // Its report would then belong to nobody after a restart, and no more.
                    tracing::error!(%error, "a launch could not be recorded");
                }
            }
            Event::Checked(facts) => {
                self.memory.note_clock(facts.clock_offset_ms);
                self.memory.facts = Some(self.own_facts((**facts).clone()));
            }
            Event::Listed(files) => self.report_due |= self.crash_files_listed(files),
            Event::Deleted => {
                if let Some(file) = &done.file {
                    self.memory.forget(file);
                }
            }
            _ => {}
        }
        hands.keep(done.pulled);
        vec![done.event]
    }

    /// Puts the report into the outbox, then lets the phone go.
    async fn finish(&mut self, finished: Finished) {
        let Finished { report, phone, launched } = finished;
        tracing::info!(phone = %report.phone, attempt = %report.attempt, end = ?report.end, "is over");
        self.memory.remember(launched);
        if phone == PhoneLeft::Clean {
            self.memory.dirty = None;
        } else if self.plug.is_some() {
            self.set(Readiness::Preparing, "it has yet to be cleaned");
        }
        self.hand_in(report).await;
    }

    /// Ends an attempt that never touched the phone.
    async fn end_without_running(&mut self, end: AttemptEnd) {
        let State::Running { attempt, lease, started_at } = self.memory.state.clone() else { return };
        let report = self.report(attempt, lease, started_at, end);
        self.hand_in(report).await;
    }

    fn report(
        &self,
        attempt: AttemptId,
        lease: LeaseNumber,
        started_at: Time,
        end: AttemptEnd,
    ) -> AttemptReport {
        AttemptReport {
            attempt,
            phone: self.memory.phone.clone(),
            lease,
            end,
            cases: Vec::new(),
            crashes: Vec::new(),
            started_at,
            ended_at: self.shared.clock.now(),
        }
    }

    /// Makes the report durable, then frees the phone or goes on with what is staged, in this order; a disk that
    /// fails is waited for.
    async fn hand_in(&mut self, report: AttemptReport) {
        let left = self.left_by(&report.end);
        self.memory.note_end(report.attempt, report.ended_at);
        let item = OutboxItem::AttemptEnded { report };
        while let Err(error) = self.shared.outbox.append(item.clone(), None).await {
            tracing::error!(phone = %self.memory.phone, %error, "a report could not be kept; it is tried again");
            let pause = self.shared.config.retry_every;
            let _time = self.while_hearing(tokio::time::sleep(pause), GivesWay::ToTheBus).await;
            if self.over || matches!(error, AgentError::Ended { .. }) {
                return;
            }
        }
        self.memory.state = State::Idle;
        self.wanted.attempt_over(self.memory.lease, left);
        self.due = Instant::now();
        self.tell_report().await;
        if self.wanted.is_waiting() {
            // The next lease is recorded in a moment, and with it that this one is over.
            return;
        }
        // Told before it is recorded: the report on disk is what counts, and the daemon may have work.
        self.tell_lease().await;
        self.tell(News::Progress(None)).await;
        if let Err(error) = self.memory.save(&self.shared.memory_folder) {
            // After a restart the attempt would be reported once more, which decides nothing.
            tracing::error!(%error, "the end of an attempt could not be recorded");
        }
    }

    /// Whether the phone can go on with what is staged. After trouble the daemon is asked first: it may rest the
    /// phone, or have the work done elsewhere.
    fn left_by(&self, end: &AttemptEnd) -> Left {
        let is_trouble = match end {
            AttemptEnd::Failed { blame, .. } => *blame != Blame::Job,
            AttemptEnd::Passed | AttemptEnd::Revoked | AttemptEnd::Yielded { .. } => false,
        };
        let is_here = self.plug.is_some() && self.memory.dirty.is_none();
        if is_here && !is_trouble && !self.draining { Left::Fit } else { Left::Unfit }
    }

    // ---- hearing and telling ----

    /// Does `work` and hears messages meanwhile. None when it was dropped for one.
    async fn while_hearing<T>(&mut self, work: impl Future<Output = T>, gives_way: GivesWay) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                message = self.inbox.recv() => {
                    let events = self.hear(message).await;
                    let bus = events.iter().any(|event| matches!(event, Event::PhoneLost | Event::PhoneReturned));
                    let order = gives_way == GivesWay::ToOrders && self.wanted.is_waiting();
                    if bus || order || self.over {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes in a message; gives what it means for an attempt that runs.
    async fn hear(&mut self, message: Option<PhoneMessage<P>>) -> Vec<Event> {
        match message {
            None => {
                self.over = true;
                Vec::new()
            }
            Some(PhoneMessage::Attached { phone, attachment }) => {
                let retry_every = self.shared.config.retry_every;
                let ears = Ears::listen(Arc::clone(&phone), self.mailbox.clone(), retry_every);
                let was_here = self.plug.replace(Plug { phone, attachment, ears }).is_some();
                self.due = Instant::now();
                if !was_here {
                    self.set(Readiness::Preparing, "its facts are read");
                    return vec![Event::PhoneReturned];
                }
                vec![Event::PhoneLost, Event::PhoneReturned]
            }
            Some(PhoneMessage::Detached) => {
                self.plug = None;
                self.set(Readiness::Offline, "it is not on the bus");
                self.tell_report().await;
                vec![Event::PhoneLost]
            }
            Some(PhoneMessage::Order(order)) => self.ordered(order).await,
            Some(PhoneMessage::Confirmed(settled)) => self.confirmed(settled).await,
            Some(PhoneMessage::LogSpoke) => self.log_spoke().await,
            Some(PhoneMessage::Drain) => {
                self.draining = true;
                self.tell_report().await;
                Vec::new()
            }
        }
    }

    async fn ordered(&mut self, order: PhoneOrder) -> Vec<Event> {
        let running = self.memory.held().map(|held| held.lease);
        if let Order::Run { lease, .. } = &order.order
            && *lease < self.memory.lease
        {
            tracing::info!(phone = %self.memory.phone, %lease, newest = %self.memory.lease, "an older lease is refused");
        }
        let event = self.wanted.take(order, &mut self.memory.lease, running);
        if !self.wanted.is_waiting() {
            self.tell_lease().await;
        }
        event.into_iter().collect()
    }

    /// The memory first, then the outbox forgets: a file must be known in one of the two while it is there.
    async fn confirmed(&mut self, settled: Vec<Settled>) -> Vec<Event> {
        for one in &settled {
            self.memory.confirm(one.file.clone(), one.crash);
        }
        if let Err(error) = self.memory.save(&self.shared.memory_folder) {
            // The outbox keeps them; they are said and confirmed again after the next start.
            tracing::error!(%error, "a confirmation could not be recorded");
            return Vec::new();
        }
        let crashes = crashes_of(&settled);
        let ids: Vec<EntryId> = settled.into_iter().map(|one| one.id).collect();
        self.shared.outbox.forget(ids).await;
        // What is confirmed is deleted on the phone in the next look at it.
        self.due = Instant::now();
        vec![Event::Confirmed(crashes)]
    }

    fn set(&mut self, readiness: Readiness, reason: &str) {
        if self.readiness != readiness {
            self.since = self.shared.clock.now();
        }
        self.readiness = readiness;
        reason.clone_into(&mut self.reason);
    }

    async fn tell(&self, news: News) {
        // The rack has ended when nobody listens; the inbox says so next.
        let _ended = self.news.send((self.memory.phone.clone(), news)).await;
    }

    async fn tell_lease(&self) {
        let held = self.memory.held().map(|held| self.wanted.told_of(held));
        self.tell(News::Lease { lease: self.memory.lease, held }).await;
    }

    async fn tell_report(&self) {
        if let Some(facts) = self.facts_to_tell() {
            let (mut readiness, mut reason) = (self.readiness.clone(), self.reason.clone());
            if self.draining && readiness == Readiness::Ready {
                (readiness, reason) = (Readiness::Preparing, "the agent is shutting down".to_owned());
            }
            let report = PhoneReport { facts, readiness, reason, since: self.since };
            self.tell(News::Report(Box::new(report))).await;
        }
    }

    fn facts_to_tell(&self) -> Option<PhoneFacts> {
        let known = self.memory.facts.clone().map(|facts| self.own_facts(facts));
        known.or_else(|| {
            // Its facts come within a moment; until then there is nothing that anybody could use.
            if matches!(self.readiness, Readiness::Preparing | Readiness::Offline) {
                return None;
            }
            let attachment = self.plug.as_ref().map(|plug| &plug.attachment);
            facts_unknown(&self.memory.phone, attachment)
        })
    }

    /// Facts with what the rack itself knows: labels, slot, speed.
    fn own_facts(&self, mut facts: PhoneFacts) -> PhoneFacts {
        facts.crash_files_waiting.clone_from(self.shelves.waiting());
        facts.crash_limits = self.shelves.told();
        facts.labels = self.shared.config.labels.get(&facts.udid).cloned().unwrap_or_default();
        if let Some(plug) = &self.plug {
            facts.slot = plug.attachment.slot.clone();
            facts.usb_speed_bps = plug.attachment.speed_bps.or(facts.usb_speed_bps);
        }
        facts
    }

    async fn tell_progress(&self, progress: Progress) {
        let State::Running { attempt, .. } = self.memory.state else { return };
        let Progress { step, percent, note } = progress;
        self.tell(News::Progress(Some(AttemptProgress { attempt, step, percent, note }))).await;
    }
}

fn failed_before(blame: Blame, reason: String) -> AttemptEnd {
    AttemptEnd::Failed { blame, step: StepName::Check, reason }
}

/// The answer of what is under way; never when nothing is.
async fn answer_of(under_way: &mut Option<Pin<Box<dyn Future<Output = Done> + Send>>>) -> Done {
    match under_way {
        Some(operation) => operation.await,
        None => std::future::pending().await,
    }
}

/// Waits no longer than this for anything that has no deadline of its own.
const PATIENCE: Duration = Duration::from_secs(60);
