//! The page of the queue: what waits by class with its expected starts, what pools and owners use, and which phone ran
//! what in the last hours.

use std::collections::BTreeMap;

use holdfast_wire::api::{ClassQueue, Eta, PhoneView, QueuedJob};
use holdfast_wire::id::PoolName;
use holdfast_wire::job::JobClass;
use holdfast_wire::phone::PhoneState;
use holdfast_wire::time::Time;
use holdfast_wire::views::OwnerView;
use maud::{Markup, html};

use super::axis::{Axis, Bar, shares};
use super::part::Part;
use super::picture::{QueuePage, Span};
use super::rows::{PhoneNames, by_udid, phone_link};
use super::shell::{Frame, live};
use super::words::{absolute, ahead, count, lasting, shown, span};

/// Where the page's changes come from.
pub(crate) const EVENTS: &str = "/dashboard/events?view=queue";

/// How far back it is shown what phones ran.
pub const HOURS_BACK: u32 = 4;

/// Phones whose last hours are shown: more is no picture any more.
const PHONES_MAX: usize = 120;

/// Owners shown; the busiest first.
const OWNERS_MAX: usize = 30;

/// The whole page.
pub fn render(page: &QueuePage) -> Markup {
    let simulated = page.phones.iter().any(|phone| phone.facts.simulated);
    let frame = Frame { title: "Queue", class: "one", now: page.queue.at, simulated };
    live(frame, EVENTS, &parts(page, page.queue.at), &parts(page, Time::default()))
}

/// The parts of the page, ages counted at `now`. Drawings are made for the moment of the picture itself.
pub fn parts(page: &QueuePage, now: Time) -> Vec<Part> {
    vec![classes(page, now), waiting(page, now), pools(page), owners(&page.owners), timeline(page)]
}

fn classes(page: &QueuePage, now: Time) -> Part {
    Part::leaf(
        "classes",
        html! {
            section.head #classes {
                h1 { "Queue" }
                div.wide {
                    table {
                        thead { tr { th scope="col" { "Class" } th scope="col" { "Waiting" } th scope="col" { "Running" } th scope="col" { "Oldest waits for" } } }
                        tbody {
                            @for class in &page.queue.classes {
                                tr {
                                    th scope="row" { (badge(class.class)) }
                                    td.number { (class.waiting) }
                                    td.number { (class.running) }
                                    td { @if let Some(oldest) = class.oldest { (lasting(oldest, now)) } }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

fn badge(class: JobClass) -> Markup {
    html! { span class={ "class " (class) } { (class) } }
}

fn waiting(page: &QueuePage, now: Time) -> Part {
    let etas = page.queue.classes.iter().flat_map(|class| &class.next).filter_map(|job| job.eta.as_ref());
    let furthest = etas.map(|eta| eta.latest).max().unwrap_or_default();
    let axis = Axis::ahead(page.queue.at, furthest);
    let shown_of = |class: &ClassQueue| class.next.len();
    let (total, rows): (usize, usize) = page
        .queue
        .classes
        .iter()
        .fold((0, 0), |(total, rows), class| (total + class.waiting, rows + shown_of(class)));
    let mut parts = Vec::with_capacity(rows);
    for class in &page.queue.classes {
        parts.extend(class.next.iter().map(|job| row(job, class.class, axis, now)));
    }
    Part::around("next", parts, |inner| {
        html! {
            section.list #next aria-labelledby="next-title" {
                h2 #next-title { "Waiting " span.total { (total) } }
                @if total == 0 {
                    p.empty { "Nothing waits." }
                } @else {
                    p.quiet {
                        "The bar is the time in which the job is expected to start, the mark the best guess. From left to right are the next "
                        (span_of(axis)) ", with a line every " (axis.piece()) "."
                    }
                    ol.rows { (inner) }
                }
                @if total > rows { p.empty { "and " (count(total - rows, "other")) } }
            }
        }
    })
}

fn span_of(axis: Axis) -> String {
    match axis.piece() {
        piece if axis.pieces() == 1 => piece.to_owned(),
        piece => {
            let (number, unit) = piece.split_once(' ').unwrap_or((piece, ""));
            let whole = number.parse::<u32>().unwrap_or(1) * axis.pieces();
            match unit {
                "day" | "week" if whole > 1 => format!("{whole} {unit}s"),
                "min" if whole >= 60 => format!("{} h", whole / 60),
                _ => format!("{whole} {unit}"),
            }
        }
    }
}

fn row(job: &QueuedJob, class: JobClass, axis: Axis, now: Time) -> Part {
    let id = format!("next-{}", job.job);
    let reason = job.waiting.as_deref().unwrap_or("its turn has not come yet");
    let html = html! {
        li.job #(id) {
            div.line {
                a.id href={ "/jobs/" (job.job) } { (job.job) }
                (badge(class))
                span.what title=(shown(reason)) {
                    (shown(reason))
                    @if let Some(owner) = &job.owner { span.quiet { " · " (owner) } }
                    @if job.phones > 1 { span.quiet { " · " (job.phones) " phones at once" } }
                    @if job.priority != 0 { span.quiet { " · priority " (job.priority) } }
                }
                span.when { "waits for " (lasting(job.submitted_at, now)) }
            }
            @match &job.eta {
                Some(eta) => {
                    div.start {
                        (axis.draw(&start_words(eta), &start_bars(eta)))
                        span.when { (ahead(eta.likely, now)) }
                    }
                },
                None => { p.detail { "when it starts cannot be told yet" } },
            }
            @if let Some(start_by) = job.start_by { p.detail { "expires " (ahead(start_by, now)) } }
        }
    };
    Part::leaf(id, html)
}

fn start_words(eta: &Eta) -> String {
    format!(
        "expected between {} and {}, most likely {} ({} of 100 start in this range): {}",
        absolute(eta.earliest),
        absolute(eta.latest),
        absolute(eta.likely),
        eta.confidence_percent,
        shown(&eta.words)
    )
}

fn start_bars(eta: &Eta) -> Vec<Bar> {
    let words = start_words(eta);
    let range =
        Bar { from: eta.earliest, to: eta.latest, look: "range".to_owned(), height: 8, words: words.clone() };
    let guess = Bar { from: eta.likely, to: eta.likely, look: "guess".to_owned(), height: 16, words };
    vec![range, guess]
}

/// What the phones of one pool do.
#[derive(Debug, Default, PartialEq, Eq)]
struct PoolUse {
    phones: u64,
    ready: u64,
    away: u64,
    busy: BTreeMap<JobClass, u64>,
}

fn pool_uses(page: &QueuePage) -> BTreeMap<Option<&PoolName>, PoolUse> {
    let running: BTreeMap<_, _> =
        page.spans.iter().filter(|span| span.to.is_none()).map(|span| (&span.phone, span.class)).collect();
    let mut uses: BTreeMap<Option<&PoolName>, PoolUse> = BTreeMap::new();
    for phone in &page.phones {
        let pool = uses.entry(phone.pool.as_ref()).or_default();
        pool.phones += 1;
        match (&phone.state, running.get(&phone.facts.udid)) {
            (_, Some(class)) => *pool.busy.entry(*class).or_default() += 1,
            (PhoneState::Ready, None) => pool.ready += 1,
            (_, None) => pool.away += 1,
        }
    }
    uses
}

fn pools(page: &QueuePage) -> Part {
    let uses = pool_uses(page);
    Part::leaf(
        "pools",
        html! {
            section.list #pools aria-labelledby="pools-title" {
                h2 #pools-title { "Pools" }
                @if uses.is_empty() { p.empty { "No phone is known yet." } }
                ul.uses {
                    @for (pool, used) in &uses {
                        li {
                            @let words = pool_words(used);
                            span.name {
                                @match pool { Some(pool) => { (pool) }, None => { span.quiet { "in no pool" } } }
                            }
                            (shares(&words, used.phones, &pool_shares(used)))
                            span.words { (words) }
                        }
                    }
                }
            }
        },
    )
}

fn pool_shares(used: &PoolUse) -> Vec<(u64, String)> {
    let busy = used.busy.iter().map(|(class, phones)| (*phones, format!("ran {class}")));
    busy.chain([(used.ready, "free".to_owned())]).collect()
}

fn pool_words(used: &PoolUse) -> String {
    let busy = used.busy.iter().map(|(class, phones)| format!("{phones} {class}"));
    let free = (used.ready > 0).then(|| format!("{} free", used.ready));
    let away = (used.away > 0).then(|| format!("{} cannot work now", used.away));
    let all = count(usize::try_from(used.phones).unwrap_or(usize::MAX), "phone");
    let parts: Vec<String> = busy.chain(free).chain(away).collect();
    format!("{all}: {}", parts.join(", "))
}

fn owners(owners: &[OwnerView]) -> Part {
    let mut sorted: Vec<&OwnerView> = owners.iter().collect();
    sorted.sort_by(|a, b| (b.running, &a.owner).cmp(&(a.running, &b.owner)));
    let hidden = sorted.len().saturating_sub(OWNERS_MAX);
    Part::leaf(
        "owners",
        html! {
            section.list #owners aria-labelledby="owners-title" hidden[owners.is_empty()] {
                h2 #owners-title { "Owners" }
                ul.uses {
                    @for view in sorted.iter().take(OWNERS_MAX) {
                        li {
                            span.name {
                                @match &view.owner { Some(owner) => { (owner) }, None => { span.quiet { "nobody named" } } }
                            }
                            @let words = owner_words(view);
                            (owner_bar(view, &words))
                            span.words { (words) }
                        }
                    }
                }
                @if hidden > 0 { p.empty { "and " (count(hidden, "other")) } }
            }
        },
    )
}

/// What is used of the day's minutes; of the jobs at once where there is no quota of minutes.
fn owner_bar(view: &OwnerView, words: &str) -> Markup {
    let look = if view.over_quota { "over" } else { "used" }.to_owned();
    match (view.minutes_per_day, view.running_max) {
        (Some(quota), _) => shares(words, quota.into(), &[(view.minutes_used_today.unwrap_or(0), look)]),
        (None, Some(most)) => shares(words, most.into(), &[(view.running as u64, look)]),
        (None, None) => html! { span.quiet { "no limit" } },
    }
}

fn owner_words(view: &OwnerView) -> String {
    let running = match view.running_max {
        Some(most) => format!("{} of {most} running", view.running),
        None => format!("{} running", view.running),
    };
    let mut words = format!("{running}, weight {}", view.weight);
    if let Some(quota) = view.minutes_per_day {
        words.push_str(&format!(", {} of {quota} min today", view.minutes_used_today.unwrap_or(0)));
    }
    if view.over_quota {
        words.push_str(": used up, others go first");
    }
    words
}

fn timeline(page: &QueuePage) -> Part {
    let axis = Axis::hours_back(page.queue.at, HOURS_BACK);
    let names = by_udid(&page.phones);
    let mut spans: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in &page.spans {
        spans.entry(span.phone.as_str()).or_default().push(span);
    }
    let rows: Vec<Part> = page
        .phones
        .iter()
        .take(PHONES_MAX)
        .map(|phone| {
            let of_phone = spans.get(phone.facts.udid.as_str()).map_or(&[][..], Vec::as_slice);
            timeline_row(phone, of_phone, axis, page.queue.at, &names)
        })
        .collect();
    let hidden = page.phones.len().saturating_sub(rows.len());
    Part::around("timeline", rows, |inner| {
        html! {
            section.list #timeline aria-labelledby="timeline-title" {
                h2 #timeline-title { "The last " (HOURS_BACK) " hours" }
                p.legend {
                    @for class in JobClass::ALL {
                        span.key {
                            svg.axis.swatch viewBox="0 0 32 16" aria-hidden="true" {
                                rect class={ "ran " (class) } x="0" y=((16 - height(class)) / 2) width="32" height=(height(class)) {}
                            }
                            (class)
                        }
                    }
                }
                @if page.phones.is_empty() { p.empty { "No phone is known yet." } }
                div.hours aria-hidden="true" {
                    span {} span.marks { @for hour in (1..=HOURS_BACK).rev() { span { (hour) " h ago" } } } span { "busy" }
                }
                ol.tracks { (inner) }
                @if hidden > 0 { p.empty { "and " (count(hidden, "other phone")) } }
            }
        }
    })
}

/// How high the bar of a class is, of sixteen: nobody has to tell colours apart.
fn height(class: JobClass) -> u8 {
    match class {
        JobClass::Crash => 16,
        JobClass::Baseline => 13,
        JobClass::Custom => 10,
        JobClass::Special => 7,
        JobClass::Idle => 4,
    }
}

fn timeline_row(phone: &PhoneView, spans: &[&Span], axis: Axis, at: Time, names: &PhoneNames<'_>) -> Part {
    let id = format!("track-{}", phone.facts.udid);
    let end = |span: &Span| span.to.unwrap_or(at);
    let percent = axis.percent(spans.iter().map(|span| (span.from, end(span))));
    let bars: Vec<Bar> = spans
        .iter()
        .map(|span| Bar {
            from: span.from,
            to: end(span),
            look: format!("ran {}", span.class),
            height: height(span.class),
            words: span_words(span),
        })
        .collect();
    let label = format!(
        "{}: {} in the last {HOURS_BACK} hours, busy {percent} % of the time",
        shown(&phone.facts.name),
        count(spans.len(), "attempt")
    );
    let html = html! {
        li #(id) {
            span.name { (phone_link(&phone.facts.udid, names)) }
            (axis.draw(&label, &bars))
            span.percent { (percent) " %" }
        }
    };
    Part::leaf(id, html)
}

fn span_words(of: &Span) -> String {
    let lasted = match of.to {
        Some(to) => format!("{}, {}", span(to.since(of.from)), shown(&of.how)),
        None => "runs".to_owned(),
    };
    format!("{} ({}) from {}: {lasted}", of.attempt, of.class, absolute(of.from))
}
