//! The pages of crash groups: all of them, and one with its trend, its builds and its crashes.

use holdfast_wire::group::{CommitsBetween, DayCount, FirstBad, GroupState, GroupView, Seen, SeenInBuild};
use holdfast_wire::time::Time;
use maud::{Markup, html};

use super::axis::shares;
use super::job_page::table;
use super::part::all;
use super::picture::{GroupPage, GroupsPage};
use super::rows::{by_udid, crash, ways};
use super::shapes::CRASH;
use super::shell::{Frame, still};
use super::words::{absolute, ago, count, shown};

/// Width of one day in the drawing of a trend, and the gap beside it.
const DAY_WIDTH: u64 = 10;
/// What of that is drawn.
const BAR_WIDTH: u64 = 8;
/// Height of the drawing.
const TREND_HEIGHT: u64 = 40;
/// Height of a day on which something happened, at least: once is not never.
const BAR_HEIGHT_MIN: u64 = 3;

/// Letters of a commit's hash that people read.
const COMMIT_LETTERS: usize = 10;

/// The page of all groups.
pub fn render_all(page: &GroupsPage, now: Time) -> Markup {
    let frame = Frame { title: "Crashes", class: "one", now, simulated: page.simulated };
    still(
        frame,
        html! {
            section.head #head {
                h1 { "Crash groups" }
                p.lead {
                    (count(page.total, "group")) " to look at. "
                    "A group is a defect: crashes with the same signature, whatever phone and build they came from."
                }
                p.links { a href="/crashes" { "all crashes" } }
            }
            section.list #groups aria-label="Crash groups" {
                @if page.groups.is_empty() { p.empty { "No crash group is open." } }
                ol.rows { @for group in &page.groups { (row(group, now)) } }
                (ways("/groups", page.begins.as_ref(), page.goes_on.as_ref()))
            }
        },
    )
}

fn row(group: &GroupView, now: Time) -> Markup {
    html! {
        li.crash #{ "group-" (group.id) } {
            div.line {
                span.state.alarm { (CRASH.shape()) }
                a.id href={ "/groups/" (group.id) } { (count(usize::try_from(group.count).unwrap_or(usize::MAX), "crash")) }
                (badge(&group.state))
                span.what title=(shown(&group.title)) { (shown(&group.title)) }
                @if let Some(last) = group.last_seen { span.when { (ago(last, now)) } }
            }
            div.start {
                (trend(&group.trend))
                span.when { "30 days" }
            }
            p.detail {
                @if let Some(ended) = &group.ended_by { (shown(ended)) }
                @if let Some(bad) = &group.first_bad { " · first bad build " (build_name(bad)) }
                @if !group.phones.is_empty() { " · on " (count(group.phones.len(), "phone")) }
            }
        }
    }
}

/// The page of one group.
pub fn render(page: &GroupPage, now: Time) -> Markup {
    let group = &page.group;
    let phones = by_udid(&page.phones);
    let rows: Vec<_> = page.crashes.iter().map(|one| crash(one, &phones, now)).collect();
    let title = shown(&group.title);
    let frame = Frame { title: &title, class: "one", now, simulated: page.simulated };
    still(
        frame,
        html! {
            (head(group, now))
            section.list #trend {
                h2 { "The last thirty days " span.total { (group.trend.iter().map(|day| day.count).sum::<u64>()) } }
                (trend(&group.trend))
                @if let (Some(first), Some(last)) = (group.trend.first(), group.trend.last()) {
                    div.hours.ends { span { (first.day) } span { (last.day) } }
                }
            }
            (builds(group))
            section.list #seen {
                h2 { "Where it was seen" }
                dl {
                    (fact("launch phase", &group.launch_phases))
                    (fact("case", &group.cases))
                    (fact("phone", &group.phones))
                    (fact("model", &group.models))
                    (fact("version", &group.app_versions))
                    (fact("system", &group.os_versions))
                }
            }
            section.list #crashes {
                h2 { "Crashes " span.total { (group.count) } }
                ol.rows { (all(&rows)) }
                @if group.count > page.crashes.len() as u64 {
                    p.empty { "all of them: holdfast group crashes " (group.id) }
                }
            }
        },
    )
}

fn head(group: &GroupView, now: Time) -> Markup {
    html! {
        section.head #head {
            h1 { span.state.alarm { (CRASH.shape()) } (shown(&group.title)) " " (badge(&group.state)) }
            @if let Some(ended) = &group.ended_by { p.lead { (shown(ended)) } }
            p.links {
                a href="/groups" { "all groups" }
                a href={ "/notices?group=" (group.id) } { "who was told" }
                a href={ "/api/v1/groups/" (group.id) } { "as JSON" }
            }
            dl {
                dt { "group" } dd { code { (group.id) } }
                @if group.name.is_some() { dt { "signature" } dd { code { (shown(&group.signature)) } } }
                dt { "state" } dd { (state(&group.state)) }
                @if let Some(process) = &group.process {
                    dt { "process" }
                    dd { (shown(process)) @if let Some(bundle) = &group.bundle_id { span.quiet { " · " (shown(bundle)) } } }
                }
                dt { "attempts" }
                dd {
                    (group.attempts)
                    @if group.attempts_run > 0 { " of " (group.attempts_run) " with these builds" }
                }
                @if let Some(first) = group.first_seen { dt { "first seen" } dd { (ago(first, now)) } }
                @if let Some(last) = group.last_seen { dt { "last seen" } dd { (ago(last, now)) } }
                @if let Some(bad) = &group.first_bad { dt { "first bad build" } dd { (build_name(bad)) } }
                @if let Some(odds) = &group.odds { dt { "brought by" } dd { (suspects(odds)) } }
                @if let Some(good) = &group.last_good { dt { "last good build" } dd { (build_name(good)) } }
                @if let Some(between) = &group.between { dt { "commits between" } dd { (commits(between)) } }
                @if !group.doubts.is_empty() {
                    dt { "order in doubt" }
                    dd { @for doubt in &group.doubts { p { (shown(doubt)) } } }
                }
                @if !group.absorbed.is_empty() {
                    dt { "merged into it" }
                    dd { @for id in &group.absorbed { a href={ "/groups/" (id) } { (id) } " " } }
                }
            }
        }
    }
}

/// Which build brought it, as far as the odds say: the wider the bar, the likelier.
fn suspects(odds: &FirstBad) -> Markup {
    html! {
        @if !odds.is_certain { p { "one of " (count(usize::try_from(odds.builds).unwrap_or(usize::MAX), "build")) ", not certain yet" } }
        ul.uses.plain {
            @for suspect in odds.suspects.iter().filter(|suspect| suspect.percent > 0) {
                li {
                    span.name { (build_name(&suspect.build)) }
                    (shares(&format!("{} %", suspect.percent), 100, &[(u64::from(suspect.percent), "over".to_owned())]))
                    span.words { (suspect.percent) " %, " (suspect.build.count) " of " (suspect.build.attempts_run) " attempts crashed so" }
                }
            }
        }
    }
}

/// What came after the last good build, newest first: each may have brought it.
fn commits(between: &CommitsBetween) -> Markup {
    let usual = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    html! {
        p {
            (count(usual(between.count), "commit"))
            @if between.without_build > 0 { ", " (between.without_build) " without a build" }
        }
        ul.uses.plain {
            @for one in &between.commits {
                li {
                    code { (one.commit.chars().take(COMMIT_LETTERS).collect::<String>()) } " "
                    (shown(&one.subject)) " "
                    span.quiet { (shown(&one.author)) @if one.build.is_none() { " · no build" } }
                }
            }
        }
        @if between.count > between.commits.len() as u64 {
            p.empty { "and " (between.count - between.commits.len() as u64) " older ones" }
        }
    }
}

fn badge(state: &GroupState) -> Markup {
    html! { @if *state != GroupState::Open { span.class { (state.word()) } } }
}

fn state(state: &GroupState) -> Markup {
    html! {
        @match state {
            GroupState::Open => { "open" },
            GroupState::Ignored { until: Some(until) } => { "ignored until " (absolute(*until)) },
            GroupState::Ignored { until: None } => { "ignored" },
            GroupState::Fixed { build: Some(build), .. } => { "fixed in build " code { (build.short()) } },
            GroupState::Fixed { build: None, since } => { "fixed in builds uploaded after " (absolute(*since)) },
            GroupState::Regressed { build, at } => {
                "was fixed, and happened again in build " code { (build.short()) } ", " (absolute(*at))
            },
            GroupState::Merged { into } => { "counts into " a href={ "/groups/" (into) } { (into) } },
        }
    }
}

fn builds(group: &GroupView) -> Markup {
    html! {
        @if !group.builds.is_empty() {
            section.list #builds {
                h2 { "Builds " span.total { (group.builds.len()) } }
                (table(&["Build", "Branch", "Commit", "Author", "Crashes", "Attempts run"], html! {
                    @for seen in &group.builds {
                        tr {
                            td { code { (seen.build.short()) } }
                            td { (shown(seen.branch.as_deref().unwrap_or("–"))) }
                            td { (shown(seen.commit.as_deref().unwrap_or("–"))) }
                            td { (shown(seen.author.as_deref().unwrap_or("–"))) }
                            td.number { (seen.count) }
                            td.number { (seen.attempts_run) }
                        }
                    }
                }))
            }
        }
    }
}

fn build_name(seen: &SeenInBuild) -> Markup {
    html! {
        @match &seen.commit {
            Some(commit) => {
                code { (shown(&commit.chars().take(12).collect::<String>())) }
                @if let Some(author) = &seen.author { " by " (shown(author)) }
            },
            None => { code { (seen.build.short()) } },
        }
    }
}

fn fact(title: &str, seen: &[Seen]) -> Markup {
    html! {
        @if !seen.is_empty() {
            dt { (title) }
            dd { @for (place, one) in seen.iter().enumerate() {
                @if place > 0 { ", " }
                (shown(&one.what)) span.quiet { " (" (one.count) ")" }
            } }
        }
    }
}

/// Days as bars, the latest on the right; each says itself on hover.
fn trend(days: &[DayCount]) -> Markup {
    let most = days.iter().map(|day| day.count).max().unwrap_or(0).max(1);
    let width = days.len() as u64 * DAY_WIDTH;
    let total: u64 = days.iter().map(|day| day.count).sum();
    let height = |count: u64| match count {
        0 => 0,
        count => (count * TREND_HEIGHT / most).max(BAR_HEIGHT_MIN),
    };
    html! {
        svg.trend viewBox={ "0 0 " (width) " " (TREND_HEIGHT) } preserveAspectRatio="none" role="img"
            aria-label={ (total) " in " (days.len()) " days, at most " (most) " a day" } {
            @for (day, place) in days.iter().zip(0_u64..) {
                @if day.count > 0 {
                    rect x=(place * DAY_WIDTH) y=(TREND_HEIGHT - height(day.count)) width=(BAR_WIDTH) height=(height(day.count)) {
                        title { (day.day) ": " (day.count) }
                    }
                }
            }
        }
    }
}
