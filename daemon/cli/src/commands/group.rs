//! `holdfast group …`: crashes of the same defect, and what operators decide about them.

use holdfast_wire::api::{CrashView, Page};
use holdfast_wire::build::Build;
use holdfast_wire::group::{
    CommitsBetween, FirstBad, GroupDeed, GroupState, GroupView, Seen, SeenInBuild, Suggestions, Suspect,
};
use holdfast_wire::id::{BuildHash, CrashId, GroupId};
use serde::{Deserialize, Serialize};

use super::{Context, asking, more, paging};
use crate::args::{GroupCommand, Who};
use crate::exit::{Exit, Failure};
use crate::output::{Format, ago, fields, now, printable, table};

/// Columns of the longest bar of a trend.
const BAR_COLUMNS: u64 = 50;
/// Letters of a commit's hash that people read.
const COMMIT_LETTERS: usize = 10;
/// Characters of a signature in a list.
const TITLE_CHARS: usize = 70;

/// A group with what may be worth doing about it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    group: GroupView,
    suggestions: Suggestions,
}

pub(super) async fn run(context: &Context, command: GroupCommand) -> Result<Exit, Failure> {
    match command {
        GroupCommand::List { state, page } => {
            let mut query = paging(&page);
            query.push(("state", state.as_str().to_owned()));
            let page: Page<GroupView> = context.client.page("/api/v1/groups", &query).await?;
            context.show(&page, list)
        }
        GroupCommand::Show { id } => {
            let group: GroupView = context.client.get(&path(&id), &[]).await?;
            let suggestions: Suggestions =
                context.client.get(&format!("{}/suggestions", path(&group.id)), &[]).await?;
            context.show(&Shown { group, suggestions }, |shown| describe(&shown.group, &shown.suggestions))
        }
        GroupCommand::Trend { id } => {
            let group: GroupView = context.client.get(&path(&id), &[]).await?;
            match context.format {
                Format::Json => context.show(&group.trend, |_| String::new()),
                Format::Text => context.show(&group, trend),
            }
        }
        GroupCommand::Crashes { id, page } => {
            let page: Page<CrashView> =
                context.client.page(&format!("{}/crashes", path(&id)), &paging(&page)).await?;
            context.show(&page, super::crash::list)
        }
        GroupCommand::Merge { id, into, who } => act(context, &id, who, &GroupDeed::Merge { into }).await,
        GroupCommand::Split { id, group, crashes, who } => {
            let mut named = Vec::new();
            for crash in crashes {
                named.push(crash_id(context, &crash).await?);
            }
            act(context, &id, who, &GroupDeed::Split { group, crashes: named }).await
        }
        GroupCommand::Rename { id, name, who } => act(context, &id, who, &GroupDeed::Rename { name }).await,
        GroupCommand::Ignore { id, lasts, who } => {
            let for_s = lasts.map(|lasts| lasts.as_secs());
            act(context, &id, who, &GroupDeed::Ignore { for_s }).await
        }
        GroupCommand::Fix { id, build, who } => {
            let build = match build {
                Some(build) => Some(build_hash(context, &build).await?),
                None => None,
            };
            act(context, &id, who, &GroupDeed::Fix { build }).await
        }
        GroupCommand::Reopen { id, who } => act(context, &id, who, &GroupDeed::Reopen).await,
    }
}

fn path(id: &GroupId) -> String {
    format!("/api/v1/groups/{id}")
}

async fn act(context: &Context, id: &GroupId, who: Who, deed: &GroupDeed) -> Result<Exit, Failure> {
    let request = context.client.request(reqwest::Method::POST, &path(id)).query(&asking(who)).json(deed);
    let group: GroupView = context.client.document(context.client.send(request).await?).await?;
    context.show(&group, |group| describe(group, &Suggestions { merge: Vec::new(), split: Vec::new() }))
}

/// The whole id of a crash of which the beginning was typed.
async fn crash_id(context: &Context, prefix: &str) -> Result<CrashId, Failure> {
    #[derive(Deserialize)]
    struct Whole {
        crash: CrashView,
    }
    let whole: Whole = context.client.get(&format!("/api/v1/crashes/{prefix}"), &[]).await?;
    Ok(whole.crash.origin.id)
}

async fn build_hash(context: &Context, prefix: &str) -> Result<BuildHash, Failure> {
    let build: Build = context.client.get(&format!("/api/v1/builds/{prefix}"), &[]).await?;
    Ok(build.identity.hash)
}

fn list(page: &Page<GroupView>) -> String {
    if page.items.is_empty() {
        return "no crash groups here; `holdfast group list --state all` shows those that are ignored or fixed, too"
            .to_owned();
    }
    let now = now();
    let rows = page.items.iter().map(|group| {
        // A crash that was imported knows its version only.
        let versions = || group.app_versions.first().map(|seen| seen.what.clone()).unwrap_or_default();
        let builds = group.builds.first().map_or_else(versions, in_build);
        vec![
            group.id.to_string(),
            group.state.word().to_owned(),
            group.count.to_string(),
            group.phones.len().to_string(),
            group.last_seen.map(|at| ago(now, at)).unwrap_or_default(),
            builds,
            group.title.chars().take(TITLE_CHARS).collect(),
        ]
    });
    let columns = ["group", "state", "crashes", "phones", "last seen", "last build", "what"];
    table(&columns, &["phones", "last build", "state"], rows) + &more(page.next_cursor.as_ref())
}

fn describe(group: &GroupView, suggestions: &Suggestions) -> String {
    let now = now();
    let mut text = fields(&[
        ("group", group.id.to_string()),
        ("name", group.name.clone().unwrap_or_default()),
        ("signature", group.signature.clone()),
        ("state", state(&group.state)),
        ("ended by", group.ended_by.clone().unwrap_or_default()),
        (
            "process",
            [group.process.clone(), group.bundle_id.clone()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("crashes", group.count.to_string()),
        ("attempts", affected(group)),
        ("first seen", group.first_seen.map(|at| ago(now, at)).unwrap_or_default()),
        ("last seen", group.last_seen.map(|at| ago(now, at)).unwrap_or_default()),
        ("first bad build", group.first_bad.as_ref().map(in_build).unwrap_or_default()),
        ("brought by", group.odds.as_ref().map(odds).unwrap_or_default()),
        ("last good build", group.last_good.as_ref().map(in_build).unwrap_or_default()),
        ("commits between", group.between.as_ref().map(commits).unwrap_or_default()),
        ("launch phases", seen(&group.launch_phases)),
        ("cases", seen(&group.cases)),
        ("phones", seen(&group.phones)),
        ("models", seen(&group.models)),
        ("versions", seen(&group.app_versions)),
        ("systems", seen(&group.os_versions)),
        ("merged into it", group.absorbed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    ]);
    if !group.builds.is_empty() {
        let rows = group.builds.iter().map(|seen| {
            vec![
                seen.build.short(),
                seen.branch.clone().unwrap_or_default(),
                seen.commit.clone().unwrap_or_default(),
                seen.author.clone().unwrap_or_default(),
                seen.count.to_string(),
                seen.attempts_run.to_string(),
            ]
        });
        text.push_str("\n\n");
        text.push_str(&table(&["build", "branch", "commit", "author", "crashes", "attempts run"], &[], rows));
    }
    if let Some(between) = &group.between {
        let rows = between.commits.iter().map(|one| {
            let build = one.build.as_ref().map_or_else(|| "none".to_owned(), |build| build.short());
            vec![
                one.commit.chars().take(COMMIT_LETTERS).collect(),
                build,
                one.author.clone(),
                one.subject.clone(),
            ]
        });
        text.push_str("\n\n");
        text.push_str(&table(&["commit between", "build", "author", "subject"], &["subject"], rows));
    }
    for doubt in &group.doubts {
        text.push_str(&format!("\nthe order of builds: {}", printable(doubt)));
    }
    if let Some(sample) = group.samples.first() {
        text.push_str(&format!("\n\nlook at one: holdfast crash show {}", sample.short()));
    }
    for alike in &suggestions.merge {
        let (title, percent) = (printable(&alike.title), alike.percent);
        text.push_str(&format!(
            "\n{percent} % like {title}: holdfast group merge {} {}",
            alike.group, group.id
        ));
    }
    for part in &suggestions.split {
        let crashes: Vec<String> = part.iter().map(|id| format!("--crash {}", id.short())).collect();
        text.push_str(&format!(
            "\n{} crashes are unlike the others: holdfast group split {} {}",
            part.len(),
            group.id,
            crashes.join(" ")
        ));
    }
    text
}

fn commits(between: &CommitsBetween) -> String {
    let CommitsBetween { count, without_build, commits } = between;
    let more = count.saturating_sub(commits.len() as u64);
    let shown = if more > 0 { format!("; the newest {} are below", commits.len()) } else { String::new() };
    format!("{count}, {without_build} of them without a build{shown}")
}

fn state(state: &GroupState) -> String {
    match state {
        GroupState::Open => "open".to_owned(),
        GroupState::Ignored { until: Some(until) } => format!("ignored until {until}"),
        GroupState::Ignored { until: None } => "ignored".to_owned(),
        GroupState::Fixed { build: Some(build), .. } => format!("fixed in build {}", build.short()),
        GroupState::Fixed { build: None, since } => format!("fixed in builds uploaded after {since}"),
        GroupState::Regressed { build, at } => format!("regressed in build {} at {at}", build.short()),
        GroupState::Merged { into } => format!("merged into {into}: holdfast group show {into}"),
    }
}

/// Which build brought it, as far as the odds say.
fn odds(odds: &FirstBad) -> String {
    let chance = |suspect: &Suspect| format!("{} ({} %)", in_build(&suspect.build), suspect.percent);
    match odds.suspects.first() {
        Some(suspect) if odds.is_certain => chance(suspect),
        _ => {
            let likely = odds.suspects.iter().filter(|suspect| suspect.percent > 0).map(chance);
            let likely: Vec<String> = likely.collect();
            format!("one of {} builds, not certain yet: {}", odds.builds, likely.join(", "))
        }
    }
}

fn affected(group: &GroupView) -> String {
    match group.attempts_run {
        0 => group.attempts.to_string(),
        run => format!("{} of {run} with these builds", group.attempts),
    }
}

fn in_build(seen: &SeenInBuild) -> String {
    let commit = seen.commit.as_ref().map(|commit| commit.chars().take(12).collect::<String>());
    let by = seen.author.as_ref().map(|author| format!(" by {author}")).unwrap_or_default();
    match commit {
        Some(commit) => format!("{commit}{by} (build {})", seen.build.short()),
        None => seen.build.short(),
    }
}

fn seen(seen: &[Seen]) -> String {
    seen.iter().map(|one| format!("{} ({})", one.what, one.count)).collect::<Vec<_>>().join(", ")
}

fn trend(group: &GroupView) -> String {
    let most = group.trend.iter().map(|day| day.count).max().unwrap_or(0).max(1);
    let rows = group.trend.iter().map(|day| {
        // What happened once is never drawn as nothing.
        let columns = (day.count * BAR_COLUMNS).div_ceil(most);
        vec![day.day.clone(), day.count.to_string(), "█".repeat(usize::try_from(columns).unwrap_or(0))]
    });
    format!("{}\n\n{}", printable(&group.title), table(&["day", "crashes", ""], &[], rows))
}
