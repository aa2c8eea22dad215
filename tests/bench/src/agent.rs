//! A light agent: speaks the agents' protocol as a real one does, one request under way at a time, news of its own
//! dropping the request that waits; behind it are no phones, only the answer that a plan gives to every order.
//! It reads of each answer only what it needs.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use holdfast_wire::sync::{ENTRIES_PER_SYNC_MAX, PROTOCOL};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::http::Http;
use crate::phones::Phone;

/// How long the daemon may hold an answer back, as real agents allow it.
const POLL: Duration = Duration::from_secs(20);

/// How often a daemon that does not answer is tried again: a restart is measured to this.
const RETRY: Duration = Duration::from_millis(2);

/// How long a daemon may be away before the measurement is given up.
const AWAY_MAX: Duration = Duration::from_secs(180);

/// What agents have seen and nobody has looked at yet, at most.
pub const SEEN_MAX: usize = 65_536;

/// Orders to one agent that wait, at most: one for each of its phones, twice.
const TOLD_MAX: usize = 512;

/// What an agent does with an attempt that it is told to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is over at once.
    EndAtOnce,
    /// It is over after so long.
    EndAfter(Duration),
    /// It runs until [`Agent::end`].
    WhenTold,
}

/// Whether an agent begins what was staged ahead by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// It waits for the order.
    Ignored,
    /// It begins as soon as the attempt before is over.
    Obeyed,
}

/// What an agent is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The rack's name.
    pub rack: String,
    /// Its phones.
    pub phones: Vec<Phone>,
    /// The number of its first phone among all phones.
    pub first: usize,
    /// What it does with attempts.
    pub manner: Manner,
    /// What it does with what is staged.
    pub staging: Staging,
}

/// What happened at an agent.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// The phone, by its number among all.
    pub phone: usize,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// An attempt of this job begins.
    Run {
        /// The job's number.
        job: u64,
        /// How long the phone had been free; none for its first.
        gap: Option<Duration>,
        /// Whether it lay ready here.
        staged: bool,
    },
    /// The phone is to be given up.
    Yield,
    /// The daemon has the end of an attempt on disk.
    Confirmed,
}

/// A running agent. Dropping it ends it.
#[derive(Debug)]
pub struct Agent {
    tell: mpsc::Sender<usize>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Agent {
    /// Starts an agent of the daemon at this address.
    pub fn start(address: SocketAddr, plan: Plan, seen: mpsc::Sender<Seen>) -> Self {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let task = tokio::spawn(Life::new(address, plan, seen, told).run());
        Self { tell, task }
    }

    /// Ends what runs on a phone, by its number among all.
    ///
    /// # Errors
    /// The agent has ended.
    pub async fn end(&self, phone: usize) -> anyhow::Result<()> {
        self.tell.send(phone).await.context("the light agent has ended")
    }

    /// Why it ended, when it did; a light agent ends by itself only in trouble.
    pub async fn trouble(&mut self) -> Option<anyhow::Error> {
        if !self.task.is_finished() {
            return None;
        }
        match (&mut self.task).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(error) => Some(error.into()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Request and answer, as far as a light agent needs them.
#[derive(Serialize)]
struct Request<'a> {
    protocol: u32,
    rack: &'a str,
    agent_start: &'a str,
    number: u64,
    agent_version: &'a str,
    daemon_start: Option<&'a str>,
    orders_seen: u64,
    phones_version: u64,
    phones: Vec<&'a Value>,
    held: Vec<Held<'a>>,
    idle: Vec<Idle<'a>>,
    entries: Vec<&'a RawValue>,
    progress: [(); 0],
    wait_ms: u64,
}

#[derive(Serialize)]
struct Held<'a> {
    phone: &'a str,
    lease: u64,
    attempt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<u64>,
}

#[derive(Serialize)]
struct Idle<'a> {
    phone: &'a str,
    obeyed: u64,
}

#[derive(Deserialize)]
struct Reply {
    daemon_start: String,
    orders_version: u64,
    orders: Vec<PhoneOrder>,
    phones_seen: u64,
    confirmed: Vec<String>,
    refused: Vec<Value>,
}

#[derive(Deserialize)]
struct PhoneOrder {
    phone: String,
    order: Order,
    #[serde(default)]
    next: Option<Attempt>,
    #[serde(default)]
    withdrawn: Option<u64>,
}

/// All kinds of orders in one shape: reading a tagged enum would copy the whole of it first.
#[derive(Deserialize)]
struct Order {
    order: Kind,
    #[serde(default)]
    through: u64,
    #[serde(default)]
    lease: u64,
    work: Option<Work>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Rest,
    Run,
    Yield,
}

#[derive(Deserialize)]
struct Attempt {
    lease: u64,
    work: Work,
}

#[derive(Deserialize)]
struct Work {
    attempt: String,
}

/// How an attempt ended.
#[derive(Clone, Copy)]
enum End {
    Passed,
    Revoked,
    Yielded,
}

struct Seat {
    phone: Phone,
    obeyed: u64,
    running: Option<Attempt>,
    next: Option<Attempt>,
    /// Staged attempts up to this lease were taken back, and whether the daemon has been told that they will not begin.
    withdrawn: u64,
    is_told: bool,
    free_since: Option<Instant>,
}

struct Entry {
    id: String,
    seat: usize,
    json: Box<RawValue>,
}

struct Life {
    http: Http,
    rack: String,
    agent_start: String,
    first: usize,
    manner: Manner,
    staging: Staging,
    seats: Vec<Seat>,
    by_udid: HashMap<String, usize>,
    entries: VecDeque<Entry>,
    entries_made: u64,
    due: VecDeque<(Instant, usize, u64)>,
    number: u64,
    daemon_start: Option<String>,
    orders_seen: u64,
    phones_seen: u64,
    seen: mpsc::Sender<Seen>,
    told: mpsc::Receiver<usize>,
}

impl Life {
    fn new(address: SocketAddr, plan: Plan, seen: mpsc::Sender<Seen>, told: mpsc::Receiver<usize>) -> Self {
        let seat = |phone: Phone| Seat {
            phone,
            obeyed: 0,
            running: None,
            next: None,
            withdrawn: 0,
            is_told: true,
            free_since: None,
        };
        let seats: Vec<Seat> = plan.phones.into_iter().map(seat).collect();
        let by_udid =
            seats.iter().enumerate().map(|(place, seat)| (seat.phone.udid.clone(), place)).collect();
        let born = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            http: Http::new(address),
            agent_start: format!("{}-{:x}", plan.rack, born.as_nanos()),
            rack: plan.rack,
            first: plan.first,
            manner: plan.manner,
            staging: plan.staging,
            seats,
            by_udid,
            entries: VecDeque::new(),
            entries_made: 0,
            due: VecDeque::new(),
            number: 0,
            daemon_start: None,
            orders_seen: 0,
            phones_seen: 0,
            seen,
            told,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut away_since: Option<Instant> = None;
        loop {
            while let Ok(phone) = self.told.try_recv() {
                self.end_told(phone).await?;
            }
            self.end_due().await?;
            let news = self.daemon_start.is_none()
                || self.phones_seen == 0
                || !self.entries.is_empty()
                || self.seats.iter().any(|seat| !seat.is_told);
            let body = self.request(if news { Duration::ZERO } else { POLL })?;
            let mut ended = None;
            let answer = if news {
                Some(self.http.post("/agent/v1/sync", &body).await)
            } else {
                let due = self.due.front().map(|(at, ..)| *at);
                tokio::select! {
                    answer = self.http.post("/agent/v1/sync", &body) => Some(answer),
                    phone = self.told.recv() => match phone {
                        Some(phone) => { ended = Some(phone); None }
                        None => return Ok(()),
                    },
                    () = until(due) => None,
                }
            };
            if let Some(phone) = ended {
                self.end_told(phone).await?;
            }
            match answer {
                None => {}
                Some(Ok(answer)) if answer.status == 200 => {
                    away_since = None;
                    let at = Instant::now();
                    self.take(at, &answer.body).await?;
                }
                Some(Ok(answer)) => {
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    bail!("the daemon answered a sync with {}: {text}", answer.status);
                }
                Some(Err(error)) => {
                    if away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX {
                        return Err(error.context("the daemon stays away"));
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn request(&mut self, wait: Duration) -> anyhow::Result<Vec<u8>> {
        self.number += 1;
        let phones = if self.phones_seen == 0 { self.seats.iter() } else { [].iter() };
        let held = self.seats.iter().filter_map(|seat| {
            let running = seat.running.as_ref()?;
            Some(Held {
                phone: &seat.phone.udid,
                lease: running.lease,
                attempt: &running.work.attempt,
                withdrawn: Some(seat.withdrawn).filter(|withdrawn| *withdrawn > running.lease),
            })
        });
        let waits = |place: usize| self.entries.iter().any(|entry| entry.seat == place);
        let idle =
            self.seats.iter().enumerate().filter(|(place, seat)| seat.running.is_none() && !waits(*place));
        let request = Request {
            protocol: PROTOCOL,
            rack: &self.rack,
            agent_start: &self.agent_start,
            number: self.number,
            agent_version: env!("CARGO_PKG_VERSION"),
            daemon_start: self.daemon_start.as_deref(),
            orders_seen: self.orders_seen,
            phones_version: 1,
            phones: phones.map(|seat| &seat.phone.report).collect(),
            held: held.collect(),
            idle: idle.map(|(_, seat)| Idle { phone: &seat.phone.udid, obeyed: seat.obeyed }).collect(),
            entries: self.entries.iter().take(ENTRIES_PER_SYNC_MAX).map(|entry| &*entry.json).collect(),
            progress: [],
            wait_ms: u64::try_from(wait.as_millis())?,
        };
        serde_json::to_vec(&request).context("a request has a JSON form")
    }

    async fn take(&mut self, at: Instant, body: &[u8]) -> anyhow::Result<()> {
        let reply: Reply = serde_json::from_slice(body).context("the answer is not as expected")?;
        if let Some(refused) = reply.refused.first() {
            bail!("the daemon refused an entry: {refused}");
        }
        let restarted = self.daemon_start.as_ref().is_some_and(|start| *start != reply.daemon_start);
        self.phones_seen = if restarted { 0 } else { reply.phones_seen };
        self.daemon_start = Some(reply.daemon_start);
        self.orders_seen = reply.orders_version;
        self.seats.iter_mut().for_each(|seat| seat.is_told = true);
        for id in &reply.confirmed {
            // Entries are confirmed in the order in which they were said, but for what the daemon could not take yet.
            if let Some(place) = self.entries.iter().position(|entry| entry.id == *id)
                && let Some(entry) = self.entries.remove(place)
            {
                self.show(at, entry.seat, What::Confirmed).await?;
            }
        }
        for order in reply.orders {
            self.obey(at, order).await?;
        }
        Ok(())
    }

    async fn obey(&mut self, at: Instant, order: PhoneOrder) -> anyhow::Result<()> {
        let place = *self.by_udid.get(&order.phone).context("an order names a phone of this rack")?;
        let lease_now = |seat: &Seat| seat.running.as_ref().map(|running| running.lease);
        match order.order {
            Order { order: Kind::Run, lease, work: Some(work), .. } if lease > self.seats[place].obeyed => {
                self.begin(at, place, Attempt { lease, work }, false).await?;
            }
            Order { order: Kind::Run, .. } => {}
            Order { order: Kind::Rest, through, .. } => {
                let revoked = lease_now(&self.seats[place]).is_some_and(|lease| lease <= through);
                self.seats[place].obeyed = self.seats[place].obeyed.max(through);
                if revoked {
                    self.end(at, place, End::Revoked).await?;
                }
            }
            Order { order: Kind::Yield, lease, .. } => {
                if lease_now(&self.seats[place]) == Some(lease) {
                    self.show(at, place, What::Yield).await?;
                    self.seats[place].next = None;
                    self.end(at, place, End::Yielded).await?;
                }
            }
        }
        if self.staging == Staging::Obeyed {
            let seat = &mut self.seats[place];
            if let Some(withdrawn) = order.withdrawn.filter(|withdrawn| *withdrawn > seat.withdrawn) {
                (seat.withdrawn, seat.is_told) = (withdrawn, false);
            }
            let after = seat.obeyed.max(seat.withdrawn);
            seat.next = order.next.filter(|next| next.lease > after);
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        at: Instant,
        place: usize,
        attempt: Attempt,
        staged: bool,
    ) -> anyhow::Result<()> {
        let job = job_of(&attempt.work.attempt)?;
        let seat = &mut self.seats[place];
        let gap = seat.free_since.take().map(|since| at.saturating_duration_since(since));
        seat.obeyed = attempt.lease;
        let lease = attempt.lease;
        seat.running = Some(attempt);
        self.show(at, place, What::Run { job, gap, staged }).await?;
        match self.manner {
            // By the queue and not by calling: what is staged would go ever deeper.
            Manner::EndAtOnce => self.due.push_back((at, place, lease)),
            Manner::EndAfter(span) => self.due.push_back((at + span, place, lease)),
            Manner::WhenTold => {}
        }
        Ok(())
    }

    async fn end_told(&mut self, phone: usize) -> anyhow::Result<()> {
        self.end(Instant::now(), phone - self.first, End::Passed).await
    }

    async fn end_due(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        while let Some((_, place, lease)) = self.due.pop_front_if(|(at, ..)| *at <= now) {
            if self.seats[place].running.as_ref().is_some_and(|running| running.lease == lease) {
                self.end(now, place, End::Passed).await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self, at: Instant, place: usize, end: End) -> anyhow::Result<()> {
        let seat = &mut self.seats[place];
        let Some(running) = seat.running.take() else { return Ok(()) };
        seat.free_since = Some(at);
        self.entries_made += 1;
        let id = format!("{}-{}", self.agent_start, self.entries_made);
        let json = entry(&id, &seat.phone.udid, &running, end)?;
        let next = seat.next.take();
        self.entries.push_back(Entry { id, seat: place, json });
        if let Some(next) = next {
            self.begin(at, place, next, true).await?;
        }
        Ok(())
    }

    async fn show(&self, at: Instant, place: usize, what: What) -> anyhow::Result<()> {
        let seen = Seen { at, phone: self.first + place, what };
        self.seen.send(seen).await.context("nobody looks at this agent any more")
    }
}

/// Written out, because a tree of values costs more than everything else that a light agent does.
fn entry(id: &str, phone: &str, running: &Attempt, end: End) -> anyhow::Result<Box<RawValue>> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = holdfast_wire::time::Time::from_unix_ms(i64::try_from(now.as_millis())?);
    let end = match end {
        End::Passed => r#"{"ended":"passed"}"#,
        End::Revoked => r#"{"ended":"revoked"}"#,
        End::Yielded => r#"{"ended":"yielded","cases_done":0,"failure":null}"#,
    };
    let (attempt, lease) = (&running.work.attempt, running.lease);
    // Names have no characters that JSON writes otherwise.
    let report = format!(
        r#"{{"attempt":"{attempt}","phone":"{phone}","lease":{lease},"end":{end},"cases":[],"crashes":[],"started_at":"{now}","ended_at":"{now}"}}"#
    );
    let json = format!(r#"{{"id":"{id}","what":{{"item":"attempt_ended","report":{report}}}}}"#);
    RawValue::from_string(json).context("an entry is JSON")
}

/// The number of the job that an attempt (`J17.2`) belongs to.
fn job_of(attempt: &str) -> anyhow::Result<u64> {
    let attempt: holdfast_wire::id::AttemptId = attempt.parse().context("an order names its attempt")?;
    Ok(attempt.job.0)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_wire::sync::{Order as WireOrder, OutboxEntry, SyncReply};

    use super::*;

    #[test]
    fn what_a_light_agent_says_is_what_the_daemon_reads() {
        let running = Attempt { lease: 3, work: Work { attempt: "J17.2".to_owned() } };
        for end in [End::Passed, End::Revoked, End::Yielded] {
            let json = entry("e-1", "00008110-0", &running, end).unwrap();
            let read: OutboxEntry = serde_json::from_str(json.get()).unwrap();
            assert_eq!(read.id.as_str(), "e-1");
        }
    }

    #[test]
    fn what_the_daemon_writes_is_what_a_light_agent_reads() {
        let order = r#"{"order":"rest","through":7}"#;
        let _known: WireOrder = serde_json::from_str(order).unwrap();
        let reply = format!(
            r#"{{"daemon_start":"d","now":"2026-01-01T00:00:00Z","orders_version":4,
                "orders":[{{"phone":"p","order":{order}}}],"phones_seen":1,"confirmed":["e"],"refused":[]}}"#
        );
        let _known: SyncReply = serde_json::from_str(&reply).unwrap();
        let read: Reply = serde_json::from_str(&reply).unwrap();
        assert!(matches!(read.orders[0].order, Order { order: Kind::Rest, through: 7, .. }));
    }
}
