//! A storm of crash files over a farm with a past: 10,000 different ones of some hundred defects come in within a
//! minute over real agent connections, each offered twice because its first confirmation gets lost, while people read
//! the dashboard and jobs go on. Every file must be there once, in its group, and no page may keep anybody waiting.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use holdfast_store::codec::Kind;
use holdfast_store::{SledStore, Store};
use holdfast_wire::id::{BuildHash, CrashId};
use holdfast_wire::phone::PhoneReport;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::{Manner, Staging, What};
use crate::clients::submit;
use crate::farm::{Daemon, Rows, phones_ready};
use crate::figures::{Figures, ms, rate};
use crate::http::Http;
use crate::phones::{MODELS, phone};
use crate::storm::builds;
use crate::storm::rack::{Loss, Rack};
use crate::storm::readers::{Read, read};
use crate::storm::reports::Reports;

/// Racks over which files come, and phones of each.
const RACKS: usize = 8;
const PHONES_EACH: usize = 25;

/// Racks whose phones run jobs meanwhile.
const WORKING_RACKS: usize = 4;

/// Files whose entries a rack says together: what its outbox has ready at once.
const TOGETHER: usize = 16;

/// Of so many defects that files show, the farm has seen one before.
const SEEN_SHARE: usize = 3;

/// Of so many files of a storm, the farm has one from before.
const PAST_SHARE: usize = 10;

/// Within how much less than a minute files come: so that the last of them can be stored within it, too.
const COME_WITHIN: Duration = Duration::from_secs(50);

/// Jobs that wait because no phone is what they ask for.
const WAITING: usize = 200;

/// Between two jobs whose way to a phone is timed, and how long they are timed before the storm.
const JOB_EVERY: Duration = Duration::from_millis(100);
const CALM: Duration = Duration::from_secs(5);

/// How long racks hear nothing new until their past is over.
const QUIET: Duration = Duration::from_secs(2);

/// Entries of a page of a list: the most that the daemon gives.
const PAGE: usize = 200;

/// How large a storm is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Crash files.
    pub files: usize,
    /// Builds that the farm has.
    pub builds: usize,
    /// Defects that the files show: as many groups come of them.
    pub defects: usize,
    /// How they come.
    pub coming: Coming,
}

impl Size {
    /// Files that the farm has from before.
    fn past(self) -> usize {
        (self.files / PAST_SHARE).max(1)
    }

    /// Defects that the farm has seen before.
    fn seen(self) -> usize {
        (self.defects / SEEN_SHARE).max(1)
    }
}

/// How files come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// Evenly, within [a minute](COME_WITHIN).
    Evenly,
    /// All are there from the beginning, and racks carry them as fast as they can.
    AtOnce,
}

/// What was offered to the daemon.
#[derive(Debug, Default)]
struct Offered {
    ids: BTreeSet<CrashId>,
    defects: BTreeSet<usize>,
}

/// Measures it.
///
/// # Errors
/// The daemon fails. What is lost or stored twice is no error but a figure.
pub async fn measure(size: Size) -> anyhow::Result<Figures> {
    let daemon = Daemon::start().await?;
    let address = daemon.address;
    eprintln!("a farm with a past of {} builds", size.builds);
    let mut past = Past::make(address, size).await?;
    let mut working = Working::start(&daemon).await?;
    let calm = working.time_jobs(|at| at > CALM).await?;

    eprintln!("{} crash files", size.files);
    let stop = CancellationToken::new();
    let readers = tokio::spawn(read(address, pages(address).await?, stop.clone()));
    let (racks, reports, hashes) =
        (std::mem::take(&mut past.racks), past.reports.clone(), past.hashes.clone());
    let began = Instant::now();
    let numbers = size.past()..size.past() + size.files;
    let storm = tokio::spawn(carry_all(racks, reports, hashes, numbers, size.defects, size.coming));
    let stormy = working.time_jobs(|_| storm.is_finished()).await?;
    let (_racks, offered) = storm.await.context("the racks stopped")??;
    let took = began.elapsed();
    stop.cancel();
    let reads = readers.await.context("the readers stopped")??;
    past.offered.ids.extend(offered.ids);
    past.offered.defects.extend(offered.defects);

    let figures = Figures::default()
        .with("storm_files", size.files as f64)
        .with("storm_s", took.as_secs_f64())
        .with("storm_files_per_s", rate(size.files, took))
        .with_times("storm_dispatch_calm", &calm)
        .with_times("storm_dispatch", &stormy);
    let figures = reads.iter().fold(figures, with_page);
    found(figures, daemon, &past.offered).await
}

/// A farm that has seen something: builds, most of them tested, crashes and their groups, jobs that wait.
struct Past {
    racks: Vec<Rack>,
    reports: Arc<Reports>,
    hashes: Arc<Vec<BuildHash>>,
    offered: Offered,
}

impl Past {
    async fn make(address: SocketAddr, size: Size) -> anyhow::Result<Self> {
        let reports = Arc::new(Reports::new(size.defects, size.builds)?);
        let builds = builds::upload(address, size.builds).await?;
        let hashes: Vec<BuildHash> = builds.iter().map(|build| build.identity.hash).collect();
        let mut http = Http::new(address);
        for hash in &hashes {
            submit(&mut http, &job(hash, &json!({}))).await?;
        }
        let mut working = JoinSet::new();
        for rack in 0..RACKS {
            let phones = (0..PHONES_EACH)
                .map(|place| plugged(WORKING_RACKS * PHONES_EACH + rack * PHONES_EACH + place));
            let mut rack = Rack::new(address, &format!("shelf-{rack}"), phones.collect::<Result<_, _>>()?)?;
            working.spawn(async move { rack.work(QUIET).await.map(|ran| (rack, ran)) });
        }
        let (mut racks, mut ran) = (Vec::new(), 0);
        while let Some(worked) = working.join_next().await {
            let (rack, attempts) = worked.context("a rack stopped")??;
            racks.push(rack);
            ran += attempts;
        }
        if ran < hashes.len() {
            bail!("{ran} of {} builds were tested", hashes.len());
        }
        for place in 0..WAITING {
            let hash = hashes.get(place % hashes.len()).context("the farm has a build")?;
            submit(&mut http, &job(hash, &json!({ "models": ["iPhone 16"] }))).await?;
        }
        let hashes = Arc::new(hashes);
        let all =
            carry_all(racks, reports.clone(), hashes.clone(), 0..size.past(), size.seen(), Coming::AtOnce);
        let (racks, offered) = all.await?;
        Ok(Self { racks, reports, hashes, offered })
    }
}

fn job(build: &BuildHash, requirements: &Value) -> Vec<u8> {
    json!({ "class": "custom", "build": build, "cases": ["cold-launch"], "requirements": requirements })
        .to_string()
        .into_bytes()
}

/// A phone of a model that timed jobs do not ask for.
fn plugged(number: usize) -> anyhow::Result<PhoneReport> {
    let mut report = phone(number).report;
    let (product_type, model) = MODELS[number % (MODELS.len() - 1)];
    report["facts"]["product_type"] = json!(product_type);
    report["facts"]["model"] = json!(model);
    serde_json::from_value(report).context("a simulated phone is one")
}

/// Files of these numbers go over the racks that tested their builds.
async fn carry_all(
    racks: Vec<Rack>,
    reports: Arc<Reports>,
    hashes: Arc<Vec<BuildHash>>,
    numbers: std::ops::Range<usize>,
    defects: usize,
    coming: Coming,
) -> anyhow::Result<(Vec<Rack>, Offered)> {
    let began = Instant::now();
    let every = COME_WITHIN.div_f64(numbers.len().max(1) as f64);
    let mut of_rack: Vec<Vec<(usize, Instant)>> = vec![Vec::new(); racks.len()];
    let mut offered = Offered::default();
    for (place, number) in numbers.enumerate() {
        let (defect, build) = reports.of(number, defects);
        offered.defects.insert(defect);
        let came = match coming {
            Coming::Evenly => began + every.mul_f64(place as f64),
            Coming::AtOnce => began,
        };
        let tested = hashes.get(build).and_then(|hash| racks.iter().position(|rack| rack.has_tested(hash)));
        of_rack[tested.unwrap_or(number % RACKS)].push((number, came));
    }
    let mut carrying = JoinSet::new();
    for (mut rack, mut numbers) in racks.into_iter().zip(of_rack) {
        let (reports, hashes) = (reports.clone(), hashes.clone());
        carrying.spawn(async move {
            let mut ids = Vec::with_capacity(numbers.len());
            let mut losses = [Loss::Forgotten, Loss::GivenUp].into_iter().cycle();
            while let Some((_, first)) = numbers.first().copied() {
                tokio::time::sleep_until(first.into()).await;
                let now = Instant::now();
                let there = numbers.iter().take(TOGETHER).take_while(|(_, came)| *came <= now).count();
                let files = numbers.drain(..there).map(|(number, _)| reports.file(number, defects, &hashes));
                let files: Vec<_> = files.collect();
                ids.extend(rack.carry(&files, losses.next().unwrap_or(Loss::Forgotten)).await?);
            }
            anyhow::Ok((rack, ids))
        });
    }
    let mut racks = Vec::new();
    while let Some(carried) = carrying.join_next().await {
        let (rack, ids) = carried.context("a rack stopped")??;
        racks.push(rack);
        offered.ids.extend(ids);
    }
    Ok((racks, offered))
}

/// Phones that run jobs meanwhile, each over at once.
struct Working {
    rows: Rows,
    http: Http,
    job: Vec<u8>,
}

impl Working {
    async fn start(daemon: &Daemon) -> anyhow::Result<Self> {
        let address = daemon.address;
        let rows = Rows::start(address, WORKING_RACKS, PHONES_EACH, Manner::EndAtOnce, Staging::Ignored);
        phones_ready(address, (WORKING_RACKS + RACKS) * PHONES_EACH).await?;
        let (_, model) = MODELS[MODELS.len() - 1];
        Ok(Self { rows, http: Http::new(address), job: daemon.job("crash", &json!({ "models": [model] })) })
    }

    /// Submits jobs for which there are phones, one after the other, and times their way to one.
    async fn time_jobs(&mut self, over: impl Fn(Duration) -> bool) -> anyhow::Result<Vec<Duration>> {
        let began = Instant::now();
        let mut took = Vec::new();
        let mut due = tokio::time::interval(JOB_EVERY);
        while !over(began.elapsed()) {
            due.tick().await;
            let accepted = submit(&mut self.http, &self.job).await?;
            loop {
                let seen = self.rows.next().await?;
                if matches!(seen.what, What::Run { job, .. } if job == accepted.job) {
                    took.push(seen.at.saturating_duration_since(accepted.sent));
                    break;
                }
            }
        }
        Ok(took)
    }
}

/// The pages and lists that are read all the while: those of the group that happened most among them.
async fn pages(address: SocketAddr) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut http = Http::new(address);
    let groups = list(&mut http, "/api/v1/groups", "").await?;
    let most = groups.iter().max_by_key(|group| group["count"].as_u64()).context("the farm has a group")?;
    let id = most["id"].as_str().context("a group has an id")?;
    let crash = most.pointer("/samples/0").and_then(Value::as_str).context("a group has a crash")?;
    Ok(vec![
        ("farm", "/".to_owned()),
        ("queue", "/queue".to_owned()),
        ("crashes", "/crashes".to_owned()),
        ("groups", "/groups".to_owned()),
        ("group", format!("/groups/{id}")),
        ("crash", format!("/crashes/{crash}")),
        ("api_crashes", "/api/v1/crashes".to_owned()),
        ("api_groups", "/api/v1/groups".to_owned()),
    ])
}

fn with_page(figures: Figures, page: &Read) -> Figures {
    let mut sorted = page.took.clone();
    sorted.sort_unstable();
    let name = format!("storm_page_{}", page.name);
    let most = sorted.last().copied().unwrap_or_default();
    figures.with_times(&name, &page.took).with(&format!("{name}_max_ms"), ms(most))
}

/// Looks for everything that was offered: in the lists, in the groups, and on disk once the daemon has ended.
async fn found(figures: Figures, daemon: Daemon, offered: &Offered) -> anyhow::Result<Figures> {
    let mut http = Http::new(daemon.address);
    let crashes = list(&mut http, "/api/v1/crashes", "").await?;
    let ids: Vec<CrashId> = crashes
        .iter()
        .map(|crash| serde_json::from_value(crash["origin"]["id"].clone()).context("a crash has an id"))
        .collect::<Result<_, _>>()?;
    let once: BTreeSet<CrashId> = ids.iter().copied().collect();
    let groups = list(&mut http, "/api/v1/groups", "state=all").await?;
    let counted: u64 = groups.iter().filter_map(|group| group["count"].as_u64()).sum();
    let (folder, _) = daemon.stop().await?;
    let (records, files) = on_disk(&folder.path().join("daemon"), &offered.ids).await?;
    let all = offered.ids.len();
    let lost =
        [offered.ids.difference(&once).count(), all.saturating_sub(records), all.saturating_sub(files)];
    let twice = [ids.len() - once.len(), once.difference(&offered.ids).count(), records.saturating_sub(all)];
    let wrong = groups.len().abs_diff(offered.defects.len()) + all.abs_diff(usize::try_from(counted)?);
    Ok(figures
        .with("storm_stored", once.len() as f64)
        .with("storm_lost", lost.into_iter().max().unwrap_or(0) as f64)
        .with("storm_twice", twice.into_iter().max().unwrap_or(0) as f64)
        .with("storm_groups", groups.len() as f64)
        .with("storm_groups_wrong", wrong as f64))
}

/// Every entry of a list.
async fn list(http: &mut Http, path: &str, query: &str) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let from = cursor.map(|cursor: String| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("{path}?limit={PAGE}&{query}{from}");
        let answer = http.send("GET", &path, "application/json", b"").await?;
        if answer.status != 200 {
            bail!("{path} was answered with {}", answer.status);
        }
        let mut page: Value = serde_json::from_slice(&answer.body).context("a list is JSON")?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            all.extend(items);
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// How many crashes the store has, and of how many the bytes lie under their hash.
async fn on_disk(data: &Path, ids: &BTreeSet<CrashId>) -> anyhow::Result<(usize, usize)> {
    let store = SledStore::open(data.join("store")).await?;
    let records = store.scan_prefix(&Kind::new("crash").prefix(), None, usize::MAX).await?.entries.len();
    store.close().await?;
    let is_whole = |id: &&CrashId| {
        let name = id.to_string();
        let bytes = std::fs::read(data.join("blobs").join(&name[..2]).join(&name));
        bytes.is_ok_and(|bytes| blake3::hash(&bytes).to_hex().as_str() == name)
    };
    Ok((records, ids.iter().filter(is_whole).count()))
}
