//! What is done with a phone between attempts: clean it, read its facts, pair it, sweep its crash files; and how
//! an attempt that an end of the agent cut off is brought to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_attempt::{Current, Event, FailureKind, Launched, SweepStep, Taken, judge, plan};
use holdfast_device::{AskForTrust, Attachment, Fault, FaultKind, Phone};
use holdfast_wire::crash::{CrashFile, CrashOrigin};
use holdfast_wire::id::{BundleId, Udid};
use holdfast_wire::outcome::{AttemptEnd, Blame, StepName};
use holdfast_wire::phone::{Pairing, PhoneFacts, Readiness};
use tokio::time::Instant;

use super::perform::{kill_app, pull, store};
use super::wanted::Left;
use super::{GivesWay, PATIENCE, PhoneTask, Shared, Start};
use crate::config::Pair;
use crate::error::chain;
use crate::memory::State;

/// What a look at an idle phone brought.
struct Looked {
    facts: Option<PhoneFacts>,
    readiness: Readiness,
    reason: String,
    left: Swept,
}

/// What a sweep brought.
#[derive(Default)]
struct Swept {
    cleaned: Cleaned,
    deleted: Vec<CrashFile>,
    /// The whole list, when the phone gave one.
    listed: Option<Vec<CrashFile>>,
    /// It could not be all: there is more to take, and room for it.
    is_more: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Cleaned {
    Yes,
    #[default]
    No,
}

/// Everything a look needs; it owns it, so that it may be dropped at any moment.
struct Look<P> {
    phone: Arc<P>,
    shared: Arc<Shared>,
    dirty: Option<BundleId>,
    taken: Vec<Taken>,
    recent: Vec<Launched>,
    was: Readiness,
}

impl<P: Phone> PhoneTask<P> {
    /// One thing between attempts: a look at the phone when it is due, else a message.
    pub(super) async fn idle_turn(&mut self) {
        if self.plug.is_some() && Instant::now() >= self.due {
            return self.look().await;
        }
        let due = self.due;
        let is_here = self.plug.is_some();
        tokio::select! {
            message = self.inbox.recv() => {
                self.hear(message).await;
                self.tell_report().await;
            }
            () = tokio::time::sleep_until(due), if is_here => {}
        }
    }

    async fn look(&mut self) {
        self.looks_owed = self.looks_owed.saturating_sub(1);
        let Some(look) = self.new_look().await else { return };
        let work = tokio::time::timeout(self.look_limit(), look.run());
        let Some(looked) = self.while_hearing(work, GivesWay::ToOrders).await else { return };
        let config = &self.shared.config;
        let (facts_every, retry_every) = (config.facts_every, config.retry_every);
        match looked {
            Ok(looked) => {
                let is_fit = looked.readiness == Readiness::Ready;
                let every = if is_fit { facts_every } else { retry_every };
                self.due = self.next_look(looked.left.is_more, every);
                self.learn(looked.left);
                if let Some(facts) = looked.facts {
                    let is_first = self.memory.facts.is_none();
                    self.memory.facts = Some(self.own_facts(facts));
                    if is_first {
                        self.save();
                    }
                }
                self.set(looked.readiness, &looked.reason);
            }
            Err(_elapsed) => {
                self.due = Instant::now() + retry_every;
                self.set(Readiness::Recovering, "it did not answer in time; it is tried again");
            }
        }
        self.tell_report().await;
    }

    async fn new_look(&mut self) -> Option<Look<P>> {
        let mut taken = self.memory.taken();
        taken.extend(self.pending_files().await?);
        Some(Look {
            phone: Arc::clone(&self.plug.as_ref()?.phone),
            shared: Arc::clone(&self.shared),
            dirty: self.memory.dirty.clone(),
            taken,
            recent: self.memory.recent(),
            was: self.readiness.clone(),
        })
    }

    /// A look is as long as its parts.
    fn look_limit(&self) -> std::time::Duration {
        let settings = &self.shared.config.attempt;
        settings.check + settings.kill + settings.collect + PATIENCE
    }

    fn learn(&mut self, swept: Swept) {
        let before = (self.memory.dirty.clone(), self.memory.confirmed.len());
        if swept.cleaned == Cleaned::Yes {
            self.memory.dirty = None;
        }
        for file in &swept.deleted {
            self.memory.forget(file);
        }
        // What is no longer listed was deleted by somebody else, or moved under another name.
        if let Some(listed) = swept.listed {
            let mut left = listed.clone();
            left.retain(|file| !swept.deleted.contains(file));
            self.crash_files_listed(&left);
            self.memory.confirmed.retain(|known| listed.contains(&known.file));
        }
        if before != (self.memory.dirty.clone(), self.memory.confirmed.len()) {
            self.save();
        }
    }

    pub(super) fn save(&self) {
        if let Err(error) = self.memory.save(&self.shared.memory_folder) {
            tracing::error!(phone = %self.memory.phone, error = chain(&error), "its memory could not be written");
        }
    }

    /// Ends an attempt that was cut off: cleans and sweeps the phone when it is there, then reports.
    pub(super) async fn recover(&mut self) {
        let State::Running { attempt, lease, started_at } = self.memory.state.clone() else { return };
        if self.plug.is_some() {
            // One that is not here may be on another rack by now, which alone may speak for it.
            self.set(Readiness::Preparing, "it is cleaned after an attempt that was cut off");
        }
        self.tell_report().await;
        self.tell_lease().await;
        self.wait_for_phone().await;
        if let Some(look) = self.new_look().await {
            let work = tokio::time::timeout(self.look_limit(), look.sweep_after_attempt());
            if let Some(Ok(swept)) = self.while_hearing(work, GivesWay::ToTheBus).await {
                self.learn(swept);
            }
        }
        if self.over {
            return;
        }
        if self.shared.outbox.has_report(attempt, lease).await.unwrap_or(false) {
            // It had come to its end; only the note of it was lost.
            self.memory.note_end(attempt, self.shared.clock.now());
            self.memory.state = State::Idle;
            self.wanted.attempt_over(self.memory.lease, Left::Unfit);
            self.save();
            return self.tell_lease().await;
        }
        let reason = match &self.start {
            Start::Fresh => "the agent was restarted in the middle".to_owned(),
            Start::AfterPanic(words) => format!("the agent's part for this phone stopped: {words}"),
        };
        let end = AttemptEnd::Failed { blame: Blame::Rack, step: StepName::Clean, reason };
        let report = self.report(attempt, lease, started_at, end);
        self.hand_in(report).await;
    }

    async fn wait_for_phone(&mut self) {
        let until = Instant::now() + self.shared.config.attempt.return_grace;
        while self.plug.is_none() && !self.over && Instant::now() < until {
            let _either = self.while_hearing(tokio::time::sleep_until(until), GivesWay::ToTheBus).await;
        }
    }
}

impl<P: Phone> Look<P> {
    /// Cleans, reads, pairs, sweeps, judges.
    async fn run(self) -> Looked {
        let mut left = Swept::default();
        let facts = match self.facts().await {
            Ok(facts) => facts,
            Err(fault) => {
                let (readiness, reason) = readiness_of(&fault);
                return Looked { facts: None, readiness, reason, left };
            }
        };
        if facts.pairing != Pairing::Paired {
            let (readiness, reason) = judge(&facts, &self.shared.config.thresholds, &self.was);
            return Looked { facts: Some(facts), readiness, reason, left };
        }
        if let Err(fault) = self.clean(&mut left).await {
            let (readiness, reason) = readiness_of(&fault);
            return Looked { facts: Some(facts), readiness, reason, left };
        }
        if let Err(reason) = self.sweep(&mut left).await {
            return Looked { facts: Some(facts), readiness: Readiness::Recovering, reason, left };
        }
        let (readiness, reason) = judge(&facts, &self.shared.config.thresholds, &self.was);
        Looked { facts: Some(facts), readiness, reason, left }
    }

    async fn sweep_after_attempt(self) -> Swept {
        let mut left = Swept::default();
        if let Err(fault) = self.clean(&mut left).await {
            tracing::warn!(phone = %self.phone.udid(), error = chain(&fault), "it could not be cleaned yet");
        }
        if let Err(reason) = self.sweep(&mut left).await {
            tracing::warn!(phone = %self.phone.udid(), reason, "it could not be swept yet");
        }
        left
    }

    /// Facts, after asking for trust where that is allowed and needed.
    async fn facts(&self) -> Result<PhoneFacts, Fault> {
        let facts = self.phone.facts().await;
        let is_paired = match &facts {
            Ok(facts) => facts.pairing == Pairing::Paired,
            Err(fault) => fault.kind != FaultKind::NotPaired,
        };
        if is_paired {
            return facts;
        }
        let ask = match self.shared.config.pair {
            Pair::Ask => AskForTrust::Yes,
            Pair::Never => AskForTrust::No,
        };
        let pairing = self.phone.pairing(ask).await?;
        let facts = self.phone.facts().await;
        match facts {
            // Facts that were read in the clear may not know of the answer.
            Ok(facts) if pairing != Pairing::Paired => Ok(PhoneFacts { pairing, ..facts }),
            facts => facts,
        }
    }

    async fn clean(&self, left: &mut Swept) -> Result<(), Fault> {
        if let Some(app) = &self.dirty {
            kill_app(&*self.phone, app).await?;
            left.cleaned = Cleaned::Yes;
        }
        Ok(())
    }

    /// Deletes what the daemon has, takes what nobody knows.
    async fn sweep(&self, left: &mut Swept) -> Result<(), String> {
        let listed = self.phone.crash_files().await.map_err(|fault| chain(&fault))?;
        let mut takes = 0;
        for step in plan::sweep(&listed, &self.taken) {
            match step {
                SweepStep::Delete(file) => {
                    self.phone.delete_crash(&file).await.map_err(|fault| chain(&fault))?;
                    left.deleted.push(file);
                }
                SweepStep::Take(file) => {
                    takes += 1;
                    match self.take(file).await? {
                        Took::It => {}
                        // The others are safe on the phone, and the daemon makes room.
                        Took::NoRoom => break,
                    }
                }
            }
        }
        left.is_more = takes == plan::FILES_PER_SWEEP_MAX;
        left.listed = Some(listed);
        Ok(())
    }

    async fn take(&self, file: CrashFile) -> Result<Took, String> {
        let (crash, peek, bytes) = match pull(&*self.phone, &self.shared, &file).await {
            Ok(pulled) => pulled,
            Err(Event::Failed(failure)) if failure.kind == FailureKind::SpoolFull => return Ok(Took::NoRoom),
            Err(Event::Failed(failure)) => {
                // One file that cannot be read must not keep the phone from work.
                tracing::warn!(phone = %self.phone.udid(), path = file.path, reason = failure.reason, "a crash file could not be taken");
                return Ok(Took::It);
            }
            Err(_) => return Ok(Took::It),
        };
        let attempt = plan::attempt_of(&peek, Current::None, &self.recent);
        let origin = CrashOrigin {
            id: crash,
            phone: self.phone.udid().clone(),
            rack: self.shared.config.rack.clone(),
            path: file.path.clone(),
            size_bytes: file.size_bytes,
            collected_at: self.shared.clock.now(),
            attempt,
            case: attempt.and_then(|attempt| plan::case_of(&peek, attempt, &self.recent)),
        };
        match store(&self.shared, file, origin, Some(bytes)).await {
            Event::Failed(failure) => Err(failure.reason),
            _ => Ok(Took::It),
        }
    }
}

/// What came of taking one file.
enum Took {
    /// It waits for the daemon, or can't be read.
    It,
    /// The rack keeps enough of this phone.
    NoRoom,
}

/// What a phone that cannot be read is, and why.
fn readiness_of(fault: &Fault) -> (Readiness, String) {
    let readiness = match &fault.kind {
        FaultKind::Gone => Readiness::Preparing,
        FaultKind::NotPaired | FaultKind::Locked | FaultKind::NoRoom | FaultKind::ServiceMissing { .. } => {
            Readiness::NeedsHands
        }
        FaultKind::Silent { .. }
        | FaultKind::AppRefused { .. }
        | FaultKind::AppMissing
        | FaultKind::FileMissing
        | FaultKind::Protocol { .. }
        | FaultKind::Bus { .. }
        | FaultKind::Disk { .. }
        | FaultKind::Panicked { .. } => Readiness::Recovering,
    };
    (readiness, chain(fault))
}

/// All that can be said of a phone that has told nothing yet. None where even that has no words.
pub fn facts_unknown(phone: &Udid, attachment: Option<&Attachment>) -> Option<PhoneFacts> {
    let slot =
        attachment.map_or_else(|| "unknown".parse().ok(), |attachment| Some(attachment.slot.clone()))?;
    Some(PhoneFacts {
        udid: phone.clone(),
        name: String::new(),
        product_type: "unknown".to_owned(),
        model: "unknown".to_owned(),
        chip: None,
        region: None,
        os_version: "0".parse().ok()?,
        os_build: String::new(),
        slot,
        labels: Vec::new(),
        battery: None,
        storage: None,
        pairing: Pairing::Unpaired,
        passcode_locked: false,
        developer_mode: None,
        usb_speed_bps: attachment.and_then(|attachment| attachment.speed_bps),
        apps: Vec::new(),
        crash_files_waiting: BTreeMap::new(),
        crash_limits: Vec::new(),
        clock_offset_ms: None,
        simulated: false,
    })
}
