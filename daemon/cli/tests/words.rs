//! What every command prints, as text and as JSON, read by a person before it is kept.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "this program starts nothing that it does not wait for")]
mod support;

use support::farm::{Farm, page};
use support::{Ran, StandIn};

/// Runs commands against one farm and shows what each printed.
fn shown(commands: &[&[&str]]) -> String {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let shown = commands.iter().map(|words| {
        let Ran { code, stdout, stderr } = standin.run(words);
        assert_eq!((code, stderr.as_str()), (0, ""), "{words:?} prints data, and nothing else");
        format!("$ holdfast {}\n{}", words.join(" "), farm.settled(&stdout))
    });
    shown.collect::<Vec<_>>().join("\n")
}

const BUSY: &str = "00008110-000A2D8E3C41801E";
const HOT: &str = "00008030-001C1D2E3F40802E";

#[test]
fn builds() {
    insta::assert_snapshot!(shown(&[&["build", "list"], &["build", "describe", "ABAB"]]));
}

#[test]
fn jobs() {
    insta::assert_snapshot!(shown(&[
        &["job", "list"],
        &["job", "describe", "J3"],
        &["job", "describe", "J17"],
        &["job", "describe", "J18"],
        &["job", "cancel", "J18"],
        &["job", "submit", "--class", "baseline", "--build", "abab", "--case", "cold-launch"],
    ]));
}

#[test]
fn phones() {
    insta::assert_snapshot!(shown(&[
        &["phone", "list"],
        &["phone", "describe", BUSY],
        &["phone", "quarantine", HOT, "--reason", "swollen"],
        &["phone", "release", HOT, "--by", "mira"],
        &["phone", "take", HOT, "--reason", "looks at a hang", "--lasts", "14400", "--by", "mira"],
        &["phone", "force-release", BUSY, "--reason", "it hangs", "--by", "mira"],
    ]));
}

#[test]
fn waiting() {
    let plan = ["job", "plan", "--class", "baseline", "--build", "abab", "--case", "cold-launch"];
    insta::assert_snapshot!(shown(&[
        &["job", "explain", "J18"],
        &["job", "eta", "J18"],
        &plan,
        &["queue"],
        &["pool", "list"],
        &["pool", "set", HOT, "crash"],
        &["pool", "set", HOT, "--from-file"],
    ]));
}

#[test]
fn every_answer_to_a_plan_has_its_words() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let plan = ["job", "plan", "--class", "crash", "--build", "abab", "--case", "cold-launch"];
    let answers = [farm.plan_starts(), farm.plan_never()].map(|answer| {
        standin.tell("POST /api/v1/plan", 200, &answer);
        let ran = standin.run(&plan);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        ran.stdout
    });
    insta::assert_snapshot!(answers.join("---\n"));
}

#[test]
fn a_job_that_nothing_can_run_is_told_at_its_submission() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    standin.tell("POST /api/v1/jobs", 201, &farm.hopeless());
    let submit = ["job", "submit", "--class", "crash", "--build", "abab", "--case", "cold-launch"];
    let ran = standin.run(&submit);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "the job is taken all the same");
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn a_start_that_cannot_be_told_says_why() {
    let standin = StandIn::start();
    let eta = holdfast_wire::api::JobEta {
        job: "J18".parse().unwrap(),
        eta: None,
        waiting: Some("no phone of the farm fits".to_owned()),
    };
    standin.tell("GET /api/v1/jobs/J18/eta", 200, &eta);
    let ran = standin.run(&["job", "eta", "J18"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (
            0,
            "when J18 starts cannot be said: no phone of the farm fits\n\
             see why, phone by phone: holdfast job explain J18\n"
        )
    );
}

#[test]
fn schedules_owners_configuration_and_audit() {
    insta::assert_snapshot!(shown(&[
        &["schedule", "list"],
        &["schedule", "next"],
        &["schedule", "next", "hourly"],
        &["schedule", "run", "nightly-memory"],
        &["owner", "list"],
        &["owner", "quota", "chat-team", "--minutes-per-day", "600"],
        &["owner", "quota", "chat-team", "--from-file"],
        &["config", "show"],
        &["config", "reload"],
        &["audit", "list"],
    ]));
}

#[test]
fn notices_and_rules_that_are_tried() {
    insta::assert_snapshot!(shown(&[
        &["notice", "list", "--state", "held"],
        &["notice", "receivers"],
        &["rules", "test", "CDCD"]
    ]));
}

/// What the program writes when it is told to colour although nobody looks, as it does by itself on a terminal.
fn coloured(words: &[&str], more: &[(&str, &str)]) -> String {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let mut command = standin.command(words);
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").envs(more.iter().copied());
    let ran = command.output().unwrap();
    assert_eq!((ran.status.code(), ran.stderr), (Some(0), vec![]), "{words:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn states_are_coloured_for_people_and_for_nobody_else() {
    for words in
        [&["phone", "list"][..], &["job", "list"], &["queue"], &["rack", "list"], &["job", "describe", "J17"]]
    {
        assert!(coloured(words, &[]).contains("\u{1b}["), "{words:?}");
        let unwanted = coloured(words, &[("NO_COLOR", "1")]);
        assert!(!unwanted.contains('\u{1b}'), "{words:?}: {unwanted}");
        let document = coloured(&[words, &["--json"]].concat(), &[]);
        assert!(!document.contains('\u{1b}'), "{words:?}: {document}");
    }
}

#[test]
fn documents_of_rules_for_programs() {
    insta::assert_snapshot!(shown(&[
        &["job", "explain", "J18", "--json"],
        &["job", "eta", "J18", "--json"],
        &["job", "plan", "--class", "idle", "--build", "abab", "--case", "cold-launch", "--json"],
        &["queue", "--json"],
        &["pool", "list", "--json"],
        &["schedule", "next", "hourly", "--json"],
        &["owner", "list", "--json"],
        &["config", "show", "--json"],
        &["audit", "list", "--json"],
    ]));
}

#[test]
fn racks_cases_and_crashes() {
    insta::assert_snapshot!(shown(&[
        &["rack", "list"],
        &["case", "list"],
        &["crash", "list"],
        &["crash", "show", "cdcd"],
        &["crash", "text", "cdcd"],
        &["crash", "raw", "cdcd"],
    ]));
}

#[test]
fn documents_for_programs() {
    insta::assert_snapshot!(shown(&[
        &["build", "list", "--json"],
        &["job", "list", "--json"],
        &["phone", "list", "--json"],
        &["rack", "list", "--json"],
        &["case", "list", "--json"],
        &["crash", "list", "--json"],
        &["crash", "show", "cdcd", "--json"],
    ]));
}

#[test]
fn empty_lists_say_what_to_do_next() {
    let standin = StandIn::start();
    let nouns =
        ["build", "job", "phone", "rack", "case", "crash", "pool", "schedule", "owner", "audit", "notice"];
    let lines = nouns.map(|noun| {
        let plural = match noun {
            "crash" => "crashes".to_owned(),
            "audit" => noun.to_owned(),
            _ => format!("{noun}s"),
        };
        standin.tell(&format!("GET /api/v1/{plural}"), 200, &page(Vec::<u8>::new(), None));
        let json = standin.run(&[noun, "list", "--json"]).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json, serde_json::json!({ "items": [], "next_cursor": null }), "{noun}");
        standin.run(&[noun, "list"]).stdout
    });
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn the_doctor_names_what_is_wrong_and_its_mend() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let silent = holdfast_wire::api::RackView { online: false, ..farm.rack() };
    standin.tell("GET /api/v1/racks", 200, &page(vec![silent], None));
    let mirror = serde_json::json!({
        "app": "example.holdfast.mooring", "mirror": "/srv/mirrors/mooring.git", "read_at": "2026-11-21T08:00:00Z",
        "commits": 212, "missing": ["4a5b6c7d"], "trouble": null,
    });
    let server = serde_json::json!({
        "server": "https://symbols.example", "found": 3, "missing": 1, "trouble": "503, try later",
    });
    standin.tell(
        "GET /api/v1/sources",
        200,
        &serde_json::json!({ "mirrors": [mirror], "symbol_server": server }),
    );
    let ran = standin.run(&["doctor"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let checkup: Vec<&str> = ran
        .stdout
        .lines()
        // How far the clocks differ and whether this machine is a rack are matters of the moment.
        .filter(|line| !line.contains("clock") && !line.contains("usbmuxd"))
        .collect();
    let checkup = checkup.join("\n").replace(&standin.address.to_string(), "<address>");
    insta::assert_snapshot!(checkup);
    let clock: Vec<&str> = ran.stdout.lines().filter(|line| line.contains("clock")).collect();
    assert!(clock[0].starts_with("ok ") && clock[0].ends_with(" ms"), "{clock:?}");

    let json = standin.run(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &found[2]["what"], &found[2]["state"]), (1, &"racks".into(), &"bad".into()));
}

#[test]
fn help_shows_every_noun_and_every_exit_code() {
    let standin = StandIn::start();
    // The address of the stand-in is the environment's; help shows it.
    let help = standin.run(&["--help"]).stdout.replace(&standin.address.to_string(), "<address>");
    insta::assert_snapshot!(help);
}

#[test]
fn every_command_has_its_manual_page() {
    let standin = StandIn::start();
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man1");
    let ran = standin.run(&["manual", man.to_str().unwrap(), "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let written: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(written["pages"].as_u64().unwrap(), std::fs::read_dir(&man).unwrap().count() as u64);
    for (page, words) in [
        ("holdfast.1", "Exit codes"),
        ("holdfast-queue.1", "expected starts"),
        ("holdfast-job-submit.1", "SECONDS:EXPRESSION"),
        ("holdfast-phone-force-release.1", "nobody is blamed"),
    ] {
        let text = std::fs::read_to_string(man.join(page)).unwrap().replace("\\-", "-");
        assert!(text.starts_with(".ie") && text.contains(words), "{page}: {text}");
    }
    let ran = standin.run(&["manual", "/dev/null/man"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert_eq!(standin.asked(), [], "the manual asks no daemon");
}

#[test]
fn shells_get_completions_that_know_the_nouns() {
    let standin = StandIn::start();
    for shell in ["bash", "zsh", "fish"] {
        let ran =
            support::run(support::program(env!("CARGO_BIN_EXE_holdfast").as_ref(), &["completions", shell]));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        for word in [
            "build",
            "job",
            "phone",
            "rack",
            "crash",
            "quarantine",
            "explain",
            "queue",
            "force-release",
            "quota",
        ] {
            assert!(ran.stdout.contains(word), "{shell} does not complete {word}");
        }
    }
    assert_eq!(standin.asked(), [], "completions ask no daemon");
}
