//! What pages are made of, and the trait through which they get it. How it is read from the farm is not here.

use std::collections::BTreeMap;

use holdfast_crash::Report;
use holdfast_wire::api::{CrashView, Explanation, JobView, PhoneView, QueueView, RackView};
use holdfast_wire::group::GroupView;
use holdfast_wire::id::{AttemptId, CaseName, CrashId, GroupId, JobId, Udid};
use holdfast_wire::job::JobClass;
use holdfast_wire::notice::{NoticeView, ReceiverView};
use holdfast_wire::time::Time;
use holdfast_wire::views::{CaseStats, OwnerView};
use tokio::sync::watch;

use crate::older::Older;

/// Everything the first page shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    /// When the picture was made; ages are counted from here.
    pub now: Time,
    /// Every rack, by name.
    pub racks: Vec<RackView>,
    /// Every phone, in any order.
    pub phones: Vec<PhoneView>,
    /// Jobs that run, then those that wait in the order of service, then some that ended, newest first.
    pub jobs: Vec<JobView>,
    /// The last crashes, newest first.
    pub crashes: Vec<CrashView>,
    /// Jobs that wait, those not in `jobs` included.
    pub jobs_waiting: usize,
    /// Whether any phone of the farm is simulated.
    pub simulated: bool,
}

/// Everything the page of a job shows.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// The job, with what its cases showed.
    pub job: JobView,
    /// Why it waits, phone by phone; none unless it waits.
    pub explanation: Option<Explanation>,
    /// The crashes that happened in it.
    pub crashes: Vec<CrashView>,
    /// Phones that the job or its explanation names, as far as they are known.
    pub phones: Vec<PhoneView>,
    /// How its cases have gone on this farm, whatever job they were run for.
    pub stats: BTreeMap<CaseName, CaseStats>,
}

/// Everything the page of a phone shows.
#[derive(Debug, Clone, PartialEq)]
pub struct PhonePage {
    /// The phone.
    pub phone: PhoneView,
    /// Jobs that it ran, running ones first, then newest first.
    pub jobs: Vec<JobView>,
    /// Crashes taken from it, newest first.
    pub crashes: Vec<CrashView>,
}

/// Everything the page of a crash shows.
#[derive(Debug, Clone, PartialEq)]
pub struct CrashPage {
    /// Where it came from.
    pub view: CrashView,
    /// What the file says.
    pub report: Report,
    /// The phone it came from, if it is still known.
    pub phone: Option<PhoneView>,
}

/// Everything a page of all crashes shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CrashesPage {
    /// Crashes, the one that was collected last first.
    pub crashes: Vec<CrashView>,
    /// How many there are, those of other pages included.
    pub total: usize,
    /// Behind which one this page begins; none for the first page.
    pub begins: Option<Older<CrashId>>,
    /// Where the next page begins; none when there is none.
    pub goes_on: Option<Older<CrashId>>,
    /// Phones of the farm.
    pub phones: Vec<PhoneView>,
    /// Whether any of them is simulated.
    pub simulated: bool,
}

/// Everything a page of all crash groups shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupsPage {
    /// Groups that somebody should look at, the one that happened last first.
    pub groups: Vec<GroupView>,
    /// How many there are, those of other pages included.
    pub total: usize,
    /// Behind which one this page begins; none for the first page.
    pub begins: Option<Older<GroupId>>,
    /// Where the next page begins; none when there is none.
    pub goes_on: Option<Older<GroupId>>,
    /// Whether any phone of the farm is simulated.
    pub simulated: bool,
}

/// Everything the page of a crash group shows.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupPage {
    /// The group.
    pub group: GroupView,
    /// Its newest crashes.
    pub crashes: Vec<CrashView>,
    /// Phones of the farm.
    pub phones: Vec<PhoneView>,
    /// Whether any of them is simulated.
    pub simulated: bool,
}

/// Everything the page of what people are told shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NoticesPage {
    /// Receivers by name; then those that are none any more, and nobody, when they have anything.
    pub told: Vec<Told>,
    /// About which crash group it is, when it is about one alone.
    pub group: Option<GroupId>,
    /// Whether any phone of the farm is simulated.
    pub simulated: bool,
}

/// What one receiver was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its name; `-` for nobody.
    pub name: String,
    /// How often it may be spoken to; none when the rules don't name it.
    pub receiver: Option<ReceiverView>,
    /// What waits, then what is done, each newest first; not all when there are many.
    pub notices: Vec<NoticeView>,
    /// How many there are.
    pub total: usize,
}

/// Everything the page of the queue shows.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuePage {
    /// What waits and what runs, by class; ages are counted from when this was so.
    pub queue: QueueView,
    /// Every phone, by rack and slot.
    pub phones: Vec<PhoneView>,
    /// What phones ran in the last [hours](super::queue_page::HOURS_BACK), what runs now included, in any order.
    pub spans: Vec<Span>,
    /// Owners that have jobs or limits, with what they use.
    pub owners: Vec<OwnerView>,
}

/// A span of time in which an attempt had a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The phone.
    pub phone: Udid,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its job's class.
    pub class: JobClass,
    /// When it was given the phone.
    pub from: Time,
    /// When that was over; none while it runs.
    pub to: Option<Time>,
    /// How it ended, in a word.
    pub how: String,
}

/// A page cannot be made, because what it shows cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("what this page shows cannot be read now; try again, and look into the daemon's log if it stays so")]
pub struct Unreadable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where pages get what they show.
pub trait Pictures: Send + Sync + 'static {
    /// What the watch channel of the farm carries; pages only look at whether it changed.
    type Shown: Send + Sync + 'static;

    /// The time now, by the farm's clock: ages on pages are counted from here.
    fn now(&self) -> Time;

    /// The farm as it is now. Cheap: it is asked for several times a second by every open page.
    fn picture(&self) -> impl Future<Output = Picture> + Send;

    /// Wakes whenever a page may look different.
    fn follow(&self) -> watch::Receiver<Self::Shown>;

    /// The queue, and what phones ran of late.
    ///
    /// # Errors
    /// What waits cannot be explained now.
    fn queue(&self) -> impl Future<Output = Result<QueuePage, Unreadable>> + Send;

    /// One job; none when there is no such job.
    ///
    /// # Errors
    /// What its cases showed cannot be read.
    fn job(&self, id: JobId) -> impl Future<Output = Result<Option<JobPage>, Unreadable>> + Send;

    /// One phone; none when there is no such phone.
    ///
    /// # Errors
    /// What it ran cannot be read.
    fn phone(&self, udid: &Udid) -> impl Future<Output = Result<Option<PhonePage>, Unreadable>> + Send;

    /// One crash; none when there is no such crash.
    ///
    /// # Errors
    /// The report's bytes cannot be read.
    fn crash(&self, id: CrashId) -> impl Future<Output = Result<Option<CrashPage>, Unreadable>> + Send;

    /// All crashes, from the newest on or from behind one.
    fn crashes(&self, from: Option<Older<CrashId>>) -> impl Future<Output = CrashesPage> + Send;

    /// Crash groups that somebody should look at, from the one that happened last on or from behind one.
    fn groups(&self, from: Option<Older<GroupId>>) -> impl Future<Output = GroupsPage> + Send;

    /// What people are told; about one crash group alone when one is named.
    ///
    /// # Errors
    /// The farm stops.
    fn notices(&self, group: Option<GroupId>)
    -> impl Future<Output = Result<NoticesPage, Unreadable>> + Send;

    /// One crash group; none when there is no such group.
    fn group(&self, id: &GroupId) -> impl Future<Output = Option<GroupPage>> + Send;
}
