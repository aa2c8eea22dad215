//! A turn whose records fit no single transaction, as several: one fact may end every job of the farm. Each part alone
//! leaves a store from which a daemon can start; what must never be seen half done stays in one part. Sending them is
//! the loop's business, how large one may be is the store's.

use std::collections::BTreeMap;

use holdfast_scheduler::{Decision, JobRecord};
use holdfast_store::{Key, OPS_MAX, Op, TRANSACTION_BYTES_MAX};
use holdfast_wire::id::{JobId, Udid};
use holdfast_wire::time::Time;

use crate::notices::{NOTICE, SENDS, TICKET};
use crate::records::{self, BatchId};

/// The group of what was asked: idempotency keys, audit entries and rules, with the jobs that are new.
const ASKED: usize = 0;

/// Divides what a turn records into transactions, to be committed in this order. `began` is when the turn began; when
/// it is not known, more than necessary is kept together.
///
/// Kept together are a job's records, a phone and the jobs that had it or have it, a batch and the jobs that leave it,
/// and a new job with the key that it was sent under. What is named by its hash comes first, as nobody reads it before something names it, with crash
/// groups, which a start makes again from their crashes; then what was
/// asked; then what follows from it, most of which a daemon that starts in between would decide again. Counts come
/// last: a daemon that dies before them has counted too little, never twice.
pub(crate) fn divide(ops: BTreeMap<Key, Op>, decisions: &[Decision], began: Option<Time>) -> Vec<Vec<Op>> {
    if Size::of(ops.values()).fits() {
        return vec![ops.into_values().collect()];
    }
    let batches = ops.keys().filter_map(BatchId::named).collect();
    let mut groups = Groups::of(decisions, began, batches);
    let (mut before, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    let mut together: BTreeMap<usize, Vec<Op>> = BTreeMap::new();
    for (key, op) in ops {
        match Place::of(&key, &groups) {
            Place::Before => before.push(vec![op]),
            Place::First => first.push(vec![op]),
            Place::Group(member) => together.entry(groups.root(member)).or_default().push(op),
            Place::Last => last.push(vec![op]),
        }
    }
    pack(before.into_iter().chain(first).chain(together.into_values()).chain(last))
}

/// Puts what stays together into as few transactions as this order allows.
fn pack(groups: impl Iterator<Item = Vec<Op>>) -> Vec<Vec<Op>> {
    let mut parts: Vec<Vec<Op>> = Vec::new();
    let mut size = Size::default();
    for group in groups {
        let added = Size::of(&group);
        let grown = Size { ops: size.ops + added.ops, bytes: size.bytes + added.bytes };
        match parts.last_mut() {
            Some(part) if grown.fits() => {
                part.extend(group);
                size = grown;
            }
            _ => {
                parts.push(group);
                size = added;
            }
        }
    }
    parts
}

/// How large a transaction is.
#[derive(Clone, Copy, Default)]
struct Size {
    ops: usize,
    bytes: usize,
}

impl Size {
    fn of<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Self {
        ops.into_iter().fold(Self::default(), |size, op| {
            let value = match op {
                Op::Put { value, .. } => value.len(),
                Op::Delete { .. } => 0,
            };
            Self { ops: size.ops + 1, bytes: size.bytes + op.key().len() + value }
        })
    }

    fn fits(self) -> bool {
        self.ops <= OPS_MAX && self.bytes <= TRANSACTION_BYTES_MAX
    }
}

/// Where a record goes.
enum Place {
    Before,
    First,
    /// With the group that has this member.
    Group(usize),
    Last,
}

impl Place {
    fn of(key: &Key, groups: &Groups) -> Self {
        let kind = |kind: holdfast_store::codec::Kind| key.starts_with(&kind.prefix());
        // Whoever is told of a crash is on record before the crash is: a crash that comes again is told once, and one
        // that is known is told no more.
        if [NOTICE, TICKET, SENDS].into_iter().any(kind) {
            return Self::Before;
        }
        if [records::SPEC, records::REPORT, records::CRASH, records::GROUP].into_iter().any(kind) {
            return Self::First;
        }
        if [records::CASE_STAT, records::BUILD_RUNS, records::OWNER].into_iter().any(kind) {
            return Self::Last;
        }
        let number = records::JOB.number_of(key).or_else(|| records::ENDED.number_of(key)).map(JobId);
        let job = number.or_else(|| records::ended_job(key).map(|(_, job)| job));
        let phone = records::PHONE.name_of(key).or_else(|| records::LEASE.name_of(key));
        let member = match (job, phone, BatchId::named(key)) {
            (Some(job), _, _) => groups.jobs.get(&job),
            (None, Some(udid), _) => groups.phones.get(udid),
            (None, None, Some(batch)) => groups.batches.get(&batch),
            (None, None, None) => None,
        };
        Self::Group(member.copied().unwrap_or(ASKED))
    }
}

/// Jobs and phones of a turn, and which of them stay together.
struct Groups {
    jobs: BTreeMap<JobId, usize>,
    phones: BTreeMap<String, usize>,
    /// Batches that are written in the turn.
    batches: BTreeMap<BatchId, usize>,
    /// For each member another one of its group with a smaller number; the smallest names itself.
    towards: Vec<usize>,
}

impl Groups {
    fn of(decisions: &[Decision], began: Option<Time>, batches: Vec<BatchId>) -> Self {
        let (jobs, phones, towards) = (BTreeMap::new(), BTreeMap::new(), vec![ASKED]);
        let mut groups = Self { jobs, phones, batches: BTreeMap::new(), towards };
        for batch in batches {
            let new = groups.new_member();
            groups.batches.insert(batch, new);
        }
        for decision in decisions {
            match decision {
                Decision::SaveJob(job) => groups.add_job(job, began),
                Decision::SavePhone(phone) => drop(groups.phone(&phone.facts.udid)),
                Decision::SaveOwner(_)
                | Decision::SaveCompare(_)
                | Decision::ForgetCompare(_)
                | Decision::KeepLateReport { .. }
                | Decision::Order { .. }
                | Decision::JobMoved(_)
                | Decision::PhoneChanged(_)
                | Decision::RackChanged(_)
                | Decision::WakeAt(_) => {}
            }
        }
        groups
    }

    fn add_job(&mut self, job: &JobRecord, began: Option<Time>) {
        let in_turn = |at: Time| began.is_none_or(|began| at >= began);
        let known = self.jobs.get(&job.id).copied();
        let member = known.unwrap_or_else(|| {
            let new = self.new_member();
            self.jobs.insert(job.id, new);
            new
        });
        if in_turn(job.submitted_at) {
            self.join(member, ASKED);
        }
        if let Some(batch) = self.batches.get(&BatchId::of(job.id)) {
            self.join(member, *batch);
        }
        for attempt in &job.attempts {
            if attempt.ended.as_ref().is_none_or(|ended| in_turn(ended.at)) {
                let phone = self.phone(&attempt.phone);
                self.join(member, phone);
            }
        }
    }

    fn phone(&mut self, udid: &Udid) -> usize {
        if let Some(known) = self.phones.get(udid.as_str()) {
            return *known;
        }
        let new = self.new_member();
        self.phones.insert(udid.as_str().to_owned(), new);
        new
    }

    fn new_member(&mut self) -> usize {
        self.towards.push(self.towards.len());
        self.towards.len() - 1
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.towards[one.max(other)] = one.min(other);
    }

    /// The group's smallest member.
    fn root(&mut self, mut member: usize) -> usize {
        while self.towards[member] != member {
            // Every look shortens the way of the next one.
            self.towards[member] = self.towards[self.towards[member]];
            member = self.towards[member];
        }
        member
    }
}
