//! A stand-in for the daemon's side of the sync: it keeps what is said and answers as told. It decides nothing.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use holdfast_wire::build::BuildIdentity;
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::crash::CrashOrigin;
use holdfast_wire::id::{BlobHash, BuildHash, EntryId, LeaseNumber, Udid};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::AttemptReport;
use holdfast_wire::phone::{PhoneReport, Readiness};
use holdfast_wire::sync::{
    HeldLease, Order, OutboxItem, PhoneOrder, RefusedEntry, SyncReply, SyncRequest, Version, Work,
};
use holdfast_wire::time::Time;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Heard {
    start: String,
    pub(crate) away: bool,
    version: u64,
    orders: BTreeMap<Udid, (u64, Order)>,
    pub(crate) blobs: BTreeMap<BlobHash, Vec<u8>>,
    pub(crate) gets: usize,
    pub(crate) phones: BTreeMap<Udid, PhoneReport>,
    pub(crate) held: Vec<HeldLease>,
    /// Every lease that was ever said to be held.
    pub(crate) ever_held: Vec<HeldLease>,
    pub(crate) reports: Vec<AttemptReport>,
    pub(crate) crashes: Vec<CrashOrigin>,
    pub(crate) notes: Vec<String>,
    entries: BTreeMap<EntryId, usize>,
    pub(crate) refuses_crashes: bool,
    pub(crate) requests: usize,
    /// Crash files whose bytes were not there when they were named.
    pub(crate) without_bytes: usize,
}

/// The stand-in.
#[derive(Clone)]
pub(crate) struct Daemon {
    pub(crate) heard: Arc<Mutex<Heard>>,
    changed: Arc<Notify>,
    pub(crate) address: String,
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heard = Heard { start: "d1".to_owned(), ..Heard::default() };
        let daemon = Self { heard: Arc::new(Mutex::new(heard)), changed: Arc::default(), address };
        let app = Router::new()
            .route("/agent/v1/sync", post(sync))
            .route("/agent/v1/blobs/{hash}", get(get_blob).put(put_blob))
            .with_state(daemon.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        daemon
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        let answer = look(&mut self.heard.lock().unwrap());
        self.changed.notify_waiters();
        answer
    }

    /// A new start: it knows its orders and results, but no versions.
    pub(crate) fn restart(&self, start: &str) {
        self.with(|heard| {
            start.clone_into(&mut heard.start);
            heard.phones.clear();
            heard.version = 1;
            for (version, _) in heard.orders.values_mut() {
                *version = 1;
            }
        });
    }

    pub(crate) fn order(&self, phone: &str, order: Order) {
        self.with(|heard| {
            heard.version += 1;
            heard.orders.insert(phone.parse().unwrap(), (heard.version, order));
        });
    }

    pub(crate) fn run(&self, phone: &str, lease: u64, attempt: &str, launches: u32) {
        let work = Box::new(self.work(attempt, launches));
        self.order(phone, Order::Run { lease: LeaseNumber(lease), work });
    }

    fn work(&self, attempt: &str, launches: u32) -> Work {
        let archive = b"an archive".repeat(1_000);
        let hash = BuildHash::new(*blake3::hash(&archive).as_bytes());
        let size_bytes = archive.len() as u64;
        self.with(|heard| heard.blobs.insert(hash.into(), archive));
        let build = BuildIdentity {
            hash,
            size_bytes,
            bundle_id: "org.example.app".parse().unwrap(),
            executable: "App".to_owned(),
            version: "1.0".to_owned(),
            build_number: "1".to_owned(),
            uuids: Vec::new(),
            minimum_os: None,
        };
        let run = CaseRun::Launch { launches, stay_ms: 10, launch_timeout_ms: 200, arguments: Vec::new() };
        let case = Case { name: "cold".parse().unwrap(), owner: "team".parse().unwrap(), run };
        let attempt = attempt.parse().unwrap();
        Work {
            attempt,
            class: JobClass::Crash,
            build: Arc::new(build),
            cases: Arc::new(vec![case]),
            limit_ms: 60_000,
            with: Vec::new(),
        }
    }

    pub(crate) fn report(&self, attempt: &str) -> Option<AttemptReport> {
        let attempt = attempt.parse().unwrap();
        self.with(|heard| heard.reports.iter().find(|report| report.attempt == attempt).cloned())
    }

    pub(crate) fn is(&self, phone: &str, readiness: &Readiness) -> Option<()> {
        let phone: Udid = phone.parse().unwrap();
        self.with(|heard| {
            heard.phones.get(&phone).is_some_and(|report| report.readiness == *readiness).then_some(())
        })
    }
}

async fn sync(
    State(daemon): State<Daemon>,
    Json(request): Json<SyncRequest>,
) -> Result<Json<SyncReply>, StatusCode> {
    let waits_until = tokio::time::Instant::now() + Duration::from_millis(request.wait_ms);
    let mut reply = hear(&daemon, &request)?;
    loop {
        let changed = daemon.changed.notified();
        let orders = orders_since(&daemon, &request);
        if daemon.with_quietly(|heard| heard.away) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let has_news = !orders.is_empty()
            || !reply.confirmed.is_empty()
            || !reply.refused.is_empty()
            || request.daemon_start.as_ref() != Some(&reply.daemon_start);
        if has_news || tokio::time::timeout_at(waits_until, changed).await.is_err() {
            reply.orders = orders;
            return Ok(Json(reply));
        }
    }
}

impl Daemon {
    fn with_quietly<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.heard.lock().unwrap())
    }
}

fn orders_since(daemon: &Daemon, request: &SyncRequest) -> Vec<PhoneOrder> {
    daemon.with_quietly(|heard| {
        let is_known = request.daemon_start.as_ref().is_some_and(|start| start.as_str() == heard.start);
        let since = if is_known { request.orders_seen.0 } else { 0 };
        let newer = heard.orders.iter().filter(|(_, (version, _))| *version > since);
        newer
            .map(|(phone, (_, order))| PhoneOrder { phone: phone.clone(), order: order.clone(), next: None })
            .collect()
    })
}

fn hear(daemon: &Daemon, request: &SyncRequest) -> Result<SyncReply, StatusCode> {
    daemon.with_quietly(|heard| {
        if heard.away {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        heard.requests += 1;
        let is_known = request.daemon_start.as_ref().is_none_or(|start| start.as_str() == heard.start);
        for report in &request.phones {
            heard.phones.insert(report.facts.udid.clone(), report.clone());
        }
        heard.held.clone_from(&request.held);
        heard.ever_held.extend(request.held.iter().cloned());
        heard.notes.extend(request.progress.iter().map(|progress| progress.note.clone()));
        let (mut confirmed, mut refused) = (Vec::new(), Vec::new());
        for entry in &request.entries {
            *heard.entries.entry(entry.id.clone()).or_default() += 1;
            let is_new = heard.entries.get(&entry.id) == Some(&1);
            match &entry.what {
                OutboxItem::AttemptEnded { report } if is_new => heard.reports.push(report.clone()),
                OutboxItem::CrashTaken { .. } if heard.refuses_crashes => {
                    refused.push(RefusedEntry { id: entry.id.clone(), reason: "told so".to_owned() });
                    continue;
                }
                OutboxItem::CrashTaken { origin } if is_new => {
                    heard.without_bytes += usize::from(!heard.blobs.contains_key(&origin.id.into()));
                    heard.crashes.push(origin.clone());
                }
                OutboxItem::AttemptEnded { .. } | OutboxItem::CrashTaken { .. } => {}
            }
            confirmed.push(entry.id.clone());
        }
        Ok(SyncReply {
            daemon_start: heard.start.parse().unwrap(),
            now: Time::from_unix_ms(0),
            orders_version: Version(heard.version),
            orders: Vec::new(),
            phones_seen: if is_known { request.phones_version } else { Version(0) },
            confirmed,
            refused,
        })
    })
}

async fn get_blob(State(daemon): State<Daemon>, Path(hash): Path<BlobHash>) -> Result<Vec<u8>, StatusCode> {
    daemon.with_quietly(|heard| {
        heard.gets += 1;
        heard.blobs.get(&hash).cloned().ok_or(StatusCode::NOT_FOUND)
    })
}

async fn put_blob(State(daemon): State<Daemon>, Path(hash): Path<BlobHash>, bytes: Bytes) -> StatusCode {
    if BlobHash::new(*blake3::hash(&bytes).as_bytes()) != hash {
        return StatusCode::UNPROCESSABLE_ENTITY;
    }
    daemon.with_quietly(|heard| {
        if heard.away {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        heard.blobs.insert(hash, bytes.to_vec());
        StatusCode::CREATED
    })
}
