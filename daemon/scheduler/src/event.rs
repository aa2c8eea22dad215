//! What can happen to the farm: facts, in the past tense.

use holdfast_wire::id::{AttemptId, BlobHash, JobId, LeaseNumber, Owner, RackId, Udid};
use holdfast_wire::job::JobSpec;
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{HeldLease, IdlePhone};
use holdfast_wire::time::Time;

use crate::policy::Policy;

/// A fact. Everything in it has been parsed and checked at the edge.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody submitted a job. The id is new: [`crate::Scheduler::next_job`] or above.
    JobSubmitted {
        /// Its name.
        job: JobId,
        /// What is asked.
        spec: Box<JobSpec>,
    },
    /// Somebody took a job back.
    JobCancelled {
        /// Which.
        job: JobId,
    },
    /// A rack told what it knows of a phone.
    PhoneReported {
        /// The rack that speaks.
        rack: RackId,
        /// What it says.
        report: Box<PhoneReport>,
    },
    /// An attempt is over, says its rack; its phone is clean.
    AttemptEnded {
        /// The rack that speaks.
        rack: RackId,
        /// The attempt.
        attempt: AttemptId,
        /// The phone it held.
        phone: Udid,
        /// The lease it held.
        lease: LeaseNumber,
        /// How it ended.
        end: AttemptEnd,
        /// Where the whole report is kept.
        report: BlobHash,
    },
    /// A rack spoke. Comes after the phone reports and ended attempts of the same request.
    RackSynced {
        /// The rack that speaks.
        rack: RackId,
        /// Every lease that it holds now.
        held: Vec<HeldLease>,
        /// Phones on which nothing runs and of which nothing is left to report.
        idle: Vec<IdlePhone>,
    },
    /// An operator let a phone out of quarantine, or gave a borrowed one back.
    PhoneReleased {
        /// Which.
        phone: Udid,
    },
    /// An operator put a phone into quarantine.
    PhoneQuarantined {
        /// Which.
        phone: Udid,
        /// Why.
        reason: String,
        /// Until when; until somebody releases it when none.
        until: Option<Time>,
    },
    /// A person borrowed a phone. What it runs goes on to its end.
    PhoneTaken {
        /// Which.
        phone: Udid,
        /// Who.
        by: Owner,
        /// What for.
        reason: String,
        /// Until when; until somebody gives it back when none.
        until: Option<Time>,
    },
    /// An operator took a phone's lease away: its attempt is over and its job waits again. Nobody is blamed.
    LeaseRevoked {
        /// The phone.
        phone: Udid,
        /// Why.
        reason: String,
    },
    /// An operator chose other rules.
    PolicyChanged {
        /// All of them.
        policy: Box<Policy>,
    },
    /// The time that [`crate::Decision::WakeAt`] named has come.
    TimeReached,
}
