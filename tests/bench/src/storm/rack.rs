//! A rack of the farm with a past: it ends attempts as soon as they begin, and carries crash files as real agents do,
//! bytes first, then the entry that names them, until the entry is confirmed. Confirmations get lost on the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use holdfast_wire::crash::CrashOrigin;
use holdfast_wire::id::{AttemptId, BlobHash, BuildHash, CrashId, LeaseNumber, RackId, StartId, Udid};
use holdfast_wire::outcome::{AttemptEnd, AttemptReport, CaseResult};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{
    IdlePhone, Order, OutboxEntry, OutboxItem, PROTOCOL, SyncReply, SyncRequest, Version, Work,
};
use holdfast_wire::time::Time;
use serde_json::json;

use super::reports::File;
use crate::http::Http;

/// Files that go up at the same time, as real agents have it.
const UPLOADS_AT_ONCE: usize = 4;

/// How often an entry is said before the daemon is given up.
const SAID_MAX: usize = 20;

/// How long a request that is given up half-way is on its way: the daemon has begun with it by then.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(3);

/// How long the daemon may hold an answer back while attempts are waited for.
const POLL_MS: u64 = 200;

/// A rack.
#[derive(Debug)]
pub struct Rack {
    http: Http,
    uploads: Vec<Http>,
    rack: RackId,
    start: StartId,
    number: u64,
    daemon_start: Option<StartId>,
    orders_seen: Version,
    phones: Vec<PhoneReport>,
    obeyed: BTreeMap<Udid, LeaseNumber>,
    entries_made: u64,
    /// The last attempt of each build that ran here, and its phone.
    ran: BTreeMap<BuildHash, (AttemptId, Udid)>,
}

/// How the first confirmation of some files gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The answer comes and is forgotten: the agent died.
    Forgotten,
    /// The request is given up before its answer: the connection broke.
    GivenUp,
}

impl Rack {
    /// A rack of these phones that has said nothing yet.
    ///
    /// # Errors
    /// Its name is no name.
    pub fn new(address: SocketAddr, name: &str, phones: Vec<PhoneReport>) -> anyhow::Result<Self> {
        Ok(Self {
            http: Http::new(address),
            uploads: (0..UPLOADS_AT_ONCE).map(|_| Http::new(address)).collect(),
            rack: name.parse().context("a rack has a good name")?,
            start: format!("{name}-start").parse().context("a start has a good name")?,
            number: 0,
            daemon_start: None,
            orders_seen: Version(0),
            obeyed: phones.iter().map(|phone| (phone.facts.udid.clone(), LeaseNumber::default())).collect(),
            phones,
            entries_made: 0,
            ran: BTreeMap::new(),
        })
    }

    /// Whether an attempt with this build ran here.
    pub fn has_tested(&self, build: &BuildHash) -> bool {
        self.ran.contains_key(build)
    }

    /// Runs what it is told to until it has heard of nothing new for so long; each attempt is over at once. Gives the
    /// attempts that it ran.
    ///
    /// # Errors
    /// The daemon fails.
    pub async fn work(&mut self, quiet: Duration) -> anyhow::Result<usize> {
        let (mut ended, mut entries) = (0, Vec::new());
        let mut heard = std::time::Instant::now();
        loop {
            let reply = self.say(&entries, if entries.is_empty() { POLL_MS } else { 0 }).await?;
            entries.clear();
            for order in reply.orders {
                let Order::Run { lease, work } = order.order else { continue };
                let before = self.obeyed.insert(order.phone.clone(), lease);
                if before.is_none_or(|before| before < lease) {
                    entries.push(self.ended(order.phone, lease, &work)?);
                }
            }
            ended += entries.len();
            if !entries.is_empty() {
                heard = std::time::Instant::now();
            } else if heard.elapsed() > quiet {
                return Ok(ended);
            }
        }
    }

    /// Carries files to the daemon, and their entries until they are confirmed: the first confirmation is lost in one
    /// way or the other, and everything is offered once more.
    ///
    /// # Errors
    /// The daemon fails, refuses one, or never confirms.
    pub async fn carry(
        &mut self,
        files: &[(File, Option<BuildHash>)],
        loss: Loss,
    ) -> anyhow::Result<Vec<CrashId>> {
        let ids = self.put_all(files).await?;
        let mut entries = Vec::with_capacity(files.len());
        for (id, (file, build)) in ids.iter().zip(files) {
            entries.push(self.taken(*id, file, *build)?);
        }
        match loss {
            Loss::Forgotten => drop(self.say(&entries, 0).await?),
            Loss::GivenUp => drop(tokio::time::timeout(GIVEN_UP_AFTER, self.say(&entries, 0)).await),
        }
        self.put_all(files).await?;
        for _ in 0..SAID_MAX {
            let reply = self.say(&entries, 0).await?;
            entries.retain(|entry| !reply.confirmed.contains(&entry.id));
            if entries.is_empty() {
                return Ok(ids);
            }
        }
        bail!("{} entries were said {SAID_MAX} times and never confirmed", entries.len())
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// The daemon is away or refuses something.
    pub async fn say(&mut self, entries: &[OutboxEntry], wait_ms: u64) -> anyhow::Result<SyncReply> {
        self.number += 1;
        let ends = |phone: &Udid| {
            entries.iter().any(
                |entry| matches!(&entry.what, OutboxItem::AttemptEnded { report } if report.phone == *phone),
            )
        };
        let idle = self.obeyed.iter().filter(|(phone, _)| !ends(phone));
        let request = SyncRequest {
            protocol: PROTOCOL,
            rack: self.rack.clone(),
            agent_start: self.start.clone(),
            number: self.number,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            daemon_start: self.daemon_start.clone(),
            orders_seen: self.orders_seen,
            phones_version: Version(1),
            phones: if self.daemon_start.is_none() { self.phones.clone() } else { Vec::new() },
            held: Vec::new(),
            idle: idle.map(|(phone, obeyed)| IdlePhone { phone: phone.clone(), obeyed: *obeyed }).collect(),
            entries: entries.to_vec(),
            progress: Vec::new(),
            wait_ms,
        };
        let body = serde_json::to_vec(&request).context("a request has a JSON form")?;
        let answer = self.http.post("/agent/v1/sync", &body).await?;
        if answer.status != 200 {
            bail!("a sync was answered with {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        let reply: SyncReply =
            serde_json::from_slice(&answer.body).context("the answer is not as expected")?;
        if let Some(refused) = reply.refused.first() {
            bail!("the daemon refused entry {}: {}", refused.id, refused.reason);
        }
        self.daemon_start = Some(reply.daemon_start.clone());
        self.orders_seen = reply.orders_version;
        Ok(reply)
    }

    /// Puts the bytes of files, some at a time.
    async fn put_all(&mut self, files: &[(File, Option<BuildHash>)]) -> anyhow::Result<Vec<CrashId>> {
        let mut ids = Vec::with_capacity(files.len());
        for some in files.chunks(self.uploads.len()) {
            let puts = self.uploads.iter_mut().zip(some).map(|(http, (file, _))| put(http, &file.bytes));
            ids.extend(try_join_all(puts).await?);
        }
        Ok(ids)
    }

    fn taken(&mut self, id: CrashId, file: &File, build: Option<BuildHash>) -> anyhow::Result<OutboxEntry> {
        let ran = build.and_then(|build| self.ran.get(&build)).cloned();
        let any = self.phones.get(self.entries_made as usize % self.phones.len().max(1));
        let any = any.context("a rack has a phone")?.facts.udid.clone();
        let (attempt, phone) = ran.map_or((None, any), |(attempt, phone)| (Some(attempt), phone));
        let origin = CrashOrigin {
            id,
            phone,
            rack: self.rack.clone(),
            path: file.path.clone(),
            size_bytes: file.bytes.len() as u64,
            collected_at: now()?,
            attempt,
            case: None,
        };
        self.entry(OutboxItem::CrashTaken { origin })
    }

    fn ended(&mut self, phone: Udid, lease: LeaseNumber, work: &Work) -> anyhow::Result<OutboxEntry> {
        self.ran.insert(work.build.hash, (work.attempt, phone.clone()));
        let launch = json!({ "number": 1, "pid": 431, "launch_ms": 612, "alive_ms": 3_000, "end": { "ended": "stayed" } });
        let result = |case: &holdfast_wire::case::Case| {
            let result = json!({ "case": case.name, "failure": null, "launches": [launch] });
            serde_json::from_value::<CaseResult>(result).context("a case has a result")
        };
        let report = AttemptReport {
            attempt: work.attempt,
            phone,
            lease,
            end: AttemptEnd::Passed,
            cases: work.cases.iter().map(result).collect::<Result<_, _>>()?,
            crashes: Vec::new(),
            started_at: now()?,
            ended_at: now()?,
        };
        self.entry(OutboxItem::AttemptEnded { report })
    }

    fn entry(&mut self, what: OutboxItem) -> anyhow::Result<OutboxEntry> {
        self.entries_made += 1;
        let id =
            format!("{}-{}", self.rack, self.entries_made).parse().context("an entry has a good name")?;
        Ok(OutboxEntry { id, what })
    }
}

async fn put(http: &mut Http, bytes: &[u8]) -> anyhow::Result<CrashId> {
    let hash = BlobHash::new(*blake3::hash(bytes).as_bytes());
    let path = format!("/agent/v1/blobs/{hash}");
    let answer = http.send("PUT", &path, "application/octet-stream", bytes).await?;
    if !matches!(answer.status, 200 | 201) {
        bail!("bytes were answered with {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(CrashId::from(hash))
}

fn now() -> anyhow::Result<Time> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(Time::from_unix_ms(i64::try_from(now.as_millis())?))
}
