//! The one owner: which phones are here, which lease each obeys, what the daemon is told of them. It starts one
//! task per phone and starts it anew when it stops; what a task does is `phone`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_device::{Attachment, Finder, FinderEvent};
use holdfast_wire::id::{LeaseNumber, Udid};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{AttemptProgress, HeldLease, IdlePhone, Order, PhoneOrder, SyncReply, Version};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use crate::link::{Heard, Voice};
use crate::memory::Memory;
use crate::outbox::Settled;
use crate::phone::{News, PhoneMessage, PhoneTask, Shared, Start};

/// Messages that wait for one phone's task, which always listens: more means that it is stuck.
const PHONE_MAILBOX: usize = 256;

/// Messages of all phones that wait for the rack.
pub const NEWS_MAILBOX: usize = 1024;

/// How long a phone's mailbox may stay full before its task is given up.
const MAILBOX_PATIENCE: Duration = Duration::from_secs(5);

/// How long the last results may take to reach the daemon after a drain; they are safe on disk anyway.
const FAREWELL: Duration = Duration::from_secs(15);

/// Whether the agent goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It works.
    Working,
    /// It finishes the attempts that run, and takes no more.
    Draining,
}

/// The owner of the phones.
pub struct Rack<F: Finder> {
    finder: F,
    shared: Arc<Shared>,
    phones: BTreeMap<Udid, Entry<F::Phone>>,
    tasks: JoinSet<()>,
    names: BTreeMap<Id, Udid>,
    /// Handed to every phone's task.
    tell: mpsc::Sender<(Udid, News)>,
    news: mpsc::Receiver<(Udid, News)>,
    heard: mpsc::Receiver<Heard>,
    voice: watch::Sender<Arc<Voice>>,
    version: Version,
    phase: watch::Receiver<Phase>,
}

struct Entry<P> {
    mailbox: mpsc::Sender<PhoneMessage<P>>,
    task: AbortHandle,
    attachment: Option<Attachment>,
    report: Option<(Version, PhoneReport)>,
    lease: LeaseNumber,
    held: Option<HeldLease>,
    /// An order that is on its way to the task: it is held from now on, so that the daemon is told.
    ordered: Option<HeldLease>,
    /// What the daemon said last: a task that starts anew may not have heard it.
    said: Option<PhoneOrder>,
    progress: Option<AttemptProgress>,
}

impl<F: Finder> Rack<F> {
    /// With everything remembered, and a task for each phone of it.
    pub fn new(
        finder: F,
        shared: Arc<Shared>,
        memories: Vec<Memory>,
        heard: mpsc::Receiver<Heard>,
        voice: watch::Sender<Arc<Voice>>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let (tell, news) = mpsc::channel(NEWS_MAILBOX);
        let mut rack = Self {
            finder,
            shared,
            phones: BTreeMap::new(),
            tasks: JoinSet::new(),
            names: BTreeMap::new(),
            tell,
            news,
            heard,
            voice,
            version: Version::default(),
            phase,
        };
        for memory in memories {
            rack.start(memory, Start::Fresh, None);
        }
        rack.publish();
        rack
    }

    /// Works until it has drained, or until everybody else has ended.
    pub async fn run(mut self) {
        let mut waiting = self.shared.outbox.waiting();
        let mut farewell = None;
        let mut draining = *self.phase.borrow() == Phase::Draining;
        loop {
            let rests = self.phones.values().all(|entry| entry.held.is_none() && entry.ordered.is_none());
            if draining && rests {
                let until = *farewell.get_or_insert_with(|| Instant::now() + FAREWELL);
                if waiting.borrow_and_update().all == 0 {
                    return;
                }
                if Instant::now() >= until {
                    tracing::warn!("results wait on disk; the daemon gets them when the agent runs again");
                    return;
                }
            }
            tokio::select! {
                event = self.finder.next() => self.happened(event).await,
                Some((udid, news)) = self.news.recv() => self.told(&udid, news),
                heard = self.heard.recv() => match heard {
                    Some(Heard { reply, own }) => {
                        self.obey(reply).await;
                        self.publish();
                        // The link that asked is gone only when the agent ends.
                        let _gone = own.send(());
                    }
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.task_ended(ended).await,
                Ok(()) = waiting.changed(), if farewell.is_some() => {}
                () = tokio::time::sleep_until(farewell.unwrap_or_else(Instant::now)), if farewell.is_some() => {}
                changed = self.phase.changed(), if !draining => {
                    draining = changed.is_err() || *self.phase.borrow() == Phase::Draining;
                    if draining {
                        let phones: Vec<Udid> = self.phones.keys().cloned().collect();
                        for udid in phones {
                            self.send(&udid, PhoneMessage::Drain).await;
                        }
                    }
                }
            }
            self.publish();
        }
    }

    async fn happened(&mut self, event: FinderEvent) {
        match event {
            FinderEvent::Attached(attachment) => {
                tracing::info!(phone = %attachment.udid, slot = %attachment.slot, "attached");
                self.ensure(&attachment.udid);
                self.plug_in(attachment).await;
            }
            FinderEvent::Detached { udid, number } => {
                tracing::info!(phone = %udid, "detached");
                self.unplug(&udid, Some(number)).await;
            }
            FinderEvent::BusLost { reason } => {
                tracing::warn!(reason, "usbmuxd is away");
                let here: Vec<Udid> = self.phones.keys().cloned().collect();
                for udid in here {
                    self.unplug(&udid, None).await;
                }
            }
            FinderEvent::BusFound => tracing::info!("usbmuxd is back"),
        }
    }

    async fn plug_in(&mut self, attachment: Attachment) {
        match self.finder.open(&attachment) {
            Ok(phone) => {
                if let Some(entry) = self.phones.get_mut(&attachment.udid) {
                    entry.attachment = Some(attachment.clone());
                }
                let udid = attachment.udid.clone();
                self.send(&udid, PhoneMessage::Attached { phone: Arc::new(phone), attachment }).await;
            }
            // Gone again already: the finder says so next.
            Err(error) => tracing::warn!(phone = %attachment.udid, %error, "a phone could not be opened"),
        }
    }

    async fn unplug(&mut self, udid: &Udid, number: Option<u64>) {
        let Some(entry) = self.phones.get_mut(udid) else { return };
        let is_this = |attachment: &mut Attachment| number.is_none_or(|number| attachment.number == number);
        if entry.attachment.take_if(is_this).is_some() {
            self.send(udid, PhoneMessage::Detached).await;
        }
    }

    fn told(&mut self, udid: &Udid, news: News) {
        let Some(entry) = self.phones.get_mut(udid) else { return };
        match news {
            News::Report(report) => {
                if entry.report.as_ref().is_none_or(|(_, told)| told != report.as_ref()) {
                    self.version = Version(self.version.0 + 1);
                    entry.report = Some((self.version, *report));
                }
            }
            News::Lease { lease, held } => {
                entry.lease = entry.lease.max(lease);
                entry.held = held;
                let obeyed = entry.lease;
                entry.ordered.take_if(|ordered| ordered.lease <= obeyed);
            }
            News::Progress(progress) => entry.progress = progress,
        }
    }

    /// Orders first: phones wait for them, and nobody waits for the rest.
    async fn obey(&mut self, reply: SyncReply) {
        for order in reply.orders {
            self.ensure(&order.phone);
            self.order(order).await;
        }
        for refused in reply.refused {
            self.shared.outbox.refuse(refused.id, refused.reason).await;
        }
        if reply.confirmed.is_empty() {
            return;
        }
        let settled = self.shared.outbox.settle(reply.confirmed).await.unwrap_or_default();
        let mut by_phone: BTreeMap<Udid, Vec<Settled>> = BTreeMap::new();
        for one in settled {
            by_phone.entry(one.phone.clone()).or_default().push(one);
        }
        for (udid, settled) in by_phone {
            self.ensure(&udid);
            self.send(&udid, PhoneMessage::Confirmed(settled)).await;
        }
    }

    async fn order(&mut self, order: PhoneOrder) {
        let phone = order.phone.clone();
        let Some(entry) = self.phones.get_mut(&phone) else { return };
        let begins = match &order.order {
            Order::Rest { .. } => None,
            Order::Run { lease, work } => Some((*lease, work.attempt)),
            Order::Yield { lease, attempt, .. } => Some((*lease, *attempt)),
        };
        if let Some((lease, attempt)) = begins.filter(|(lease, _)| *lease > entry.lease) {
            entry.ordered = Some(HeldLease { phone: phone.clone(), lease, attempt, withdrawn: None });
        }
        entry.said = Some(order.clone());
        self.send(&phone, PhoneMessage::Order(order)).await;
    }

    fn ensure(&mut self, udid: &Udid) {
        if !self.phones.contains_key(udid) {
            self.start(Memory::new(udid.clone()), Start::Fresh, None);
        }
    }

    /// Starts a phone's task. `before` is the entry of the one that stopped.
    fn start(&mut self, memory: Memory, start: Start, before: Option<Entry<F::Phone>>) {
        let udid = memory.phone.clone();
        let (mailbox, inbox) = mpsc::channel(PHONE_MAILBOX);
        let held = memory.held();
        let lease = memory.lease;
        let drains = *self.phase.borrow() == Phase::Draining;
        let ends = (mailbox.downgrade(), inbox);
        let task = PhoneTask::new(memory, start, drains, Arc::clone(&self.shared), ends, self.tell.clone());
        let task = self.tasks.spawn(task.run());
        self.names.insert(task.id(), udid.clone());
        let (attachment, report, said) =
            before.map_or((None, None, None), |entry| (entry.attachment, entry.report, entry.said));
        let entry =
            Entry { mailbox, task, attachment, report, lease, held, ordered: None, said, progress: None };
        self.phones.insert(udid, entry);
    }

    /// A task that ended panicked or was given up. Its phone starts anew from what is on disk.
    async fn task_ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(udid) = self.names.remove(&id) else { return };
        let Some(entry) = self.phones.remove(&udid) else { return };
        let words = ended.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
        tracing::error!(phone = %udid, words, "the task of a phone stopped; it is started anew");
        let memory = Memory::load(&self.shared.memory_folder, &udid)
            .inspect_err(|error| tracing::error!(phone = %udid, %error, "its memory could not be read"))
            .unwrap_or_else(|_| Memory::new(udid.clone()));
        let attachment = entry.attachment.clone();
        self.start(memory, Start::AfterPanic(words), Some(entry));
        if let Some(attachment) = attachment
            && let Ok(phone) = self.finder.open(&attachment)
        {
            self.send(&udid, PhoneMessage::Attached { phone: Arc::new(phone), attachment }).await;
        }
        if let Some(order) = self.phones.get(&udid).and_then(|entry| entry.said.clone()) {
            self.order(order).await;
        }
    }

    async fn send(&mut self, udid: &Udid, message: PhoneMessage<F::Phone>) {
        let Some(entry) = self.phones.get(udid) else { return };
        if tokio::time::timeout(MAILBOX_PATIENCE, entry.mailbox.send(message)).await.is_err() {
            tracing::error!(phone = %udid, "the task of a phone does not listen; it is given up");
            entry.task.abort();
        }
    }

    fn publish(&self) {
        let phones =
            self.phones.iter().filter_map(|(udid, entry)| Some((udid.clone(), entry.report.clone()?)));
        let held =
            self.phones.values().filter_map(|entry| entry.ordered.clone().or_else(|| entry.held.clone()));
        let rests = |entry: &Entry<F::Phone>| entry.held.is_none() && entry.ordered.is_none();
        let idle = self.phones.iter().filter(|(_, entry)| rests(entry));
        let voice = Voice {
            version: self.version,
            phones: phones.collect(),
            held: held.collect(),
            idle: idle.map(|(udid, entry)| IdlePhone { phone: udid.clone(), obeyed: entry.lease }).collect(),
            progress: self.phones.values().filter_map(|entry| entry.progress.clone()).collect(),
        };
        self.voice.send_if_modified(|said| {
            let changed = **said != voice;
            if changed {
                *said = Arc::new(voice);
            }
            changed
        });
    }
}
