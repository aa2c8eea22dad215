//! Nothing is lost and nothing happens twice, whoever dies: sixty jobs run while daemon and agent are killed and
//! phones are pulled out at moments that a seed chooses. What really happened is read from the phones' own logs.
//! Kills that tear the disk are the store's own crash test.
//!
//! `HOLDFAST_SEED=<number>` plays the same choices again.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may fail loudly, and tells what it did"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_system::api::Api;
use holdfast_system::control::{Control, Entry, PhoneEvent};
use holdfast_system::farm::{APP, Farm, Plan, sample};
use holdfast_wire::api::{CrashView, JobRequest, JobView};
use holdfast_wire::build::Build;
use holdfast_wire::job::{JobClass, JobOutcome, JobState};
use holdfast_wire::outcome::Blame;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

const PHONES: usize = 8;
const JOBS: usize = 60;
const DAEMON_KILLS: usize = 10;
const AGENT_KILLS: usize = 10;
const DETACHES: usize = 10;

/// Launches between two blows, at most: thirty blows fit into the hundred and twenty launches of the jobs.
const LAUNCHES_BETWEEN_MAX: u64 = 6;

/// Jobs that are open at once: always more than phones, and some left to submit while things die.
const OPEN_JOBS_MAX: usize = 20;

/// How long the next step of the farm may take, a restart of daemon and agent and a lease's end included.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// How long the rest may take once nothing dies any more.
const END_LIMIT: Duration = Duration::from_secs(120);

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[tokio::test]
async fn nothing_is_lost_and_nothing_happens_twice_whoever_dies() {
    let seed = seed();
    eprintln!("HOLDFAST_SEED={seed}");
    let begun = Instant::now();
    let mut farm = Farm::start(&plan()).await.unwrap();
    let build = upload(&farm.api).await;
    let api = farm.api.clone();
    let mut random = Random(seed);
    let (mut told, ()) = tokio::join!(strike(&mut farm, &mut random), submit_all(api, build, seed));

    let jobs = all_ended(&farm).await;
    quiet(&farm).await;
    assert_eq!(ends(&farm.api.jobs().await.unwrap()), ends(&jobs), "a recorded outcome never changes");
    assert_eq!(jobs.len(), JOBS, "one job for each key");
    let mut logs = Logs::new(&farm.control).await;
    logs.read(&farm.control).await;
    let crashes = farm.api.crashes().await.unwrap();
    told.extend(count(&jobs, &crashes, &logs));
    told.push(("seconds".to_owned(), begun.elapsed().as_secs()));
    for (what, how_many) in &told {
        eprintln!("{how_many:>6}  {what}");
    }
    for job in &jobs {
        let JobState::Ended { outcome, .. } = &job.state else { panic!("{} is open", job.id) };
        let about_the_build =
            matches!(outcome, JobOutcome::Passed | JobOutcome::Failed { blame: Blame::Job, .. });
        assert!(about_the_build, "{}: {outcome:?} after {} attempts", job.id, job.attempts.len());
    }
    let attempts: usize = jobs.iter().map(|job| job.attempts.len()).sum();
    assert!(
        attempts > JOBS && !crashes.is_empty(),
        "nothing was cut, or nothing crashed: this proves nothing"
    );
    for (phone, log) in &logs.0 {
        one_lease_at_a_time(phone, log);
        every_report_once(&farm.control, phone, log, &crashes).await;
    }
    farm.stop().await.unwrap();
}

// ---- the farm and its work ----

/// Phones whose apps crash now and then, each in its own way; short deadlines, and patience with racks that die.
fn plan() -> Plan {
    let launches = [
        "[{ takes_ms: 250, ends: { how: never } }]".to_owned(),
        "[{ takes_ms: 150, ends: { how: never } }, { takes_ms: 200, ends: { how: signal, after_ms: 100, signal: segv } }]"
            .to_owned(),
        "[{ takes_ms: 200, ends: { how: never } }, { takes_ms: 200, ends: { how: exception, after_ms: 80 }, \
         report: { when: late, after_ms: 700 } }]"
            .to_owned(),
        // This report comes when the attempt does not wait for it any more.
        "[{ takes_ms: 200, ends: { how: signal, after_ms: 50, signal: abort }, report: { when: late, after_ms: 2500 } }, \
         { takes_ms: 300, ends: { how: never } }, { takes_ms: 300, ends: { how: never } }]"
            .to_owned(),
    ];
    let mut scenario = "phones:\n".to_owned();
    for phone in 0..PHONES {
        let launches = &launches[phone % launches.len()];
        scenario.push_str(&format!(
            "  - begins_with:\n      - {{ fault: behaviour, bundle_id: {APP}, behaviour: {{ launches: {launches} }} }}\n"
        ));
    }
    Plan {
        scenario: Some(scenario),
        daemon_more: "timeouts: { long_poll_s: 2 }\n".to_owned(),
        pools_more:
            "retries: { rack: 20, phone: 20, farm: 20 }\nquarantine: { after_failures: 100, lasts_s: 1 }\n\
                     rack_silent_after_s: 4\nattempt_overhead_s: 60\n"
                .to_owned(),
        agent_more:
            "timeouts:\n  poll_ms: 1000\n  crash_grace_ms: 1500\n  relist_ms: 300\n  confirm_ms: 5000\n  \
                     facts_every_ms: 2000\n  retry_every_ms: 1000\n  return_grace_ms: 1000\n"
                .to_owned(),
        ..Plan::of(PHONES)
    }
}

async fn upload(api: &Api) -> Build {
    let (archive, symbols) = (sample("mooring-140.ipa"), sample("mooring-140.dSYM.zip"));
    api.upload(&archive, &symbols, &[("branch", "trunk")]).await.unwrap()
}

/// Submits every job under its own key, again and again until it is answered, whatever dies meanwhile.
async fn submit_all(api: Api, build: Build, seed: u64) {
    let classes = [JobClass::Crash, JobClass::Baseline, JobClass::Custom, JobClass::Idle];
    let mut random = Random(seed ^ 0x5eed);
    for number in 0..JOBS {
        wait_for(STEP_LIMIT * 2, "room in the queue", async || {
            let jobs = api.jobs().await.ok()?;
            (jobs.iter().filter(|job| !is_over(job)).count() < OPEN_JOBS_MAX).then_some(())
        })
        .await;
        let case = json!({
            "name": "two-launches",
            "owner": "farm",
            "run": { "kind": "launch", "launches": 2, "stay_ms": random.below(200) + 200, "launch_timeout_ms": 20_000 },
        });
        let request = JobRequest {
            inline_cases: vec![serde_json::from_value(case).unwrap()],
            ..JobRequest::plain(classes[number % classes.len()], build.identity.hash)
        };
        let key = format!("kills-{number}");
        wait_for(STEP_LIMIT, "an answer to a submission", async || api.submit(&request, &key).await.ok())
            .await;
    }
}

// ---- the blows ----

#[derive(Debug, Clone, Copy)]
enum Blow {
    KillDaemon,
    KillAgent,
    Detach,
}

/// Kills and detaches in random order. Each blow comes when the phones have launched some more times, and a random
/// moment later, because the step that comes right after a launch is not the only one that can be cut.
async fn strike(farm: &mut Farm, random: &mut Random) -> Vec<(String, u64)> {
    let mut blows = vec![Blow::KillDaemon; DAEMON_KILLS];
    blows.extend([Blow::KillAgent; AGENT_KILLS]);
    blows.extend([Blow::Detach; DETACHES]);
    random.shuffle(&mut blows);
    let mut logs = Logs::new(&farm.control).await;
    let (mut launches, mut opening) = (0, 0);
    for blow in &blows {
        launches += 1 + random.below(LAUNCHES_BETWEEN_MAX);
        wait_for(STEP_LIMIT, &format!("launch {launches}"), async || {
            logs.read(&farm.control).await;
            // Blows that come after the last job find a farm that rests, which is a moment like any other.
            let open = match farm.api.jobs().await {
                Ok(jobs) => jobs.len() < JOBS || jobs.iter().any(|job| !is_over(job)),
                Err(_) => true,
            };
            (logs.launches() >= launches || !open).then_some(())
        })
        .await;
        launches = logs.launches();
        sleep(Duration::from_millis(random.below(500))).await;
        match blow {
            Blow::KillDaemon => {
                farm.daemon.kill().await.unwrap();
                sleep(Duration::from_millis(random.below(1_500))).await;
                // Now and then it dies again while it opens its store.
                let patience = Duration::from_millis(random.below(40));
                if timeout(patience, farm.restart_daemon()).await.is_err() {
                    farm.daemon.kill().await.unwrap();
                    opening += 1;
                }
                if !farm.daemon.is_running().unwrap() {
                    farm.restart_daemon().await.unwrap();
                }
            }
            Blow::KillAgent => {
                farm.agent.kill().await.unwrap();
                sleep(Duration::from_millis(random.below(1_500))).await;
                farm.restart_agent().unwrap();
            }
            Blow::Detach => {
                let phone = &logs.0.keys().nth(random.index(PHONES)).unwrap();
                let back_after_ms = 500 + random.below(1_500);
                let fault = json!({ "fault": "detach", "back_after_ms": back_after_ms });
                farm.control.inflict(phone, fault).await.unwrap();
            }
        }
        assert!(farm.agent.is_running().unwrap(), "the agent ended by itself:\n{}", farm.agent.log_tail());
        assert!(farm.daemon.is_running().unwrap(), "the daemon ended by itself:\n{}", farm.daemon.log_tail());
    }
    let count = |what: &str, how_many: usize| (what.to_owned(), u64::try_from(how_many).unwrap());
    vec![
        count("kills of the daemon", DAEMON_KILLS),
        count("more kills while it opened its store", opening),
        count("kills of the agent", AGENT_KILLS),
        count("phones pulled out", DETACHES),
    ]
}

// ---- the end ----

async fn all_ended(farm: &Farm) -> Vec<JobView> {
    let mut last = Vec::new();
    let ended = timeout(END_LIMIT, async {
        loop {
            last = farm.api.jobs().await.unwrap();
            if last.iter().all(is_over) {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    });
    if ended.await.is_err() {
        let open: Vec<_> = last.iter().filter(|job| !is_over(job)).collect();
        panic!("open: {open:#?}\nthe agent's log ends:\n{}", farm.agent.log_tail());
    }
    last
}

/// Waits until no entry is in the outbox, all phones are idle, and the late reports have been fetched.
async fn quiet(farm: &Farm) {
    let outbox = farm.folder().join("agent/outbox");
    wait_for(STEP_LIMIT, "an outbox without entries", async || entries(&outbox).is_empty().then_some(()))
        .await;
    // Once more after the reports that come last: what they leave has to go, too.
    wait_for(STEP_LIMIT, "phones without crash reports", async || {
        for udid in farm.control.udids().await.unwrap() {
            if !farm.control.crash_files(&udid).await.unwrap().is_empty() {
                return None;
            }
        }
        entries(&outbox).is_empty().then_some(())
    })
    .await;
    let aside = ["refused", "damaged"].map(|folder| entries(&outbox.join(folder)));
    assert_eq!(aside, [Vec::<String>::new(), Vec::new()], "entries that the daemon would not have");
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(list) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = list.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "json")).collect()
}

fn is_over(job: &JobView) -> bool {
    matches!(job.state, JobState::Ended { .. })
}

fn ends(jobs: &[JobView]) -> BTreeMap<String, String> {
    jobs.iter().map(|job| (job.id.to_string(), format!("{:?}", job.state))).collect()
}

/// From the phone's own log: no launch of one lease while a process of another lives, and leases in their order.
fn one_lease_at_a_time(phone: &str, log: &[Entry]) {
    let mut newest = 0;
    let mut living: BTreeMap<u32, u64> = BTreeMap::new();
    for entry in log {
        match &entry.event {
            PhoneEvent::Launched { bundle_id, pid, environment } if bundle_id == APP => {
                let lease: u64 = environment["HOLDFAST_LEASE"].parse().unwrap();
                let at = format!("{phone}, entry {}: lease {lease}", entry.number);
                assert!(lease >= newest, "{at} after lease {newest}");
                let other = living.values().find(|other| **other != lease);
                assert_eq!(other, None, "{at} while a process of another lease lives");
                newest = lease;
                living.insert(*pid, lease);
            }
            PhoneEvent::Ended { pid } => {
                living.remove(pid);
            }
            _ => {}
        }
    }
    assert!(living.is_empty(), "{phone}: processes of leases that are over live on: {living:?}");
}

/// Every report that the phone wrote is in the store once, or still on the phone; and nothing else is in the store.
async fn every_report_once(control: &Control, phone: &str, log: &[Entry], crashes: &[CrashView]) {
    let waiting = control.crash_files(phone).await.unwrap();
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in log {
        if let PhoneEvent::CrashFileWritten { path } = &entry.event {
            *written.entry(path).or_default() += 1;
        }
    }
    let of_phone =
        crashes.iter().filter(|crash| crash.origin.phone.as_ref().is_some_and(|of| of.as_str() == phone));
    let mut stored: BTreeMap<&str, usize> = BTreeMap::new();
    for crash in of_phone {
        assert_eq!(crash.kind, "crash", "{}", crash.origin.path);
        *stored.entry(&crash.origin.path).or_default() += 1;
    }
    for (path, times) in &written {
        let here = waiting.iter().any(|file| file == path);
        let there = stored.remove(path).unwrap_or_default();
        assert!(
            there == *times || (here && there + 1 == *times),
            "{phone} {path}: written {times} times, {there} times in the store, on the phone: {here}"
        );
    }
    assert!(stored.is_empty(), "{phone}: reports that it never wrote: {stored:?}");
}

fn count(jobs: &[JobView], crashes: &[CrashView], logs: &Logs) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for job in jobs {
        if let JobState::Ended { outcome, .. } = &job.state {
            *counts.entry(format!("jobs {}", outcome.as_str())).or_default() += 1;
        }
        *counts.entry("attempts".to_owned()).or_default() += u64::try_from(job.attempts.len()).unwrap();
    }
    let of_attempts = crashes.iter().filter(|crash| crash.origin.attempt.is_some()).count();
    counts.insert("crash reports in the store".to_owned(), u64::try_from(crashes.len()).unwrap());
    counts.insert("of these with their attempt".to_owned(), u64::try_from(of_attempts).unwrap());
    counts.insert("launches".to_owned(), logs.launches());
    counts.into_iter().collect()
}

/// The phones' own logs, read whole.
struct Logs(BTreeMap<String, Vec<Entry>>);

impl Logs {
    async fn new(control: &Control) -> Self {
        Self(control.udids().await.unwrap().into_iter().map(|udid| (udid, Vec::new())).collect())
    }

    async fn read(&mut self, control: &Control) {
        for (udid, log) in &mut self.0 {
            let last = log.last().map_or(0, |entry| entry.number);
            let more = control.events_after(udid, last).await.unwrap();
            assert!(
                more.first().is_none_or(|entry| entry.number == last + 1),
                "{udid} forgot a part of its log"
            );
            log.extend(more);
        }
    }

    fn launches(&self) -> u64 {
        let launched = |entry: &&Entry| matches!(entry.event, PhoneEvent::Launched { .. });
        u64::try_from(self.0.values().flatten().filter(launched).count()).unwrap()
    }
}

/// Looks again and again until there is an answer. The pause only keeps the looking cheap.
async fn wait_for<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", limit.as_secs());
        sleep(LOOK_EVERY).await;
    }
}

fn seed() -> u64 {
    match std::env::var("HOLDFAST_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
    }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap())).unwrap()
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.index(last + 1));
        }
    }
}
