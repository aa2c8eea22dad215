//! Following jobs until they have ended: driven by the daemon's change stream, not by a clock.

use std::io::IsTerminal;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use holdfast_wire::api::JobView;
use holdfast_wire::id::JobId;
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::outcome::Blame;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reqwest::Method;

use super::Context;
use super::job::{jobs_table, note, state_words};
use crate::exit::{Exit, Failure};

/// A job is looked at again after so long even without news: progress is no change of state, and a daemon that
/// restarts tells nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a daemon may be away while a job is watched: long enough for a restart of its machine.
const AWAY_MAX: Duration = Duration::from_secs(300);

pub(super) async fn run(
    context: &Context,
    ids: &[JobId],
    timeout: Option<Duration>,
) -> Result<Exit, Failure> {
    let followed = follow(context, ids);
    let jobs = match timeout {
        None => followed.await?,
        Some(limit) => tokio::time::timeout(limit, followed).await.map_err(|_| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            Failure::Timeout(format!(
                "still waiting for {} after {} s; holdfast job explain says why",
                ids.join(", "),
                limit.as_secs()
            ))
        })??,
    };
    context.show(&jobs, |jobs| jobs_table(jobs))?;
    Ok(jobs.iter().map(verdict).max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done))
}

/// What the end of a job says about its build.
fn verdict(job: &JobView) -> Exit {
    match &job.state {
        JobState::Ended { outcome: JobOutcome::Passed, .. } => Exit::Done,
        JobState::Ended { outcome: JobOutcome::Failed { blame: Blame::Job, .. }, .. } => Exit::Rejected,
        JobState::Ended { .. } | JobState::Queued | JobState::Running { .. } => Exit::NoFinding,
    }
}

async fn follow(context: &Context, ids: &[JobId]) -> Result<Vec<JobView>, Failure> {
    let mut lines = Lines::new(ids);
    let mut changes = None;
    let mut away = Duration::ZERO;
    let mut told = false;
    loop {
        match look(context, ids).await {
            Ok(jobs) => {
                away = Duration::ZERO;
                told = false;
                lines.draw(&jobs);
                if jobs.iter().all(|job| matches!(job.state, JobState::Ended { .. })) {
                    lines.finish();
                    return Ok(jobs);
                }
            }
            // A daemon that restarts keeps every job: wait for it.
            // While it comes up it may answer that it is not ready yet.
            Err(Failure::Unreachable { .. } | Failure::Problem { status: 502..=504, .. })
                if away < AWAY_MAX =>
            {
                if !told {
                    let server = context.client.server();
                    lines.say(&format!("the daemon at {server} does not answer; waiting for it"));
                    told = true;
                }
                changes = None;
            }
            Err(failure) => return Err(failure),
        }
        if changes.is_none() {
            changes = news(context).await;
        }
        let began = tokio::time::Instant::now();
        match &mut changes {
            Some(stream) => {
                if let Ok(None | Some(Err(_))) = tokio::time::timeout(LOOK_AGAIN, stream.next()).await {
                    changes = None;
                    // A stream that ends at once must not become a flood of requests.
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
        away += began.elapsed();
    }
}

async fn look(context: &Context, ids: &[JobId]) -> Result<Vec<JobView>, Failure> {
    let mut jobs = Vec::with_capacity(ids.len());
    for id in ids {
        jobs.push(context.client.get(&format!("/api/v1/jobs/{id}"), &[]).await?);
    }
    Ok(jobs)
}

/// The daemon's change stream; none while it cannot be had. Its content is not read: any news is a reason to look.
pub(super) async fn news(
    context: &Context,
) -> Option<impl Stream<Item = Result<impl Sized, reqwest::Error>> + Unpin> {
    let request = context.client.request(Method::GET, "/api/v1/changes");
    let response = context.client.send(request).await.ok()?;
    Some(Box::pin(response.bytes_stream()))
}

/// One line per job: drawn anew on a terminal, written when it changes elsewhere.
struct Lines {
    bars: Vec<ProgressBar>,
    group: MultiProgress,
    said: Vec<String>,
}

impl Lines {
    fn new(ids: &[JobId]) -> Self {
        let group = MultiProgress::new();
        let bars = ids.iter().map(|_| {
            let bar = group.add(ProgressBar::new(100));
            if let Ok(style) = ProgressStyle::with_template("{prefix:8} {bar:20} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bars: bars.collect(), said: vec![String::new(); ids.len()], group }
    }

    fn draw(&mut self, jobs: &[JobView]) {
        let terminal = std::io::stderr().is_terminal();
        for ((job, bar), said) in jobs.iter().zip(&self.bars).zip(&mut self.said) {
            let words = format!("{} {}", state_words(job), note(job)).trim_end().to_owned();
            if terminal {
                let progress = job.attempts.last().and_then(|attempt| attempt.progress.as_ref());
                let percent = match job.state {
                    JobState::Ended { .. } => 100,
                    JobState::Queued | JobState::Running { .. } => {
                        progress.map_or(0, |p| u64::from(p.percent))
                    }
                };
                bar.set_prefix(job.id.to_string());
                bar.set_position(percent);
                bar.set_message(words);
            } else if *said != words {
                eprintln!("{}  {words}", job.id);
                *said = words;
            }
        }
    }

    /// Says what concerns all jobs.
    fn say(&self, words: &str) {
        if !std::io::stderr().is_terminal() || self.group.println(words).is_err() {
            eprintln!("{words}");
        }
    }

    fn finish(&self) {
        for bar in &self.bars {
            bar.finish_and_clear();
        }
        // What is left of the group is taken off the terminal; a terminal that is gone needs no clearing.
        drop(self.group.clear());
    }
}
