//! The end of the demo: a table for people, the same as JSON for programs.

use comfy_table::{Table, presets};
use holdfast_wire::api::JobView;
use holdfast_wire::job::{JobOutcome, JobState};
use holdfast_wire::outcome::Blame;
use serde::Serialize;

use super::story::Shown;

/// One job of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub job: String,
    /// Its class.
    pub class: String,
    /// The build's number.
    pub build: String,
    /// The phone of its last attempt.
    pub phone: String,
    /// `passed`, `failed`, …
    pub outcome: String,
    /// Why, when it did not pass.
    pub reason: Option<String>,
    /// From its submission to its end, seconds.
    pub seconds: f64,
    /// Crash files that were found in it.
    pub crashes: usize,
}

/// The whole result.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Every phone of it is simulated.
    pub simulated: bool,
    /// Every job, in the order of submission.
    pub jobs: Vec<Row>,
    /// Crash files in all.
    pub crashes: usize,
}

impl Summary {
    /// What was shown, as a table.
    pub fn of(shown: &Shown) -> Self {
        Self { simulated: true, jobs: shown.jobs.iter().map(row).collect(), crashes: shown.crashes.len() }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["job", "class", "build", "phone", "outcome", "took", "crashes", ""]);
        for row in &self.jobs {
            table.add_row([
                row.job.clone(),
                row.class.clone(),
                row.build.clone(),
                row.phone.clone(),
                row.outcome.clone(),
                format!("{:.1} s", row.seconds),
                row.crashes.to_string(),
                row.reason.clone().unwrap_or_default(),
            ]);
        }
        table.trim_fmt()
    }

    /// Whether every job came to an end that says something about the build.
    pub fn is_sound(&self) -> bool {
        self.jobs.iter().all(|row| row.outcome == "passed" || row.outcome == "failed") && self.crashes > 0
    }
}

fn row(job: &JobView) -> Row {
    let (outcome, reason, ended) = match &job.state {
        JobState::Ended { outcome: outcome @ JobOutcome::Failed { blame, reason }, at } => {
            let whose = if *blame == Blame::Job { String::new() } else { format!("blames the {blame}: ") };
            (outcome.as_str().to_owned(), Some(format!("{whose}{reason}")), *at)
        }
        JobState::Ended { outcome, at } => (outcome.as_str().to_owned(), None, *at),
        JobState::Queued | JobState::Running { .. } => ("still open".to_owned(), None, job.submitted_at),
    };
    Row {
        job: job.id.to_string(),
        class: job.spec.class.to_string(),
        build: job.spec.build.build_number.clone(),
        phone: job.attempts.last().map(|attempt| attempt.phone.to_string()).unwrap_or_default(),
        outcome,
        reason,
        seconds: ended.since(job.submitted_at).as_secs_f64(),
        crashes: job.attempts.iter().map(|attempt| attempt.crashes.len()).sum(),
    }
}
