//! What the figures are held against: the targets and what peers publish, as a table for people and as one JSON object
//! for programs. Measuring is elsewhere.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use crate::figures::Figures;

/// Which side of a target is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
    /// Shown for comparison.
    None,
}

impl Target {
    /// Whether a figure is on its good side.
    fn is_met(self, here: f64) -> bool {
        match self {
            Self::AtLeast(least) => here >= least,
            Self::AtMost(most) => here <= most,
            Self::None => true,
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// The figure's name, as in the JSON object.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// What peers reach on the same kind of machine, or publish.
    pub peer: &'static str,
    /// What is aimed at.
    pub target: Target,
}

const fn line(name: &'static str, what: &'static str, peer: &'static str, target: Target) -> Line {
    Line { name, what, peer, target }
}

/// Every figure that is promised of the scheduler, in the order of the table. A figure that was not measured is `null` in
/// the object.
pub const SCHEDULER: [Line; 27] = [
    line(
        "apply_events_per_s",
        "events through the brain a second, one thread",
        "bare prototype 4.6 M pairs/s",
        Target::AtLeast(2e6),
    ),
    line("apply_p99_us", "one event, 99th percentile, µs", "", Target::AtMost(2.0)),
    line("growth_phones", "cost of an event, 10k phones : 1k", "prototype 3.3", Target::AtMost(3.0)),
    line("growth_jobs", "cost of an event, 1M jobs : 10k", "prototype 3.3", Target::AtMost(3.0)),
    line("bytes_per_queued_job", "memory of a waiting job, bytes", "", Target::AtMost(400.0)),
    line(
        "http_submits_per_s",
        "jobs submitted and placed a second, durable",
        "Slurm 814–936/s, not synced",
        Target::AtLeast(8_000.0),
    ),
    line("store_commits_per_s", "the bare store's grouped commits a second", "", Target::None),
    line("http_to_store_ratio", "the one to the other", "", Target::None),
    line(
        "refill_per_s",
        "1,000 phones free at once, 1M waiting, brain",
        "Slurm 443/s at 10k",
        Target::AtLeast(10_000.0),
    ),
    line(
        "refill_http_per_s",
        "the same at the agents, 10k waiting",
        "Slurm 443/s at 10k",
        Target::AtLeast(10_000.0),
    ),
    line("dispatch_p50_ms", "phone free → next order at its agent, median", "Slurm 871", Target::AtMost(3.0)),
    line("dispatch_p99_ms", "the same, 99th percentile", "Slurm 1,913", Target::AtMost(20.0)),
    line("dispatch_staged_p50_ms", "the same where agents begin what is staged", "", Target::AtMost(0.0)),
    line("dispatch_staged_percent", "of which were staged, %", "", Target::None),
    line("preempt_p50_ms", "crash job over idle work → order, median", "Slurm 12.5", Target::AtMost(2.0)),
    line("preempt_p99_ms", "the same, 99th percentile", "Slurm 33", Target::AtMost(8.0)),
    line("preempt_run_p50_ms", "the same → it runs on a light agent, median", "", Target::None),
    line(
        "drain_200x1000_s",
        "200 phones, 1,000 jobs of 1 s",
        "appium-device-farm 23–56",
        Target::AtMost(5.25),
    ),
    line(
        "idle_behind_busy_ms",
        "idle phone's job behind a busy one's",
        "appium-device-farm 29,500",
        Target::AtMost(10.0),
    ),
    line("restart_1m_s", "restart with 1M waiting → first order", "", Target::AtMost(2.0)),
    line("regret_percent", "weighted start times over an offline bound, %", "", Target::AtMost(2.0)),
    line(
        "utilisation_percent",
        "phones at work, 60 s jobs, saturated, %",
        "Slurm about 98.5",
        Target::AtLeast(99.9),
    ),
    line(
        "skip_locked_claims_per_s",
        "PostgreSQL SKIP LOCKED, the best of 1/16/64",
        "4,649 quiet",
        Target::None,
    ),
    line("skip_locked_claims_1_clients_per_s", "… 1 client", "2,305 quiet", Target::None),
    line("skip_locked_claims_16_clients_per_s", "… 16 clients", "4,649 quiet", Target::None),
    line("skip_locked_claims_64_clients_per_s", "… 64 clients", "3,190 quiet", Target::None),
    line("skip_locked_claims_deep_per_s", "… matching work deep in the queue, 16 clients", "", Target::None),
];

/// Every figure that is promised of telling people of crashes.
pub const CHAT: [Line; 4] = [
    line(
        "file_to_chat_p50_s",
        "phone has written the report → message in the chat, median, s",
        "",
        Target::None,
    ),
    line("file_to_chat_max_s", "the same, the slowest", "", Target::AtMost(60.0)),
    line("death_to_chat_p50_s", "process died → message in the chat, median, s", "", Target::None),
    line("death_to_chat_max_s", "the same, the slowest", "", Target::AtMost(60.0)),
];

/// Every figure that is promised of a storm of crash files.
pub const STORM: [Line; 19] = [
    line("storm_files", "different crash files that came", "", Target::None),
    line("storm_s", "until the last of them was stored and confirmed, s", "", Target::AtMost(60.0)),
    line("storm_files_per_s", "stored a second", "", Target::None),
    line("storm_stored", "in the farm then, those of before included", "", Target::None),
    line("storm_lost", "not in the lists, not in the store, or without their bytes", "", Target::AtMost(0.0)),
    line("storm_twice", "there more than once", "", Target::AtMost(0.0)),
    line("storm_groups", "groups", "", Target::None),
    line(
        "storm_groups_wrong",
        "groups too many or too few, crashes not counted once",
        "",
        Target::AtMost(0.0),
    ),
    line("storm_page_farm_p99_ms", "the farm's page meanwhile, 99th percentile", "", PAGE),
    line("storm_page_queue_p99_ms", "the queue's page", "", PAGE),
    line("storm_page_crashes_p99_ms", "the page of crashes", "", PAGE),
    line("storm_page_groups_p99_ms", "the page of crash groups", "", PAGE),
    line("storm_page_group_p99_ms", "the page of the largest group", "", PAGE),
    line("storm_page_crash_p99_ms", "the page of a crash", "", PAGE),
    line("storm_page_api_crashes_p99_ms", "GET /api/v1/crashes", "", PAGE),
    line("storm_page_api_groups_p99_ms", "GET /api/v1/groups", "", PAGE),
    line(
        "storm_dispatch_calm_p99_ms",
        "a job's way to a free phone before, 99th percentile",
        "",
        Target::None,
    ),
    line("storm_dispatch_p50_ms", "the same meanwhile, median", "", Target::None),
    line("storm_dispatch_p99_ms", "the same meanwhile, 99th percentile", "", Target::None),
];

/// How long a page may take.
const PAGE: Target = Target::AtMost(200.0);

/// The promised figures that were measured and are on the wrong side of their target.
pub fn missed(lines: &[Line], figures: &Figures) -> Vec<&'static str> {
    let is_missed = |line: &&Line| figures.get(line.name).is_some_and(|here| !line.target.is_met(here));
    lines.iter().filter(is_missed).map(|line| line.name).collect()
}

/// The one object: every promised figure, whatever else was measured, and the machine's cores.
pub fn object(lines: &[Line], figures: &Figures) -> Value {
    let mut object = Map::new();
    for line in lines {
        object.insert(line.name.to_owned(), Value::Null);
    }
    for (name, number) in &figures.numbers {
        object.insert(name.clone(), number.map_or(Value::Null, |number| Value::from(rounded(number))));
    }
    object.insert("cores".to_owned(), Value::from(cores()));
    let remarks: Vec<Value> = figures.remarks.iter().cloned().map(Value::from).collect();
    object.insert("remarks".to_owned(), Value::from(remarks));
    Value::Object(object)
}

/// The table, with what else was measured below it.
pub fn table(lines: &[Line], figures: &Figures) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["figure", "what", "here", "target", "", "peers"]);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    for line in lines.iter().filter(|line| figures.numbers.contains_key(line.name)) {
        let here = figures.get(line.name);
        let target = match line.target {
            Target::None => String::new(),
            Target::AtLeast(least) => format!("≥ {}", shown(least)),
            Target::AtMost(most) => format!("≤ {}", shown(most)),
        };
        let verdict = match here {
            Some(here) if line.target != Target::None => {
                if line.target.is_met(here) {
                    "met"
                } else {
                    "missed"
                }
            }
            Some(_) | None => "",
        };
        let here = right(here.map_or_else(|| "–".to_owned(), shown));
        table.add_row([
            line.name.into(),
            line.what.into(),
            here,
            right(target),
            verdict.into(),
            Cell::new(line.peer),
        ]);
    }
    for (name, number) in &figures.numbers {
        if !lines.iter().any(|line| line.name == name) {
            let here = right(number.map_or_else(|| "–".to_owned(), shown));
            table.add_row([Cell::new(name), "".into(), here, "".into(), "".into(), "".into()]);
        }
    }
    let mut text = format!("{table}\n{} cores\n", cores());
    for remark in &figures.remarks {
        text.push_str(&format!("* {remark}\n"));
    }
    text
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Four digits are more than any of these figures is sure of.
fn rounded(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

fn shown(number: f64) -> String {
    let number = rounded(number);
    if number.abs() < 1_000.0 {
        return format!("{number}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_null_and_a_missed_target_is_named() {
        let figures = Figures::default().with("dispatch_p50_ms", 4.0).with("apply_events_per_s", 2_345_678.0);
        let object = object(&SCHEDULER, &figures);
        assert_eq!(object["restart_1m_s"], Value::Null);
        assert_eq!(object["dispatch_p50_ms"], 4.0);
        assert!(object["cores"].as_u64().is_some_and(|cores| cores > 0));
        let table = table(&SCHEDULER, &figures);
        assert_eq!(missed(&SCHEDULER, &figures), ["dispatch_p50_ms"]);
        assert!(table.contains("2,346,000") && table.contains("met") && table.contains("missed"), "{table}");
        assert_eq!(missed(&SCHEDULER, &figures), ["dispatch_p50_ms"]);
    }
}
