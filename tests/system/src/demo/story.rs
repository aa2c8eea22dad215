//! What the demo does: start a farm, upload both builds, submit the jobs, watch them, show a crash.

use anyhow::{Context, bail};
use holdfast_wire::api::{CrashView, JobRequest, JobView};
use holdfast_wire::build::Build;
use holdfast_wire::job::{JobClass, JobState};
use tokio::time::{Duration, Instant, sleep};

use super::board::Board;
use crate::farm::{Farm, Plan, sample};

/// Phones on the rack: as many as jobs.
const PHONES: usize = 8;

/// How long all jobs together may take: forty launches and as many seconds to spare on a slow machine.
const JOBS_LIMIT: Duration = Duration::from_secs(240);

/// How long the phones may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at the farm: smooth for the eye, nothing for the daemon.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The classes that are shown, each on both builds.
const CLASSES: [JobClass; 4] = [JobClass::Crash, JobClass::Baseline, JobClass::Custom, JobClass::Idle];

/// Trunk is sound. On the branch, the change lets `Feed_prefetchNext` read beyond its buffer at every third launch,
/// and the report of it comes late, as it does on real phones.
const SCENARIO: &str = "\
apps:
  dev.holdfast.demo.mooring:
    launches:
      - { takes_ms: 400, ends: { how: never } }
      - { takes_ms: 650, ends: { how: never } }
      - takes_ms: 500
        only_build: '141'
        ends: { how: signal, after_ms: 900, signal: segv, function: Feed_prefetchNext }
        report: { when: late, after_ms: 900 }
";

/// What the demo has shown.
#[derive(Debug)]
pub struct Shown {
    /// Every job, ended, in the order of submission.
    pub jobs: Vec<JobView>,
    /// Every crash, newest first.
    pub crashes: Vec<CrashView>,
    /// One of them as text.
    pub crash_text: String,
}

/// The farm that the demo runs on.
///
/// # Errors
/// A process does not start.
pub async fn start() -> anyhow::Result<Farm> {
    let plan = Plan { scenario: Some(SCENARIO.to_owned()), ..Plan::of(PHONES) };
    Farm::start(&plan).await
}

/// Uploads, submits, watches until every job has ended.
///
/// # Errors
/// Something takes too long, or no crash was found although the app crashes.
pub async fn tell(farm: &Farm, board: &mut Board) -> anyhow::Result<Shown> {
    board.say("the phones come up");
    wait_for_phones(farm, board).await?;
    board.say("two builds are uploaded: trunk 140 and the branch feature/prefetch, 141");
    let mut builds: Vec<Build> = Vec::new();
    for (number, branch, commit) in [("140", "trunk", "5b1f0c2"), ("141", "feature/prefetch", "9e27d41")] {
        let (archive, symbols) = (format!("mooring-{number}.ipa"), format!("mooring-{number}.dSYM.zip"));
        let origin = [("branch", branch), ("commit", commit)];
        builds.push(farm.api.upload(&sample(&archive), &sample(&symbols), &origin).await?);
    }
    board.say("eight jobs are submitted: each class on both builds, five cold launches each");
    let mut ids = Vec::new();
    for class in CLASSES {
        for build in &builds {
            let plain = JobRequest::plain(class, build.identity.hash);
            let request = JobRequest { cases: vec!["cold-launch".parse()?], ..plain };
            let key = format!("demo-{class}-{}", build.identity.build_number);
            ids.push(farm.api.submit(&request, &key).await?.id);
        }
    }
    let deadline = Instant::now() + JOBS_LIMIT;
    let jobs = loop {
        let mut jobs = Vec::with_capacity(ids.len());
        for id in &ids {
            jobs.push(farm.api.job(*id).await?);
        }
        board.draw(&farm.api.phones().await?, &jobs);
        if jobs.iter().all(|job| matches!(job.state, JobState::Ended { .. })) {
            break jobs;
        }
        if Instant::now() > deadline {
            bail!(
                "the jobs did not end within {} s; the agent's log ends:\n{}",
                JOBS_LIMIT.as_secs(),
                farm.agent.log_tail()
            );
        }
        sleep(LOOK_EVERY).await;
    };
    board.finish();
    let crashes = farm.api.crashes().await?;
    let first = crashes.iter().find(|crash| crash.top_frame.is_some()).or(crashes.first());
    let first = first.context("the app crashes on these phones, but no crash was found")?;
    let crash_text = farm.api.crash_text(first.origin.id).await?;
    Ok(Shown { jobs, crashes, crash_text })
}

async fn wait_for_phones(farm: &Farm, board: &mut Board) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let phones = farm.api.phones().await?;
        board.draw(&phones, &[]);
        let ready = phones.iter().filter(|phone| phone.state.as_str() == "ready").count();
        if ready == PHONES {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{ready} of {PHONES} phones are ready; the agent's log ends:\n{}", farm.agent.log_tail());
        }
        sleep(LOOK_EVERY).await;
    }
}
