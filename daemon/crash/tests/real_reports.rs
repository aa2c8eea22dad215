//! Real reports, read in place when `HOLDFAST_EXTRA_FIXTURES` names a folder that holds `ips/` and its index.
//!
//! They are not part of this repository. Without the setting the test says so and passes: our own fixtures carry the suite.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail loudly and prints its table"
)]

use holdfast_crash::{Cause, Container, Kind, Report, read, render_text, summary};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One line of the index.
struct Entry {
    file: String,
    bug_type: Option<String>,
    process: Option<String>,
    os: Option<String>,
    container: String,
}

fn extra_folder() -> Option<PathBuf> {
    std::env::var_os("HOLDFAST_EXTRA_FIXTURES").map(|folder| PathBuf::from(folder).join("ips"))
}

fn index(folder: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut lines = text.lines();
    let titles: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |title: &str| titles.iter().position(|it| *it == title).unwrap();
    let (file, bug_type, process) = (column("file"), column("bug_type"), column("process"));
    let (os, container) = (column("os"), column("kind"));
    let said = |cell: &str| {
        Some(cell.trim().to_owned()).filter(|cell| !matches!(cell.as_str(), "" | "-" | "?" | "???"))
    };
    lines
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|cells| Entry {
            file: cells[file].to_owned(),
            bug_type: said(cells[bug_type]),
            process: said(cells[process]),
            os: said(cells[os]),
            container: cells[container].to_owned(),
        })
        .collect()
}

fn containers(name: &str) -> &'static [Container] {
    match name {
        "json" => &[Container::TwoPartJson, Container::ConsoleCopy],
        "json-body-only" => &[Container::BodyOnly],
        "json-header-only" => &[Container::HeaderOnly],
        "header+text" => &[Container::HeaderAndText],
        "text" => &[Container::LegacyText, Container::ConsoleCopy],
        other => panic!("the index has a container {other:?} that this test doesn't know"),
    }
}

/// What is missing of a report that has everything its kind has.
fn missing(report: &Report, entry: &Entry, bytes: &[u8]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut want = |what: &str, there: bool| {
        if !there {
            missing.push(what.to_owned());
        }
    };
    let has = |mark: &str| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
    want("bug_type", report.bug_type == entry.bug_type);
    want(
        "kind",
        entry.bug_type.as_deref().is_none_or(|bug_type| {
            report.kind == Kind::of_bug_type(bug_type) && report.kind != Kind::Unknown
        }),
    );
    want("container", containers(&entry.container).contains(&report.container));
    want("process", entry.process.is_none() || report.process == entry.process);
    want(
        "os",
        entry
            .os
            .as_deref()
            .is_none_or(|os| report.os_version.as_deref().is_some_and(|found| found.starts_with(os))),
    );
    want("well-formed", report.malformed.is_empty());
    let is_text = matches!(report.container, Container::LegacyText | Container::HeaderAndText);
    let process_kind = report.kind.has_threads();
    if process_kind && (has("\nThread 0") || has("\"threads\" :") || has("\"threads\":")) {
        want("threads", !report.threads.is_empty());
        want("frames", report.threads.iter().any(|thread| !thread.frames.is_empty()));
    }
    if process_kind && (has("Triggered by Thread") || has("Crashed Thread") || has("\"faultingThread\"")) {
        want("crashed thread", report.crashed_thread.is_some());
    }
    if process_kind && (has("Binary Images:\n0x") || has("Binary Images:\n  ") || has("\"usedImages\"")) {
        want("images", !report.images.is_empty());
    }
    if has("Exception Type") || (!is_text && has("\"exception\" : {")) {
        want("exception", report.exception.is_some());
        want("ended_by", report.ended_by.cause != Cause::Unknown);
    }
    if has("Termination Reason:") || has("\"termination\"") {
        want(
            "termination",
            report.termination.as_ref().is_some_and(|it| it.namespace.is_some() && it.code.is_some()),
        );
    }
    if has("Date/Time:") || has("\"captureTime\"") {
        want("captured_at", report.captured_at.is_some());
    }
    if report.kind == Kind::Jetsam {
        want("jetsam", report.jetsam.is_some());
    }
    if matches!(report.kind, Kind::Panic | Kind::ForceReset | Kind::Stackshot) {
        want("message", report.system_message.is_some());
    }
    missing
}

#[test]
fn every_real_report_is_read_whole() {
    let Some(folder) =
        std::env::var_os("HOLDFAST_EXTRA_FIXTURES").map(|folder| PathBuf::from(folder).join("ips"))
    else {
        println!("HOLDFAST_EXTRA_FIXTURES is not set: no real reports were read");
        return;
    };
    let mut table: BTreeMap<(String, &'static str), (usize, usize)> = BTreeMap::new();
    let mut wrong = Vec::new();
    let entries = index(&folder);
    for entry in &entries {
        let bytes = fs::read(folder.join(&entry.file)).unwrap();
        let report = read(&bytes);
        let missing = missing(&report, entry, &bytes);
        let row = table.entry((format!("{:?}", report.container), report.kind.words())).or_default();
        row.0 += 1;
        row.1 += usize::from(missing.is_empty());
        println!("{}\n    {}", entry.file, summary(&report));
        assert!(render_text(&report).ends_with('\n'));
        if !missing.is_empty() {
            wrong.push(format!("{}: {}\n  {:?}", entry.file, missing.join(", "), report.malformed));
        }
    }
    println!("{:<16} {:<24} {:>5} {:>6}", "container", "kind", "files", "whole");
    for ((container, kind), (files, whole)) in &table {
        println!("{container:<16} {kind:<24} {files:>5} {whole:>6}");
    }
    assert!(entries.len() > 100, "the index lists only {} files", entries.len());
    assert!(wrong.is_empty(), "{} of {} files:\n{}", wrong.len(), entries.len(), wrong.join("\n"));
}

/// Damage at fixed places, so that a failure comes again: cuts, lost heads, and a telling byte put in.
#[test]
fn damaged_real_reports_are_answered() {
    let Some(folder) = extra_folder() else { return };
    for entry in index(&folder) {
        let bytes = fs::read(folder.join(&entry.file)).unwrap();
        for part in 1..12 {
            let at = bytes.len() * part / 12;
            let mut with_brace = bytes.clone();
            with_brace.insert(at, if part % 2 == 0 { b'{' } else { b'\\' });
            for damaged in [&bytes[..at], &bytes[at..], &with_brace] {
                let report = read(damaged);
                assert!(render_text(&report).ends_with('\n'), "{} damaged at {at}", entry.file);
            }
        }
    }
}
