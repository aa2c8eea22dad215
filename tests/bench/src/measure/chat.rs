//! A phone writes a crash report → the chat has the message. Pretend phones write late, as real ones do; everything
//! between them and a strict robot is real: agent, daemon, and what they wait for on purpose.

use std::time::Duration;

use anyhow::Context;
use holdfast_system::chat::delay::{self, Delay};

use crate::figures::{Figures, percentile};

/// How late reports come: real phones take up to so long from the death to the file.
const LATE: Duration = Duration::from_secs(20);

/// Phones that crash side by side.
const PHONES_MAX: usize = 4;

/// So many reports, shared by a few phones.
///
/// # Errors
/// A message did not come, came twice, or the farm did not work.
pub async fn measure(files: usize) -> anyhow::Result<Figures> {
    let phones = files.clamp(1, PHONES_MAX);
    let delays = delay::measure(phones, files.div_ceil(phones), LATE).await?;
    let figures = Figures::default().with("reports", delays.len() as f64);
    let figures = with(figures, "file_to_chat", delays.iter().map(|delay: &Delay| delay.since_file))?;
    let figures = with(figures, "death_to_chat", delays.iter().map(|delay| delay.since_death))?;
    Ok(figures
        .remark(format!("reports come {} s after the death, on {phones} simulated phones", LATE.as_secs())))
}

fn with(figures: Figures, name: &str, spans: impl Iterator<Item = Duration>) -> anyhow::Result<Figures> {
    let mut sorted: Vec<Duration> = spans.collect();
    sorted.sort_unstable();
    let half = percentile(&sorted, 50.0).context("something was measured")?;
    let most = sorted.last().copied().unwrap_or(half);
    let figures = figures.with(&format!("{name}_p50_s"), half.as_secs_f64());
    Ok(figures.with(&format!("{name}_max_s"), most.as_secs_f64()))
}
