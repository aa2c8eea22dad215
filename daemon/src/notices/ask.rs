//! What the loop is asked about telling people.

use holdfast_notify::Outcome;
use holdfast_notify::outbox::EntryId;
use holdfast_wire::id::{CrashId, GroupId};
use holdfast_wire::notice::{NoticePlan, ReceiverView};
use tokio::sync::oneshot;

use super::post::Post;

/// A question or a fact, with the way of its answer.
#[derive(Debug)]
pub enum NoticeAsk {
    /// What is to be told to whom now? What is handed out is recorded first.
    Next {
        /// That.
        answer: oneshot::Sender<Post>,
    },
    /// A receiver was spoken to.
    Answered {
        /// About which message.
        id: EntryId,
        /// What it said.
        outcome: Outcome,
        /// Between 0 and 1: makes waits differ.
        jitter: f64,
        /// Done.
        answer: oneshot::Sender<()>,
    },
    /// The odds name the commit that brought a crash group: those who know of the group are told.
    FirstBad {
        /// Which.
        group: GroupId,
        /// Done.
        answer: oneshot::Sender<()>,
    },
    /// Who may be told, and how often now? Changes nothing.
    Receivers {
        /// Each receiver of the rules, by name.
        answer: oneshot::Sender<Vec<ReceiverView>>,
    },
    /// What would the rules make of a crash? Changes nothing.
    Plan {
        /// Which.
        crash: CrashId,
        /// Who would be told what.
        answer: oneshot::Sender<Vec<NoticePlan>>,
    },
}
