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
    HeldLease, IdlePhone, Order, OutboxEntry, OutboxItem, PhoneOrder, RefusedEntry, Staged, SyncReply,
    SyncRequest, Version, Work, YieldWhen,
};
use holdfast_wire::time::Time;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Heard {
    start: String,
    pub(crate) away: bool,
    version: u64,
    orders: BTreeMap<Udid, (u64, PhoneOrder)>,
    /// Every answer says every order again.
    pub(crate) says_all_again: bool,
    pub(crate) blobs: BTreeMap<BlobHash, Vec<u8>>,
    pub(crate) gets: usize,
    pub(crate) phones: BTreeMap<Udid, PhoneReport>,
    pub(crate) held: Vec<HeldLease>,
    /// Every lease that was ever said to be held.
    pub(crate) ever_held: Vec<HeldLease>,
    pub(crate) idle: Vec<IdlePhone>,
    /// Phones that were said to be idle while one of their attempts had not been reported and confirmed.
    pub(crate) idle_too_early: Vec<IdlePhone>,
    pub(crate) reports: Vec<AttemptReport>,
    /// Reports are heard and not confirmed.
    pub(crate) keeps_quiet: bool,
    pub(crate) crashes: Vec<CrashOrigin>,
    pub(crate) notes: Vec<String>,
    entries: BTreeMap<EntryId, usize>,
    pub(crate) refuses_crashes: bool,
    /// Crash files are heard and not confirmed.
    pub(crate) keeps_crashes: bool,
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
        self.order_with_next(phone, order, None);
    }

    pub(crate) fn order_with_next(&self, phone: &str, order: Order, next: Option<Staged>) {
        self.order_whole(PhoneOrder { phone: phone.parse().unwrap(), order, next, withdrawn: None });
    }

    /// What a phone is said not to begin behind the lease that it holds.
    pub(crate) fn withdrawn(&self, phone: &str) -> Option<LeaseNumber> {
        self.with_quietly(|heard| {
            heard.held.iter().find(|held| held.phone.as_str() == phone).and_then(|held| held.withdrawn)
        })
    }

    /// An order with everything that belongs to it.
    pub(crate) fn order_whole(&self, order: PhoneOrder) {
        self.with(|heard| {
            heard.version += 1;
            heard.orders.insert(order.phone.clone(), (heard.version, order));
        });
    }

    pub(crate) fn run(&self, phone: &str, lease: u64, attempt: &str, launches: u32) {
        self.order(phone, self.run_order(lease, attempt, launches));
    }

    pub(crate) fn run_order(&self, lease: u64, attempt: &str, launches: u32) -> Order {
        Order::Run { lease: LeaseNumber(lease), work: Box::new(self.work(attempt, launches, "an archive")) }
    }

    /// Cases of one launch each.
    pub(crate) fn run_order_of_cases(&self, lease: u64, attempt: &str, cases: usize) -> Order {
        let mut work = self.work(attempt, 1, "an archive");
        let case = work.cases.first().unwrap().clone();
        let named = |number| Case { name: format!("case-{number}").parse().unwrap(), ..case.clone() };
        work.cases = Arc::new((1..=cases).map(named).collect());
        Order::Run { lease: LeaseNumber(lease), work: Box::new(work) }
    }

    /// One launch of the build with these bytes.
    pub(crate) fn staged(&self, lease: u64, attempt: &str, bytes: &str) -> Option<Staged> {
        Some(Staged { lease: LeaseNumber(lease), work: Box::new(self.work(attempt, 1, bytes)) })
    }

    pub(crate) fn yields(&self, phone: &str, lease: u64, attempt: &str, when: YieldWhen) {
        let attempt = attempt.parse().unwrap();
        self.order(phone, Order::Yield { lease: LeaseNumber(lease), attempt, when });
    }

    /// The last lease that a phone obeyed, when it is said to be idle.
    pub(crate) fn idle(&self, phone: &str) -> Option<u64> {
        let phone: Udid = phone.parse().unwrap();
        self.with_quietly(|heard| {
            heard.idle.iter().find(|idle| idle.phone == phone).map(|idle| idle.obeyed.0)
        })
    }

    /// Takes in an archive that phones can install; its name among the blobs.
    pub(crate) fn keep_archive(&self, archive: Vec<u8>) -> BuildHash {
        let hash = BuildHash::new(*blake3::hash(&archive).as_bytes());
        self.with(|heard| heard.blobs.insert(hash.into(), archive));
        hash
    }

    fn work(&self, attempt: &str, launches: u32, bytes: &str) -> Work {
        let archive = bytes.as_bytes().repeat(1_000);
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
        let orders = orders_since(&daemon, &request, request.orders_seen.0);
        if daemon.with_quietly(|heard| heard.away) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let has_news = !orders.is_empty()
            || !reply.confirmed.is_empty()
            || !reply.refused.is_empty()
            || request.daemon_start.as_ref() != Some(&reply.daemon_start);
        if has_news || tokio::time::timeout_at(waits_until, changed).await.is_err() {
            let again = daemon.with_quietly(|heard| heard.says_all_again);
            reply.orders = if again { orders_since(&daemon, &request, 0) } else { orders };
            return Ok(Json(reply));
        }
    }
}

impl Daemon {
    fn with_quietly<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.heard.lock().unwrap())
    }
}

fn orders_since(daemon: &Daemon, request: &SyncRequest, since: u64) -> Vec<PhoneOrder> {
    daemon.with_quietly(|heard| {
        let is_known = request.daemon_start.as_ref().is_some_and(|start| start.as_str() == heard.start);
        let since = if is_known { since } else { 0 };
        let newer = heard.orders.iter().filter(|(_, (version, _))| *version > since);
        newer.map(|(_, (_, order))| order.clone()).collect()
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
        heard.idle.clone_from(&request.idle);
        let is_told = |held: &HeldLease| {
            let of_lease = |report: &AttemptReport| report.phone == held.phone && report.lease == held.lease;
            heard.reports.iter().any(of_lease)
        };
        let is_early = |idle: &&IdlePhone| {
            let untold = |held: &HeldLease| held.phone == idle.phone && !is_told(held);
            heard.ever_held.iter().any(untold) || request.held.iter().any(|held| held.phone == idle.phone)
        };
        let early: Vec<IdlePhone> = request.idle.iter().filter(is_early).cloned().collect();
        heard.idle_too_early.extend(early);
        heard.ever_held.extend(request.held.iter().cloned());
        heard.notes.extend(request.progress.iter().map(|progress| progress.note.clone()));
        let (mut confirmed, mut refused) = (Vec::new(), Vec::new());
        for entry in &request.entries {
            if heard.keeps_quiet && matches!(entry.what, OutboxItem::AttemptEnded { .. }) {
                let is_idle = |idle: &&IdlePhone| entry_is_of(entry, &idle.phone);
                let early: Vec<IdlePhone> = request.idle.iter().filter(is_idle).cloned().collect();
                heard.idle_too_early.extend(early);
                continue;
            }
            if heard.keeps_crashes && matches!(entry.what, OutboxItem::CrashTaken { .. }) {
                continue;
            }
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

fn entry_is_of(entry: &OutboxEntry, phone: &Udid) -> bool {
    matches!(&entry.what, OutboxItem::AttemptEnded { report } if report.phone == *phone)
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
