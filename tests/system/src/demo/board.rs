//! The live picture: phones with what they run, jobs with why they wait. Drawn in place on a terminal; elsewhere
//! only what changes is written, a line each. Everything goes to stderr: stdout is for the result.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use holdfast_wire::api::{JobView, PhoneView};
use holdfast_wire::job::JobState;

/// Width of a progress bar, characters.
const BAR_WIDTH: usize = 20;

/// The picture.
#[derive(Debug)]
pub struct Board {
    in_place: bool,
    /// Lines drawn last time, to be drawn over.
    drawn: usize,
    told: BTreeMap<String, String>,
}

impl Default for Board {
    fn default() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { in_place: std::io::stderr().is_terminal() && !dumb, drawn: 0, told: BTreeMap::new() }
    }
}

impl Board {
    /// Says what happens next.
    pub fn say(&mut self, words: &str) {
        self.finish();
        eprintln!("• {words}");
    }

    /// Draws the picture anew.
    pub fn draw(&mut self, phones: &[PhoneView], jobs: &[JobView]) {
        let phone_lines = phones.iter().map(|phone| (phone.facts.udid.to_string(), phone_line(phone)));
        let job_lines = jobs
            .iter()
            .filter(|job| !matches!(job.state, JobState::Running { .. }))
            .map(|job| (job.id.to_string(), job_line(job)));
        let lines: Vec<(String, String)> = phone_lines.chain(job_lines).collect();
        if !self.in_place {
            for (name, line) in lines {
                // Per cents alone are no news in a log.
                let news: String = line.chars().filter(|c| !matches!(c, '█' | '░')).collect();
                if self.told.get(&name) != Some(&news) {
                    eprintln!("  {line}");
                    self.told.insert(name, news);
                }
            }
            return;
        }
        let mut out = std::io::stderr().lock();
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A", self.drawn));
        }
        for (_, line) in &lines {
            text.push_str(&format!("\u{1b}[2K  {line}\n"));
        }
        // Fewer lines than before leave old ones behind; they are blanked.
        for _ in lines.len()..self.drawn {
            text.push_str("\u{1b}[2K\n");
        }
        self.drawn = self.drawn.max(lines.len());
        // A terminal that is gone needs no picture.
        let _gone = out.write_all(text.as_bytes());
    }

    /// What follows is written below the picture.
    pub fn finish(&mut self) {
        self.drawn = 0;
    }
}

fn phone_line(phone: &PhoneView) -> String {
    let state = phone.state.as_str();
    let pool = phone.pool.as_ref().map(ToString::to_string).unwrap_or_default();
    let head = format!("{:<24} {pool:<8} {state:<10}", phone.facts.name);
    match &phone.progress {
        Some(progress) => {
            let job = phone.reason.trim_start_matches("runs ");
            format!("{head} {job:<6} {} {:<8} {}", bar(progress.percent), progress.step, progress.note)
        }
        None => format!("{head} {}", phone.reason).trim_end().to_owned(),
    }
}

fn job_line(job: &JobView) -> String {
    let build = &job.spec.build.build_number;
    let words = match &job.state {
        JobState::Queued => format!("waits: {}", job.waiting.as_deref().unwrap_or("its turn")),
        JobState::Running { phone, .. } => format!("runs on {phone}"),
        JobState::Ended { outcome, .. } => outcome.as_str().to_owned(),
    };
    format!("{:<4} {:<9} build {build}  {words}", job.id, job.spec.class)
}

fn bar(percent: u8) -> String {
    let full = usize::from(percent.min(100)) * BAR_WIDTH / 100;
    format!("{}{} {percent:>3} %", "█".repeat(full), "░".repeat(BAR_WIDTH - full))
}
