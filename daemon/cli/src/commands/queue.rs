//! `holdfast queue`: what waits and what runs, by class. Why one job waits is `holdfast job explain`.

use std::io::IsTerminal;
use std::time::Duration;

use futures_util::StreamExt;
use holdfast_wire::api::{ClassQueue, QueueView};
use holdfast_wire::job::JobClass;

use super::waiting::in_short;
use super::{Context, watch};
use crate::args::Queue;
use crate::exit::{Exit, Failure};
use crate::output::{ago, span, table};

/// News that come closer together than this are shown at once: a person reads no faster.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// The queue is looked at again after so long even without news: ages and expected starts move by themselves.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Clears a terminal and goes to its first line (ECMA-48: ED 2, CUP).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub(super) async fn run(context: &Context, queue: &Queue) -> Result<Exit, Failure> {
    let class = queue.class.map(JobClass::from);
    if !queue.watch {
        let view = look(context, class).await?;
        return context.show(&view, text);
    }
    let terminal = std::io::stdout().is_terminal();
    let mut shown = None;
    loop {
        // The stream is opened before the look: what changes in between is news.
        let mut news = watch::news(context).await;
        loop {
            let view = look(context, class).await?;
            // The instant of the picture changes by itself; only what it shows counts.
            if shown.as_ref().is_none_or(|before: &QueueView| terminal || before.classes != view.classes) {
                if terminal {
                    crate::output::write(CLEAR.as_bytes()).map_err(super::stdout_failed)?;
                }
                context.show(&view, text)?;
                shown = Some(view);
            }
            tokio::time::sleep(SHOW_EVERY).await;
            let Some(stream) = &mut news else { break };
            if let Ok(None | Some(Err(_))) = tokio::time::timeout(LOOK_AGAIN, stream.next()).await {
                break;
            }
        }
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

async fn look(context: &Context, class: Option<JobClass>) -> Result<QueueView, Failure> {
    let query: Vec<(&str, String)> = class.iter().map(|class| ("class", class.to_string())).collect();
    context.client.get("/api/v1/queue", &query).await
}

fn text(view: &QueueView) -> String {
    let classes = view.classes.iter().map(|class| {
        vec![
            class.class.to_string(),
            class.waiting.to_string(),
            class.running.to_string(),
            class.oldest.map(|oldest| ago(view.at, oldest)).unwrap_or_default(),
        ]
    });
    let mut text = table(&["class", "waiting", "running", "oldest"], &[], classes);
    if view.classes.iter().all(|class| class.waiting == 0) {
        text.push_str("\n\nnothing waits");
        return text;
    }
    let rows = view.classes.iter().flat_map(|class| class.next.iter().map(move |job| (class.class, job)));
    let rows = rows.map(|(class, job)| {
        vec![
            job.job.to_string(),
            class.to_string(),
            job.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
            span(view.at.since(job.submitted_at)),
            job.eta.as_ref().map(|eta| in_short(view.at, eta)).unwrap_or_default(),
            job.waiting.clone().unwrap_or_default(),
        ]
    });
    text.push_str("\n\n");
    text.push_str(&table(&["job", "class", "owner", "waits", "starts", "why"], &["owner", "waits"], rows));
    let more: usize = view.classes.iter().map(not_shown).sum();
    if more > 0 {
        text.push_str(&format!("\n(and {more} more: holdfast job list --state queued)"));
    }
    text
}

fn not_shown(class: &ClassQueue) -> usize {
    class.waiting.saturating_sub(class.next.len())
}
