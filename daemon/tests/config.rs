//! The configuration as its writers see it: every mistake with its place, the samples, their JSON Schemas.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

use holdfast_wire::time::Time;
use holdfastd::config::schema::SchemaName;
use holdfastd::config::yaml::Source;
use holdfastd::config::{self, cases, pools, schedules};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

fn told(mistakes: &[config::Mistake]) -> Vec<String> {
    mistakes.iter().map(ToString::to_string).collect()
}

/// Pools to which a table adds what it is about.
const POOLS: &str =
    "pools:\n  - name: all\n    serves: [crash, baseline, custom, special, idle]\n    rest: true\n";

/// Each text, after the pools, is told of in one mistake.
fn each_is_told(table: &[(&str, &str)]) {
    let mut different = Vec::new();
    for (text, expected) in table {
        let source = Source::of("p.yaml", format!("{POOLS}{text}"));
        let Err(mistakes) = pools::parse(&source) else { unreachable!("{text} is a mistake") };
        let expected = [format!("p.yaml:{expected}")];
        if told(&mistakes) != expected {
            different.push((text, told(&mistakes), expected));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

#[test]
fn mistakes_in_classes_are_told_with_their_place() {
    let table = [
        (
            "classes:\n  idle: {window: nights}\n",
            "6:18: classes.idle.window: there is no window nights; there are: none",
        ),
        (
            "classes:\n  baseline: {rank: 0}\n",
            "6:3: classes.crash.strict: crash is strict, and baseline, which is not, has rank 0, which is no worse than \
             0; strict classes come first",
        ),
        (
            "classes:\n  crash: {rank: 7}\n",
            "6:17: classes.crash.rank: crash is strict, and baseline, which is not, has rank 1, which is no worse than 7; \
             strict classes come first",
        ),
        ("classes:\n  idle: {rank: 100}\n", "6:16: classes.idle.rank: 100 is not in 0..=99"),
        (
            "classes:\n  idle: {rank: 300}\n",
            "6:16: classes.idle.rank: invalid value: integer `300`, expected u8",
        ),
        (
            "classes:\n  idle: {takes: at_once}\n",
            "6:17: classes.idle.takes: a preemptible class takes no phone from others; say `takes: never`, or leave it out",
        ),
        (
            "classes:\n  idle: {takes: often}\n",
            "6:17: classes.idle.takes: unknown variant `often`, expected one of `at_once`, `case_done`, `never`",
        ),
        (
            "classes:\n  crash: {preemptible: true}\n",
            "6:24: classes.crash.preemptible: crash is strict, so it gives its phone to nobody; take out one of them",
        ),
        (
            "classes:\n  crash: {lift_after_s: 60}\n",
            "6:25: classes.crash.lift_after_s: crash is strict and needs no lift; leave it out",
        ),
        (
            "classes:\n  custom: {lift_after_s: 0}\n",
            "6:26: classes.custom.lift_after_s: 0 is not in 1..=2592000; or say `never`",
        ),
        (
            "classes:\n  custom: {lift_after_s: soon}\n",
            "6:26: classes.custom.lift_after_s: invalid value: string \"soon\", expected a number of seconds, or `never`",
        ),
        ("classes:\n  idle: {}\n  idle: {}\n", "6:3: classes: duplicate field `idle`"),
        (
            "classes:\n  nightly: {}\n",
            "6:3: classes.nightly: unknown field `nightly`, expected one of `crash`, `baseline`, `custom`, `special`, \
             `idle`; mend its spelling or take it out",
        ),
    ];
    each_is_told(&table);
}

#[test]
fn mistakes_in_windows_are_told_with_their_place() {
    let table = [
        (
            "windows:\n  nights: {zone: Mars/Base, spans: [{hours: 22:00-06:00}]}\n",
            "6:18: windows.nights.zone: there is no time zone \"Mars/Base\": write a name of the IANA database, such as \
             Europe/Berlin or UTC",
        ),
        (
            "windows:\n  nights: {}\n",
            "6:11: windows.nights: the window is never open; give it spans, or days in open_on",
        ),
        (
            "windows:\n  nights: {spans: [{cron: 0 22 * * *}]}\n",
            "6:20: windows.nights.spans[0]: says when it opens but not for how long; add `lasts: 8h`",
        ),
        (
            "windows:\n  nights: {spans: [{cron: 0 22 * * *, lasts: 8}]}\n",
            "6:46: windows.nights.spans[0].lasts: \"8\" is no span of time; write it like 90s, 30m, 8h, 2d or 1h30m",
        ),
        (
            "windows:\n  nights: {spans: [{cron: 0 22 * * *, lasts_s: 0}]}\n",
            "6:48: windows.nights.spans[0].lasts_s: a window of 0 s cannot be: it must be open for at least a second and \
             at most 31622400 s",
        ),
        (
            "windows:\n  nights: {spans: [{cron: 0 22 * * *, lasts: 8h, lasts_s: 5}]}\n",
            "6:59: windows.nights.spans[0].lasts_s: lasts says so already; take one of them out",
        ),
        (
            "windows:\n  nights: {spans: [{hours: 22:00-06:00, lasts: 8h}]}\n",
            "6:28: windows.nights.spans[0].hours: hours say both ends; take out cron, lasts and lasts_s, or hours",
        ),
        (
            "windows:\n  nights: {spans: [{zone: UTC}]}\n",
            "6:20: windows.nights.spans[0]: says no time; write `hours: 22:00-06:00 Mon-Fri`, or cron and lasts",
        ),
        (
            "windows:\n  nights: {open_on: [2026-02-30]}\n",
            "6:22: windows.nights.open_on[0]: \"2026-02-30\" is no date: write year-month-day, such as 2026-12-25",
        ),
        (
            "windows:\n  nights: {open_on: [2026-12-25], shut_on: [2026-12-25]}\n",
            "6:44: windows.nights.shut_on: 2026-12-25 is listed both as open and as shut: take it out of one list",
        ),
        (
            "windows:\n  \"a b\": {}\n",
            "6:10: windows.a b: a window's name has 1 to 64 letters, digits, '_' and '-' only",
        ),
    ];
    each_is_told(&table);
}

#[test]
fn mistakes_in_owners_demands_and_numbers_are_told_with_their_place() {
    let table = [
        ("owners:\n  video: {weight: 0}\n", "6:19: owners.video.weight: 0 is not in 1..=1000"),
        (
            "owners:\n  video: {running_max: 0}\n",
            "6:24: owners.video.running_max: 0 is not in 1..=100000; leave it out for no limit",
        ),
        (
            "owners:\n  video: {minutes_per_day: 0}\n",
            "6:28: owners.video.minutes_per_day: 0 is not in 1..=144000000; leave it out for no limit",
        ),
        ("owners:\n  video: {}\n  video: {}\n", "6:3: owners: video stands here twice; keep one of them"),
        ("default_owner: {weight: 1001}\n", "5:25: default_owner.weight: 1001 is not in 1..=1000"),
        (
            "demands:\n  - phones: any\n    only: []\n",
            "7:11: demands[0].only: the phones would take no job at all; name owners, or take the demand out",
        ),
        (
            "demands:\n  - phones: any\n    only: [a, a]\n",
            "7:15: demands[0].only[1]: a is listed twice; keep one",
        ),
        ("yield_within_s: 0\n", "5:17: yield_within_s: 0 is not in 1..=3600"),
        ("batch_max: 1001\n", "5:12: batch_max: 1001 is not in 0..=1000"),
        ("compare_wait_s: 86401\n", "5:17: compare_wait_s: 86401 is not in 0..=86400"),
        ("lift_after_s: 0\n", "5:15: lift_after_s: 0 is not in 1..=2592000"),
    ];
    each_is_told(&table);
}

#[test]
fn a_pool_lends_to_others_and_names_each_thing_once() {
    let text = "pools:\n  - name: all\n    serves: [crash, crash]\n    lends: [idle, crash, idle]\n    only: [a, b, a]\n    \
                rest: true\n";
    let expected = [
        "p.yaml:3:21: pools[0].serves[1]: crash is listed twice; keep one",
        "p.yaml:4:19: pools[0].lends[1]: the pool serves crash, so it need not lend to it; take it out of one list",
        "p.yaml:4:26: pools[0].lends[2]: idle is listed twice; keep one",
        "p.yaml:5:18: pools[0].only[2]: a is listed twice; keep one",
    ];
    assert_eq!(told(&pools::parse(&Source::of("p.yaml", text)).unwrap_err()), expected);
}

#[test]
fn a_mistake_in_an_expression_is_told_at_its_own_column() {
    let table = [
        ("demands:\n  - phones: os >= x\n    only: [a]\n", "6:19"),
        ("demands:\n  - phones: \"os >= x\"\n    only: [a]\n", "6:20"),
        ("demands:\n  - phones: model = \n    only: [a]\n", "6:20"),
    ];
    for (text, place) in table {
        let source = Source::of("p.yaml", format!("{POOLS}{text}"));
        let told = told(&pools::parse(&source).unwrap_err());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("p.yaml:{place}: demands[0].phones: found ")), "{told:?}");
    }
}

#[test]
fn mistakes_of_every_part_come_together_in_the_order_of_the_file() {
    let text = "yield_within_s: 0\nclasses:\n  idle: {window: w}\nowners:\n  a: {weight: 0}\n";
    let mistakes = pools::parse(&Source::of("p.yaml", format!("{POOLS}{text}"))).unwrap_err();
    let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.position.unwrap().0).collect();
    assert_eq!(lines, [5, 7, 9]);
    let text = "yield_within_s: soon\nclasses:\n  idle: {ranks: 1}\nowners:\n  a: {weight: x}\n";
    let mut told = told(&pools::parse(&Source::of("p.yaml", format!("{POOLS}{text}"))).unwrap_err());
    told.sort();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].starts_with("p.yaml:7:17: classes.idle.ranks: unknown field"), "{told:?}");
}

#[test]
fn what_is_odd_is_a_warning() {
    let text = "pools:\n  - name: a\n    serves: [crash, baseline, custom]\n    lends: [idle]\n    rest: true\n\
                windows:\n  w: {spans: [{hours: 20:00-22:00}]}\n";
    let pools = pools::parse(&Source::of("p.yaml", text)).unwrap();
    let expected = [
        "p.yaml: pools: no pool serves special, so jobs of that class wait until one does",
        "p.yaml: pools: idle runs on lent phones of a alone",
        "p.yaml: windows.w: no class uses it",
    ];
    assert_eq!(pools.warnings, expected);
}

fn catalogue(folder: &Path) -> config::Catalogue {
    let case = "name: cold-launch\nowner: perf\nrun:\n  kind: launch\n  launches: 5\n";
    std::fs::write(folder.join("cold-launch.yaml"), case).unwrap();
    cases::read(folder).unwrap()
}

#[test]
fn mistakes_in_the_schedules_file_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = catalogue(folder.path());
    let schedule = |when: &str, job: &str| {
        format!("schedules:\n  - name: s\n    {when}\n    job: {{class: idle, {job}}}\n")
    };
    let good_job = "build: {branch: trunk}, cases: [cold-launch]";
    let job = |job: &str| schedule("cron: 0 22 * * *", job);
    let table = [
        (
            schedule("cron: 0 22 * *", good_job),
            "3:11: schedules[0].cron: \"0 22 * *\" has 4 fields: write five (minute hour day month weekday, as in \"30 2 * \
             * Mon-Fri\") or six with the second first; years are not supported",
        ),
        (
            schedule("cron: 0 22 30 2 *", good_job),
            "3:11: schedules[0].cron: \"0 22 30 2 *\" never fires: no year has such a day; mend the expression",
        ),
        (
            schedule("cron: 0 22 * * *\n    zone: Mars", good_job),
            "4:11: schedules[0].zone: there is no time zone \"Mars\": write a name of the IANA database, such as \
             Europe/Berlin or UTC",
        ),
        (
            schedule("cron: 0 22 * * *\n    missed: never", good_job),
            "4:13: schedules[0].missed: unknown variant `never`, expected one of `skip`, `run_once`, `run_all`",
        ),
        (
            job("build: {branch: trunk}, cases: [warm-launch]"),
            "4:56: schedules[0].job.cases[0]: there is no case warm-launch; there are: cold-launch",
        ),
        (
            job("build: {branch: trunk}, cases: []"),
            "4:55: schedules[0].job.cases: a job runs 1 to 50 cases, not 0",
        ),
        (
            job("build: {}, cases: [cold-launch]"),
            "4:31: schedules[0].job.build: says no build; write `branch: trunk` and `pick: newest`, or `hash:`",
        ),
        (
            job("build: {branch: \"\"}, cases: [cold-launch]"),
            "4:40: schedules[0].job.build.branch: a branch has 1 to 250 bytes, not 0",
        ),
        (
            job("build: {branch: trunk, pick: best}, cases: [cold-launch]"),
            "4:53: schedules[0].job.build.pick: unknown variant `best`, expected `newest` or `least_tested`",
        ),
        (
            job(&format!("build: {{branch: t, hash: {}}}, cases: [cold-launch]", "a".repeat(64))),
            "4:31: schedules[0].job.build: says a hash and a branch; take one of them out",
        ),
        (
            job(&format!("build: {{hash: {}, pick: newest}}, cases: [cold-launch]", "a".repeat(64))),
            "4:38: schedules[0].job.build.hash: names the very build; take out pick and bundle_id, or say a branch instead",
        ),
        (job(&format!("{good_job}, phones: 0")), "4:78: schedules[0].job.phones: 0 is not in 1..=16"),
        (
            job(&format!("{good_job}, start_within_s: 0")),
            "4:86: schedules[0].job.start_within_s: 0 is not in 1..=2592000",
        ),
        (
            job(&format!("{good_job}, requirements: {{os_min: 17, os_max: 16}}")),
            "4:93: schedules[0].job.requirements.os_min: 17 is above os_max 16; no phone can be both",
        ),
    ];
    let mut different = Vec::new();
    for (text, expected) in table {
        let Err(mistakes) = schedules::parse(&Source::of("s.yaml", text.clone()), Some(&catalogue)) else {
            unreachable!("{text} is a mistake")
        };
        let expected = [format!("s.yaml:{expected}")];
        if told(&mistakes) != expected {
            different.push((text, told(&mistakes), expected));
        }
    }
    assert!(different.is_empty(), "{different:#?}");
    let twice =
        format!("{}  - name: s\n    cron: 0 1 * * *\n    job: {{class: idle, {good_job}}}\n", job(good_job));
    let told = told(&schedules::parse(&Source::of("s.yaml", twice), Some(&catalogue)).unwrap_err());
    assert_eq!(
        told,
        ["s.yaml:5:11: schedules[1].name: schedule s is already at schedules[0]; give it another name"]
    );
}

#[test]
fn a_check_shows_windows_and_the_next_five_firings() {
    // Saturday, 21 November 2026, 03:30 in Berlin.
    let now = Time::try_from("2026-11-21T02:30:00Z".to_owned()).unwrap();
    let lines = config::check(&samples().join("holdfastd.yaml"), now).unwrap();
    let expected = [
        "window nights is open; it shuts at 2026-11-22T23:00:00.000Z",
        "schedule nightly-trunk fires next: 2026-11-21T02:40:00.000Z, 2026-11-21T03:00:00.000Z, \
         2026-11-21T03:20:00.000Z, 2026-11-21T03:40:00.000Z, 2026-11-21T04:00:00.000Z",
    ];
    assert_eq!(&lines[..2], expected);
    assert!(lines[2].ends_with("is good: 2 pools, 1 cases, 1 schedules"), "{lines:?}");
}

#[test]
fn the_committed_schemas_are_those_of_the_program() {
    for name in SchemaName::ALL {
        let file = samples().join(format!("schemas/{}.json", name.as_str()));
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        let command = format!("holdfastd schema {0} > config/schemas/{0}.json", name.as_str());
        assert!(committed == name.text().unwrap(), "{} is old; run `{command}`", file.display());
    }
}

#[test]
fn the_samples_keep_their_schemas_and_name_them() {
    let table = [
        (SchemaName::Holdfastd, "holdfastd.yaml", "schemas/holdfastd.json"),
        (SchemaName::Pools, "pools.yaml", "schemas/pools.json"),
        (SchemaName::Schedules, "schedules.yaml", "schemas/schedules.json"),
        (SchemaName::Notify, "notify.yaml", "schemas/notify.json"),
        (SchemaName::Case, "cases/cold-launch.yaml", "../schemas/case.json"),
    ];
    for (name, sample, schema) in table {
        let text = std::fs::read_to_string(samples().join(sample)).unwrap();
        let first = text.lines().next().unwrap();
        assert_eq!(first, format!("# yaml-language-server: $schema={schema}"), "{sample}");
        let named = samples().join(sample).parent().unwrap().join(schema);
        assert!(named.exists(), "{sample} names {schema}, which is not there");
        assert_eq!(wrong(name, &text), Vec::<String>::new(), "{sample}");
    }
}

#[test]
fn a_schema_refuses_what_the_program_refuses() {
    let table = [
        (SchemaName::Holdfastd, "listen: 127.0.0.1:0\ndata: d\npools: p\n"),
        (SchemaName::Pools, "pools: [{name: a, serves: [nightly], rest: true}]\n"),
        (SchemaName::Pools, "pools: [{name: a b, serves: [idle], rest: true}]\n"),
        (SchemaName::Pools, "pools: []\nclasses: {idle: {takes: often}}\n"),
        (SchemaName::Pools, "pools: []\nwindows: {w: {spans: [{from: 1}]}}\n"),
        (SchemaName::Pools, "pools: []\nowners: {a: {weight: 0}}\n"),
        (SchemaName::Schedules, "schedules: [{name: a, cron: 0 0 * * *, missed: never, job: {}}]\n"),
        (SchemaName::Notify, "receivers: [{name: a, kind: pigeon}]\n"),
        (SchemaName::Notify, "receivers: [{name: a, kind: slack, url: https://hooks.example.com/x}]\n"),
        (SchemaName::Case, "name: a\nowner: b\nrun: {kind: dance}\n"),
    ];
    for (name, text) in table {
        assert!(!wrong(name, text).is_empty(), "{text}");
    }
}

/// What a validator that is not ours says of a document.
fn wrong(name: SchemaName, text: &str) -> Vec<String> {
    let document: serde_json::Value = serde_yaml::from_str(text).unwrap();
    let validator = jsonschema::draft7::new(name.schema().as_value()).unwrap();
    validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}
