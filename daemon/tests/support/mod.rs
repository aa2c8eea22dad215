//! The daemon's API without a network, and an agent played by the test. What is tested is in the files beside.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::panic, reason = "a test may fail loudly")]
#![expect(dead_code, reason = "each test program uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use holdfast_scheduler::policy::{Members, Policy, Pool, Quarantine, Retries};
use holdfast_store::codec::Kind;
use holdfast_store::{
    Entry, Guard, Key, MemoryStore, Op, Page, Revision, SledStore, Store, StoreError, Watch,
};
use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::id::{AttemptId, BlobHash, LeaseNumber, RackId, StartId, Udid};
use holdfast_wire::job::JobClass;
use holdfast_wire::outcome::{AttemptEnd, AttemptReport};
use holdfast_wire::phone::PhoneReport;
use holdfast_wire::sync::{
    AttemptProgress, HeldLease, Order, OutboxEntry, OutboxItem, PROTOCOL, SyncReply, SyncRequest, Version,
    Work,
};
use holdfast_wire::time::Time;
use holdfastd::blobs::Blobs;
use holdfastd::clock::Clock;
use holdfastd::config::{FarmConfig, Limits, SymbolsConfig, Timeouts};
use holdfastd::farm::{FarmError, Loop};
use holdfastd::http::router::router;
use holdfastd::http::state::{App, Shared};
use holdfastd::reasons::Reasons;
use holdfastd::records;
use holdfastd::reload::Reloader;
use holdfastd::symbols::Symbols;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longest that anything here may take; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon without a network.
pub(crate) struct Daemon {
    pub(crate) router: Router,
    pub(crate) app: App,
    pub(crate) running: JoinHandle<Result<(), FarmError>>,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The sample builds of the repository.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/builds");
    std::fs::read(folder.join(name)).unwrap()
}

/// The rules of these tests: a crash pool and a general one.
pub(crate) fn policy() -> Policy {
    let general = vec![JobClass::Baseline, JobClass::Custom, JobClass::Special, JobClass::Idle];
    let listed = Members::Listed {
        phones: Vec::new(),
        racks: Vec::new(),
        slots: Vec::new(),
        labels: vec!["crash".parse().unwrap()],
    };
    let pool = |name: &str, serves, members| Pool {
        name: name.parse().unwrap(),
        serves,
        lends: Vec::new(),
        only: Vec::new(),
        members,
    };
    let mut classes = Policy::default_classes();
    classes.values_mut().filter(|class| !class.strict).for_each(|class| {
        class.lift_after = Some(Duration::from_secs(3_600));
    });
    Policy {
        classes,
        attempt_overhead: Duration::from_secs(600),
        retries: Retries { job: 0, phone: 1, rack: 1, farm: 1 },
        quarantine: Quarantine { after_failures: 3, lasts: Duration::from_secs(600) },
        ..Policy::with_pools(vec![
            pool("crash", vec![JobClass::Crash], listed),
            pool("general", general, Members::Rest),
        ])
    }
}

pub(crate) fn config() -> FarmConfig {
    FarmConfig { catalogue: cases().into_iter().collect(), ..FarmConfig::from(policy()) }
}

fn cases() -> Vec<Case> {
    let run =
        CaseRun::Launch { launches: 5, stay_ms: 3_000, launch_timeout_ms: 30_000, arguments: Vec::new() };
    vec![Case { name: "cold-launch".parse().unwrap(), owner: "stability".parse().unwrap(), run }]
}

impl Daemon {
    /// A daemon over a store, with its blobs in the folder.
    pub(crate) async fn over<S: Store>(store: S, folder: &Path, start: &str) -> Self {
        Self::made(store, folder, start, (config(), SymbolsConfig::default())).await
    }

    /// The same, with other settings of symbols.
    pub(crate) async fn with_symbols<S: Store>(
        store: S,
        folder: &Path,
        start: &str,
        symbols: SymbolsConfig,
    ) -> Self {
        Self::made(store, folder, start, (config(), symbols)).await
    }

    /// The same, with other settings of symbols and rules of its own.
    pub(crate) async fn with_both<S: Store>(
        store: S,
        folder: &Path,
        start: &str,
        settings: (FarmConfig, SymbolsConfig),
    ) -> Self {
        Self::made(store, folder, start, settings).await
    }

    /// The same, with rules of its own.
    pub(crate) async fn with<S: Store>(store: S, folder: &Path, start: &str, config: FarmConfig) -> Self {
        Self::made(store, folder, start, (config, SymbolsConfig::default())).await
    }

    async fn made<S: Store>(
        store: S,
        folder: &Path,
        start: &str,
        (config, symbols): (FarmConfig, SymbolsConfig),
    ) -> Self {
        let clock = Arc::new(Clock::default());
        let (farm_loop, farm) = Loop::restore(store, config, clock.clone()).await.unwrap();
        let reloader = Arc::new(Reloader::without_files(farm.clone()));
        let app = App::from(Shared {
            farm,
            blobs: Blobs::open(&folder.join("blobs")).unwrap(),
            signing: holdfast_crash::Rules::default(),
            symbols: Symbols::open(&folder.join("symbols"), symbols).unwrap(),
            hunt: holdfastd::groups::Hunt { branch: None, demands: Default::default() },
            clock,
            reloader,
            limits: Limits { blob_bytes_max: 1 << 20, ..Limits::default() },
            timeouts: Timeouts {
                request: PATIENCE,
                long_poll: PATIENCE,
                upload_idle: PATIENCE,
                shutdown: PATIENCE,
            },
            start: start.parse().unwrap(),
            agents: Default::default(),
            listings: Default::default(),
            reasons: Reasons::default(),
            stopping: CancellationToken::new(),
        });
        let running = tokio::spawn(farm_loop.run());
        Self { router: router(app.clone()), app, running }
    }

    /// A daemon that forgets when it is dropped.
    pub(crate) async fn in_memory(folder: &Path) -> Self {
        Self::over(MemoryStore::new(), folder, "d1").await
    }

    /// A daemon whose store is on disk.
    pub(crate) async fn on_disk(folder: &Path, start: &str) -> Self {
        let opened = tokio::time::timeout(PATIENCE, async {
            loop {
                match SledStore::open(folder.join("store")).await {
                    // The daemon before lets go of it in the background.
                    Err(StoreError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(2)).await,
                    opened => return opened,
                }
            }
        });
        Self::over(opened.await.unwrap().unwrap(), folder, start).await
    }

    /// Ends the daemon in the middle: nobody is told, and what is not on disk is gone.
    pub(crate) async fn kill(self) {
        let Self { router, app, running } = self;
        running.abort();
        let _ended = running.await;
        drop((router, app));
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response =
            tokio::time::timeout(PATIENCE, self.router.clone().oneshot(request)).await.unwrap().unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = tokio::time::timeout(PATIENCE, axum::body::to_bytes(response.into_body(), 64 << 20));
        Answer { status, headers, bytes: body.await.unwrap().unwrap().to_vec() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body.to_string()).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn upload(&self, method: Method, path: &str, bytes: Vec<u8>) -> Answer {
        self.send(Request::builder().method(method).uri(path).body(Body::from(bytes)).unwrap()).await
    }

    /// Uploads the crashing sample build and says its hash.
    pub(crate) async fn with_build(&self) -> String {
        let path = "/api/v1/builds?commit=4f2a9c1&branch=trunk&author=ada";
        let answer = self.upload(Method::POST, path, sample("mooring-141.ipa")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["identity"]["hash"].as_str().unwrap().to_owned()
    }

    /// Submits a cold launch and says the job's id.
    pub(crate) async fn submit(&self, build: &str, class: &str) -> String {
        let request = json!({ "class": class, "build": build, "cases": ["cold-launch"] });
        let answer = self.post("/api/v1/jobs", &request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/jobs/{id}")).await.json()
    }
}

/// What a rack says of a healthy simulated phone.
pub(crate) fn ready(udid: &str, slot: &str) -> PhoneReport {
    serde_json::from_value(json!({
        "facts": {
            "udid": udid, "name": "Rack 1 left", "product_type": "iPhone14,5", "model": "iPhone 13",
            "os_version": "16.7.2", "os_build": "20H115", "slot": slot, "labels": [],
            "battery": { "level_percent": 80, "charging": true, "temperature_celsius": 30.5,
                "health_percent": 91, "cycles": 120 },
            "storage": { "free_bytes": 64_000_000_000_u64, "total_bytes": 128_000_000_000_u64 },
            "pairing": "paired", "passcode_locked": false, "developer_mode": true,
            "usb_speed_bps": 480_000_000, "apps": [], "crash_files_waiting": {},
            "clock_offset_ms": 0, "simulated": true
        },
        "readiness": { "readiness": "ready" }, "reason": "", "since": "2026-11-21T03:30:00Z"
    }))
    .unwrap()
}

/// An agent, played by the test.
pub(crate) struct Agent {
    pub(crate) rack: RackId,
    pub(crate) start: StartId,
    number: u64,
    pub(crate) daemon_start: Option<StartId>,
    pub(crate) orders_seen: Version,
    /// What each phone was told last.
    pub(crate) orders: BTreeMap<Udid, Order>,
    pub(crate) held: Vec<HeldLease>,
    phones_version: u64,
}

/// What an agent has to say in one request.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) phones: Vec<PhoneReport>,
    pub(crate) entries: Vec<OutboxEntry>,
    pub(crate) progress: Vec<AttemptProgress>,
    pub(crate) wait_ms: u64,
}

impl Agent {
    pub(crate) fn new(rack: &str) -> Self {
        Self {
            rack: rack.parse().unwrap(),
            start: format!("{rack}-s1").parse().unwrap(),
            number: 0,
            daemon_start: None,
            orders_seen: Version(0),
            orders: BTreeMap::new(),
            held: Vec::new(),
            phones_version: 0,
        }
    }

    /// The next request; [`Agent::hear`] takes its answer.
    pub(crate) fn request(&mut self, news: News) -> SyncRequest {
        self.number += 1;
        if !news.phones.is_empty() {
            self.phones_version += 1;
        }
        SyncRequest {
            protocol: PROTOCOL,
            rack: self.rack.clone(),
            agent_start: self.start.clone(),
            number: self.number,
            agent_version: "0.1.0".to_owned(),
            daemon_start: self.daemon_start.clone(),
            orders_seen: self.orders_seen,
            phones_version: Version(self.phones_version),
            phones: news.phones,
            held: self.held.clone(),
            idle: vec![],
            entries: news.entries,
            progress: news.progress,
            wait_ms: news.wait_ms,
        }
    }

    pub(crate) fn hear(&mut self, reply: &SyncReply) {
        self.daemon_start = Some(reply.daemon_start.clone());
        self.orders_seen = reply.orders_version;
        for order in &reply.orders {
            self.orders.insert(order.phone.clone(), order.order.clone());
        }
    }

    pub(crate) async fn say(&mut self, daemon: &Daemon, news: News) -> SyncReply {
        let request = self.request(news);
        let answer = post_sync(daemon, &request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let reply: SyncReply = serde_json::from_slice(&answer.bytes).unwrap();
        self.hear(&reply);
        reply
    }

    /// Begins what a phone was told to run: from now on its lease is held.
    pub(crate) fn begin(&mut self, udid: &str) -> (LeaseNumber, Work) {
        let phone: Udid = udid.parse().unwrap();
        let Some(Order::Run { lease, work }) = self.orders.get(&phone).cloned() else {
            panic!("{udid} has nothing to run: {:?}", self.orders)
        };
        self.held.push(HeldLease { phone, lease, attempt: work.attempt, withdrawn: None });
        (lease, *work)
    }
}

pub(crate) async fn post_sync(daemon: &Daemon, request: &SyncRequest) -> Answer {
    daemon.post("/agent/v1/sync", &serde_json::to_value(request).unwrap()).await
}

/// The outbox entry of an attempt that is over.
pub(crate) fn ended(
    entry: &str,
    attempt: AttemptId,
    udid: &str,
    lease: LeaseNumber,
    end: AttemptEnd,
) -> OutboxEntry {
    let report = AttemptReport {
        attempt,
        phone: udid.parse().unwrap(),
        lease,
        end,
        cases: vec![
            serde_json::from_value(json!({ "case": "cold-launch", "failure": null, "launches": [
                { "number": 1, "pid": 431, "launch_ms": 612, "alive_ms": 3000, "end": { "ended": "stayed" } }
            ] }))
            .unwrap(),
        ],
        crashes: Vec::new(),
        started_at: Time::from_unix_ms(1_795_231_800_000),
        ended_at: Time::from_unix_ms(1_795_231_860_000),
    };
    OutboxEntry { id: entry.parse().unwrap(), what: OutboxItem::AttemptEnded { report } }
}

/// The outbox entry of a crash file.
pub(crate) fn taken(
    entry: &str,
    bytes: &[u8],
    udid: &str,
    rack: &str,
    attempt: Option<AttemptId>,
) -> OutboxEntry {
    let origin = serde_json::from_value(json!({
        "id": hash(bytes).to_string(), "phone": udid, "rack": rack, "path": "Mooring-2026-11-21-033046.ips",
        "size_bytes": bytes.len(), "collected_at": "2026-11-21T03:31:00Z", "attempt": attempt,
    }))
    .unwrap();
    OutboxEntry { id: entry.parse().unwrap(), what: OutboxItem::CrashTaken { origin } }
}

pub(crate) fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash::new(*blake3::hash(bytes).as_bytes())
}

/// A store that several lives of a daemon share, and at which a life ends: from then on it takes nothing more.
#[derive(Debug)]
pub(crate) struct Mortal<S> {
    kept: Arc<S>,
    /// Commits until the end, the fatal one included; zero when it is over.
    commits_left: Arc<AtomicUsize>,
    end: End,
}

/// Where a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Before the transaction is kept.
    BeforeCommit,
    /// Once it is kept, before anybody knows.
    AfterCommit,
}

impl<S> Mortal<S> {
    /// A life that ends at its commit of this number, counted from one.
    pub(crate) fn new(kept: Arc<S>, commits: usize, end: End) -> Self {
        Self { kept, commits_left: Arc::new(AtomicUsize::new(commits)), end }
    }

    /// The end comes at the commit of this number, counted from now.
    pub(crate) fn end_after(&self, commits: usize) {
        self.commits_left.store(commits, Ordering::Relaxed);
    }
}

impl<S> Clone for Mortal<S> {
    fn clone(&self) -> Self {
        Self { kept: self.kept.clone(), commits_left: self.commits_left.clone(), end: self.end }
    }
}

impl<S: Store> Store for Mortal<S> {
    async fn revision(&self) -> Result<Revision, StoreError> {
        self.kept.revision().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.kept.get(key).await
    }

    async fn scan_prefix(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.kept.scan_prefix(prefix, after, limit).await
    }

    async fn last(&self, prefix: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.kept.last(prefix).await
    }

    async fn commit(&self, guards: Vec<Guard>, ops: Vec<Op>) -> Result<Revision, StoreError> {
        let less = |left: usize| left.checked_sub(1);
        let left = self.commits_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or(0);
        if left > 1 {
            return self.kept.commit(guards, ops).await;
        }
        if left == 1 && self.end == End::AfterCommit {
            self.kept.commit(guards, ops).await?;
        }
        Err(StoreError::Stopped { reason: "the process died".to_owned() })
    }

    async fn watch_prefix(&self, prefix: &[u8], from: Revision) -> Result<Watch, StoreError> {
        self.kept.watch_prefix(prefix, from).await
    }
}

/// The numbers of the jobs that a store has as waiting or running, in whatever records.
pub(crate) async fn live_jobs(store: &impl Store) -> BTreeSet<u64> {
    let (jobs, batches) = (Kind::new("job"), Kind::new("waiting"));
    let mut numbers = BTreeSet::new();
    for entry in store.scan_prefix(&jobs.prefix(), None, usize::MAX).await.unwrap().entries {
        numbers.extend(jobs.number_of(&entry.key));
    }
    for entry in store.scan_prefix(&batches.prefix(), None, usize::MAX).await.unwrap().entries {
        numbers.extend(records::jobs_in(&entry).unwrap().into_iter().map(|job| job.0));
    }
    numbers
}
