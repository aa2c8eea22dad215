//! How long it takes until people hear of a crash: a farm on which every launch dies of its own cause and the phones
//! write their reports late, as real ones do, and a chat that is told of each.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use holdfast_wire::api::{JobRequest, JobView};
use holdfast_wire::build::Build;
use holdfast_wire::case::Case;
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::robot::Robot;
use crate::control::{Entry, PhoneEvent};
use crate::farm::{APP, Farm, Plan, sample};

/// Who wrote the commit of the build.
pub const AUTHOR: &str = "ada@example.com";

/// What the chat calls them.
pub const AUTHOR_ID: &str = "ou_ada";

/// The commit of the build.
pub const COMMIT: &str = "5b1f0c2d9e7a4431";

/// The case that is run.
pub const CASE: &str = "cold-start";

/// How long the phones may take to be ready, with all other tests beside them.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Between two looks at the phones.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What one launch, its wait for a report that comes at once, and its part of everything else may take on a busy machine;
/// on top of the time for which reports are late.
const LAUNCH_LIMIT: Duration = Duration::from_secs(30);

/// A farm with a robot, ready to crash.
#[derive(Debug)]
pub struct Stage {
    /// The chat.
    pub robot: Robot,
    /// The farm, whose phones are all for crash jobs.
    pub farm: Farm,
    /// The build under test.
    pub build: Build,
    udids: Vec<String>,
}

/// How long one message took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Since the phone had written the report.
    pub since_file: Duration,
    /// Since the process died.
    pub since_death: Duration,
}

impl Stage {
    /// A farm of so many phones that are ready, and a build with its symbols.
    ///
    /// # Errors
    /// A process does not start, or the phones are not ready in time.
    pub async fn start(phones: usize) -> anyhow::Result<Self> {
        let robot = Robot::start().await?;
        let notify = Some(robot.rules(&[(AUTHOR, AUTHOR_ID)]));
        let farm = Farm::start(&Plan { crash_phones: phones, notify, ..Plan::of(phones) }).await?;
        let origin = [("branch", "trunk"), ("commit", COMMIT), ("author", AUTHOR)];
        let (archive, symbols) = (sample("mooring-140.ipa"), sample("mooring-140.dSYM.zip"));
        let build = farm.api.upload(&archive, &symbols, &origin).await?;
        let udids = farm.control.udids().await?;
        let this = Self { robot, farm, build, udids };
        this.wait_for_phones().await?;
        Ok(this)
    }

    /// Has each phone's app do what its list of launches says, and submits one job a phone. The reports come `late`.
    ///
    /// # Errors
    /// The rack or the daemon refuses.
    pub async fn crash(&self, endings: &[Vec<Value>], late: Duration) -> anyhow::Result<Vec<JobView>> {
        let report = json!({ "when": "late", "after_ms": u64::try_from(late.as_millis())? });
        let mut jobs = Vec::new();
        for (number, (udid, endings)) in self.udids.iter().zip(endings).enumerate() {
            let launches: Vec<Value> =
                endings.iter().map(|ends| json!({ "ends": ends, "report": report })).collect();
            let behaviour = json!({ "launches": launches });
            let fault = json!({ "fault": "behaviour", "bundle_id": APP, "behaviour": behaviour });
            self.farm.control.inflict(udid, fault).await?;
            let run = json!({ "kind": "launch", "launches": endings.len(), "stay_ms": 3_000 });
            let case: Case =
                serde_json::from_value(json!({ "name": CASE, "owner": "stability", "run": run }))?;
            let request = JobRequest {
                inline_cases: vec![case],
                ..JobRequest::plain(JobClass::Crash, self.build.identity.hash)
            };
            jobs.push(self.farm.api.submit(&request, &format!("crash-{number}")).await?);
        }
        Ok(jobs)
    }

    /// What happened on each phone, in its order.
    ///
    /// # Errors
    /// The rack does not answer.
    pub async fn events(&self) -> anyhow::Result<Vec<Vec<Entry>>> {
        let mut all = Vec::new();
        for udid in &self.udids {
            all.push(self.farm.control.events_after(udid, 0).await?);
        }
        Ok(all)
    }

    async fn wait_for_phones(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let phones = self.farm.api.phones().await?;
            let ready = phones.iter().filter(|phone| phone.state.as_str() == "ready").count();
            if ready == self.udids.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{ready} of {} phones are ready:\n{}", self.udids.len(), self.farm.agent.log_tail());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Lets so many apps die on each of so many phones, every one of another cause, and says how long each message took.
///
/// # Errors
/// A message did not come in time, came twice, or the farm did not work.
pub async fn measure(phones: usize, launches: usize, late: Duration) -> anyhow::Result<Vec<Delay>> {
    let stage = Stage::start(phones).await?;
    let libraries: Vec<Vec<String>> = (0..phones)
        .map(|phone| (0..launches).map(|launch| library(phone * launches + launch)).collect())
        .collect();
    let before_main =
        |name: &String| json!({ "how": "before_main", "library": format!("@rpath/{name}.framework/{name}") });
    let endings: Vec<Vec<Value>> =
        libraries.iter().map(|of_phone| of_phone.iter().map(before_main).collect()).collect();
    stage.crash(&endings, late).await?;
    let limit = late + LAUNCH_LIMIT * u32::try_from(launches.max(1))?;
    let heard = stage.robot.told(phones * launches, limit).await?;
    let mut came: BTreeMap<&str, SystemTime> = BTreeMap::new();
    for name in libraries.iter().flatten() {
        let mut about = heard.iter().filter(|heard| heard.title.contains(name.as_str()));
        let first = about.next().with_context(|| format!("nobody was told of {name}: {heard:?}"))?;
        if about.next().is_some() {
            bail!("{name} was told of more than once: {heard:?}");
        }
        came.insert(name, first.at);
    }
    let mut delays = Vec::new();
    for (of_phone, entries) in libraries.iter().zip(stage.events().await?) {
        let ends = times(&entries, |event| matches!(event, PhoneEvent::Ended { .. }));
        let files = times(&entries, |event| matches!(event, PhoneEvent::CrashFileWritten { .. }));
        // Every report is as late as the others of its phone, so they come in the order of the deaths.
        for ((name, ended), written) in of_phone.iter().zip(ends).zip(files) {
            let at = came.get(name.as_str()).copied().context("each was told")?;
            delays.push(Delay { since_file: since(written, at), since_death: since(ended, at) });
        }
    }
    if delays.len() != phones * launches {
        bail!("{} of {} deaths are on the phones' record", delays.len(), phones * launches);
    }
    stage.farm.stop().await?;
    Ok(delays)
}

/// A name that no other number has. Digits and letters of hex numbers are noise to a signature, so it has neither.
fn library(number: usize) -> String {
    const LETTERS: [char; 16] =
        ['g', 'h', 'i', 'j', 'k', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w'];
    let digits = [number / 256, number / 16, number];
    let letters = digits.iter().filter_map(|digit| LETTERS.get(digit % LETTERS.len()));
    format!("Part{}", letters.collect::<String>())
}

fn times(entries: &[Entry], is_wanted: impl Fn(&PhoneEvent) -> bool) -> Vec<Time> {
    entries.iter().filter(|entry| is_wanted(&entry.event)).map(|entry| entry.at).collect()
}

/// Nothing when the clock says that it was before.
fn since(from: Time, to: SystemTime) -> Duration {
    let from = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(from.as_unix_ms()).unwrap_or(0));
    to.duration_since(from).unwrap_or_default()
}
