//! The way to the loop: what may be asked of it, and what it shows. The loop itself is `turn`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_scheduler::{Event, RestoreError};
use holdfast_store::StoreError;
use holdfast_wire::api::{Act, AuditEntry, Change, CrashView, Explanation, JobEta, Plan, ProgressView};
use holdfast_wire::build::Build;
use holdfast_wire::group::GroupDeed;
use holdfast_wire::id::{
    AttemptId, BlobHash, BuildHash, BundleId, CaseName, GroupId, JobId, Owner, RackId, ScheduleName,
};
use holdfast_wire::job::{JobSpec, JobState};
use holdfast_wire::sync::AttemptProgress;
use imbl::OrdMap;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::archive::Archive;
use crate::changes::Changes;
use crate::commits::History;
use crate::groups::{GroupRefused, Signed};
use crate::meters::Meters;
use crate::notices::NoticeAsk;
use crate::orders::Orders;
use crate::rules::RulesChange;
use crate::snapshot::Snapshot;
use crate::specs::Specs;
use crate::symbols::Named;

pub use crate::turn::Loop;

/// Jobs whose reasons may be asked for at once: a page.
pub const REASONS_MAX: usize = 200;

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
        /// What an operator did, when one did it: recorded with what follows from it.
        audit: Option<Deed>,
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
    /// Crashes have other signatures than before.
    Regroup {
        /// Which, and what they are.
        signed: Signed,
        /// How many went to another group.
        answer: oneshot::Sender<usize>,
    },
    /// Something is to be done with a crash group.
    Group {
        /// Which.
        id: GroupId,
        /// What.
        deed: GroupDeed,
        /// Who wants it.
        who: Who,
        /// Groups that changed.
        answer: oneshot::Sender<Result<BTreeSet<GroupId>, GroupRefused>>,
    },
    /// A crash file was brought, and its bytes are on disk.
    Crash {
        /// What it says.
        crash: Box<CrashView>,
        /// As the farm keeps it; the first one counts.
        answer: oneshot::Sender<Arc<CrashView>>,
    },
    /// Symbols named frames of crashes that are kept already.
    Named {
        /// Which, and what is shown of them now.
        named: Vec<Named>,
        /// How many changed.
        answer: oneshot::Sender<usize>,
    },
    /// A mirror was read. This is in no store: it is read again at the next start.
    History {
        /// Of which app.
        app: BundleId,
        /// What it shows.
        history: Arc<History>,
        /// Done.
        answer: oneshot::Sender<()>,
    },
    /// Something about telling people.
    Notice(NoticeAsk),
    /// The rules change.
    Rules {
        /// How.
        change: RulesChange,
        /// Who changes them.
        who: Who,
        /// What changed, in words.
        answer: oneshot::Sender<Vec<String>>,
    },
    /// Submit the job of a schedule now, out of turn.
    RunSchedule {
        /// Which.
        name: ScheduleName,
        /// Who wants it.
        who: Who,
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
    /// Why do these wait, in a sentence each? Changes nothing.
    Reasons {
        /// Which; of more than [`REASONS_MAX`], the rest is left without a reason.
        jobs: Vec<JobId>,
        /// In the same order; none for one that does not wait.
        answer: oneshot::Sender<Vec<Option<String>>>,
    },
}

/// Something that an operator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Who, as he named himself.
    pub by: Option<Owner>,
    /// What.
    pub act: Act,
    /// Why, as he said.
    pub reason: Option<String>,
}

/// Who does something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Who {
    /// Who, as he named himself.
    pub by: Option<Owner>,
    /// Why, as he said.
    pub reason: Option<String>,
}

impl Who {
    pub(crate) fn did(self, act: Act) -> Deed {
        let Self { by, reason } = self;
        Deed { by, act, reason }
    }
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
    /// What cases of ended attempts showed.
    pub results: Vec<Verdict>,
    /// Small reports of ended attempts, by hash: they are recorded together with what follows from them.
    pub reports: Vec<(BlobHash, Vec<u8>)>,
}

/// How one case of an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The attempt.
    pub attempt: AttemptId,
    /// The case.
    pub case: CaseName,
    /// How.
    pub went: Went,
}

/// How a case went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// It passed.
    Well,
    /// It failed.
    Badly,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is a new job.
    New {
        /// Its name.
        job: JobId,
        /// Why it waits; none when it does not.
        waiting: Option<String>,
        /// Why nothing that the farm has can ever run it; none while there is hope.
        never: Option<String>,
    },
    /// The same was submitted before, under this key or with this content.
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

impl Ask {
    /// Whether it changes nothing, so that its answer need not wait for the disk.
    fn is_question(&self) -> bool {
        matches!(
            self,
            Self::Explain { .. }
                | Self::Plan { .. }
                | Self::Eta { .. }
                | Self::Reasons { .. }
                | Self::Usage { .. }
                | Self::Notice(NoticeAsk::Receivers { .. } | NoticeAsk::Plan { .. })
        )
    }
}

/// The way to the loop, and what it shows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Farm {
    pub(crate) asks: mpsc::Sender<Ask>,
    /// For what changes nothing.
    pub(crate) questions: mpsc::Sender<Ask>,
    pub(crate) shown: watch::Receiver<Arc<Snapshot>>,
    /// What each phone has to obey.
    pub orders: Orders,
    /// What changed.
    pub changes: Changes,
    /// What has been counted and timed.
    pub meters: Arc<Meters>,
    /// What jobs have in common.
    pub specs: Specs,
    /// Jobs that are over, as the store has them.
    pub archive: Archive,
    /// Rings when there may be something to tell people.
    pub notices: Arc<Notify>,
    pub(crate) progress: Progress,
}

/// Where running attempts stand: lost without harm, so it has its own way past brain and store.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    standing: Arc<Mutex<OrdMap<AttemptId, ProgressView>>>,
    shown: Arc<watch::Sender<Arc<Snapshot>>>,
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

    /// Asks the loop, and waits for its answer. What changes something is answered once that is on disk, a mere question
    /// at once.
    ///
    /// # Errors
    /// The daemon stops.
    pub async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Stopping> {
        let (answer, answered) = oneshot::channel();
        let ask = ask(answer);
        let way = if ask.is_question() { &self.questions } else { &self.asks };
        way.send(ask).await.map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }

    /// Tells the loop of something that happened by itself or that no operator answers for.
    ///
    /// # Errors
    /// The daemon stops.
    pub async fn tell(&self, events: Vec<Event>) -> Result<(), Stopping> {
        self.ask(|answer| Ask::Tell { events, audit: None, answer }).await
    }

    /// Shows where attempts stand.
    pub fn show_progress(&self, progress: Vec<AttemptProgress>) {
        if progress.is_empty() {
            return;
        }
        let changed: Vec<Change> = progress.iter().map(|one| Change::Job { id: one.attempt.job }).collect();
        self.progress.add(progress);
        self.changes.tell(changed);
    }
}

impl Progress {
    pub(crate) fn new(shown: Arc<watch::Sender<Arc<Snapshot>>>) -> Self {
        Self { standing: Arc::default(), shown }
    }

    fn add(&self, progress: Vec<AttemptProgress>) {
        self.shown.send_modify(|shown| {
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            for one in progress {
                let job = shown.jobs.get(&one.attempt.job);
                if job.is_some_and(|job| runs(&job.state, one.attempt.number)) {
                    let (step, percent, note) = (one.step, one.percent.min(100), one.note);
                    standing.insert(one.attempt, ProgressView { step, percent, note });
                }
            }
            let snapshot = Arc::make_mut(shown);
            snapshot.number += 1;
            snapshot.progress = standing.clone();
        });
    }

    /// Shows a new picture, without the progress of attempts that are over.
    pub(crate) fn show(&self, mut picture: Snapshot, over: &[AttemptId]) {
        self.shown.send_modify(|shown| {
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            for attempt in over {
                standing.remove(attempt);
            }
            picture.progress = standing.clone();
            picture.number = shown.number + 1;
            *shown = Arc::new(picture);
        });
    }
}

fn runs(state: &JobState, number: u32) -> bool {
    match state {
        JobState::Running { attempt, others, .. } => {
            *attempt == number || others.iter().any(|other| other.attempt == number)
        }
        JobState::Queued | JobState::Ended { .. } => false,
    }
}

/// An audit entry under its number.
pub(crate) fn entry(number: u64, at: holdfast_wire::time::Time, deed: Deed) -> AuditEntry {
    AuditEntry { number, at, by: deed.by, act: deed.act, reason: deed.reason }
}
