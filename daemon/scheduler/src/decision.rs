//! What the brain orders. `Save…` is recorded before anything else of the same turn is carried out.

use std::sync::Arc;

use holdfast_wire::id::{AttemptId, BlobHash, CompareName, JobId, RackId, Udid};
use holdfast_wire::sync::PhoneOrder;
use holdfast_wire::time::Time;

use crate::record::{CompareRecord, JobRecord, OwnerRecord, PhoneRecord};

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Record this job, whole.
    SaveJob(Arc<JobRecord>),
    /// Record this phone, whole.
    SavePhone(Arc<PhoneRecord>),
    /// Record what this owner has used.
    SaveOwner(Arc<OwnerRecord>),
    /// Record where this comparison runs.
    SaveCompare(Arc<CompareRecord>),
    /// Forget where this comparison ran.
    ForgetCompare(CompareName),
    /// Keep the report of an attempt that had already been given up; it decides nothing.
    KeepLateReport {
        /// Whose report.
        attempt: AttemptId,
        /// Where it is kept.
        report: BlobHash,
    },
    /// From now on the phone obeys this; replaces what it obeyed before.
    Order {
        /// The phone's rack.
        rack: RackId,
        /// The phone and what it has to do.
        order: PhoneOrder,
    },
    /// A waiting job has another place in the queue; there is nothing to record.
    JobMoved(JobId),
    /// Readers should look at this phone again.
    PhoneChanged(Udid),
    /// Readers should look at this rack again.
    RackChanged(RackId),
    /// Send [`crate::Event::TimeReached`] then; replaces every earlier wish.
    WakeAt(Time),
}
