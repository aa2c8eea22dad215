//! The exit codes: each one is reached, and what is said with it goes to standard error.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(dead_code, reason = "this program compares no texts that tell a time")]
mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Child;

use holdfast_wire::api::Mistake;
use holdfast_wire::job::JobOutcome;
use holdfast_wire::outcome::Blame;
use support::farm::{Farm, problem};
use support::{Ran, StandIn};

#[test]
fn what_the_daemon_answers_decides_the_code() {
    let cases: [(u16, i32); 9] =
        [(404, 3), (401, 4), (403, 4), (400, 6), (409, 6), (410, 6), (422, 6), (429, 6), (500, 1)];
    let standin = StandIn::start();
    for (status, code) in cases {
        standin.tell("GET /api/v1/jobs/J1", status, &problem(status, "kind", "the detail, and its mend"));
        for words in [&["job", "describe", "J1"][..], &["job", "describe", "J1", "--json"]] {
            let ran = standin.run(words);
            assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{status} {words:?}");
            assert_eq!(ran.stderr, "error: the detail, and its mend\n", "{status}");
        }
    }
}

#[test]
fn a_refusal_shows_every_mistake() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let mistake = |place: &str, what: &str| Mistake { place: place.to_owned(), what: what.to_owned() };
    let mut refused = problem(422, "invalid", "the job cannot be taken");
    refused.mistakes = vec![
        mistake("cases[0]", "there is no case cold; the catalogue has cold-launch"),
        mistake("requirements.pool", "there is no pool green; there is main"),
    ];
    standin.tell("POST /api/v1/jobs", 422, &refused);
    let words = ["job", "submit", "--class", "idle", "--build", "abab", "--case", "cold", "--pool", "green"];
    let ran = standin.run(&words);
    assert_eq!((ran.code, ran.stdout.as_str()), (6, ""));
    assert_eq!(
        ran.stderr,
        "error: the job cannot be taken\n  cases[0]: there is no case cold; the catalogue has cold-launch\n  \
         requirements.pool: there is no pool green; there is main\n"
    );
}

#[test]
fn a_daemon_that_is_not_there_is_said_to_be_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    for words in [&["job", "list"][..], &["build", "describe", "abab"], &["crash", "raw", "abab"]] {
        let words = [&["--server", &server], words].concat();
        let ran = support::run(support::program(env!("CARGO_BIN_EXE_holdfast").as_ref(), &words));
        assert_eq!((ran.code, ran.stdout.as_str()), (5, ""), "{words:?}");
        let said = format!("error: cannot reach the daemon at {server}; is holdfastd running there?");
        assert!(ran.stderr.starts_with(&said), "{}", ran.stderr);
        assert!(ran.stderr.contains("\n  because: "), "the cause is named: {}", ran.stderr);
    }
}

#[test]
fn something_else_than_a_daemon_is_an_error() {
    let standin = StandIn::start();
    standin.tell_bytes("GET /api/v1/jobs", 200, b"<html>It works!</html>");
    let ran = standin.run(&["job", "list"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("is this a holdfastd of another version?"), "{}", ran.stderr);
}

#[test]
fn a_wrong_command_line_never_reaches_the_daemon() {
    let standin = StandIn::start();
    let cases = [
        (&["job", "list", "--class", "bad"][..], "[possible values: crash, baseline, custom, special, idle]"),
        (&["job", "describe", "17"], "\"17\" is no job id; it looks like J17"),
        (&["job", "watch"], "<JOBS>"),
        (&["job", "watch", "J1", "--timeout", "soon"], "\"soon\" is no number of seconds"),
        (&["crash", "show", "../jobs"], "4 to 64 hexadecimal digits"),
        (&["--server", "127.0.0.1:1", "job", "list"], "it begins with http:// or https://"),
        (&["jobs", "list"], "a similar subcommand exists: 'job'"),
        (&["pool", "set", "00008030-001C1D2E3F40802E"], "<POOL|--from-file>"),
        (&["owner", "quota", "chat-team"], "the following required arguments were not provided"),
        (&["owner", "quota", "chat-team", "--running-max", "0"], "\"0\" is no number from 1, and not `none`"),
        (&["job", "plan", "--phones", "99"], "a job needs 1 to 16 phones at once"),
        (&["job", "plan", "--fallback", "soon"], "it looks like '600: model"),
    ];
    for (words, expected) in cases {
        let ran = standin.run(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words:?}");
        assert!(ran.stderr.contains(expected), "{words:?} says {}", ran.stderr);
    }
    assert_eq!(standin.asked(), []);
}

#[test]
fn a_file_that_is_not_there_is_not_found() {
    let standin = StandIn::start();
    for words in [&["build", "upload", "/nowhere/App.ipa"][..], &["config", "check", "/nowhere/App.ipa"]] {
        let ran = standin.run(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{words:?}");
        assert!(ran.stderr.starts_with("error: cannot read /nowhere/App.ipa\n  because: No such file"));
    }
}

#[test]
fn a_watch_ends_with_its_worst_job() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    let failed = |blame| JobOutcome::Failed { blame, reason: "launch 2 crashed".to_owned() };
    let outcomes = [
        (JobOutcome::Passed, 0),
        (failed(Blame::Job), 10),
        (failed(Blame::Phone), 11),
        (failed(Blame::Rack), 11),
        (failed(Blame::Farm), 11),
        (JobOutcome::Cancelled, 11),
        (JobOutcome::Expired, 11),
    ];
    for (number, (outcome, code)) in (1_u64..).zip(outcomes) {
        let id = format!("J{number}");
        standin.tell(&format!("GET /api/v1/jobs/{id}"), 200, &farm.ended(number, outcome));
        assert_eq!(standin.run(&["job", "watch", &id]).code, code, "{id}");
        assert_eq!(standin.run(&["job", "watch", &id, "--json"]).code, code, "{id}");
    }
    assert_eq!(standin.run(&["job", "watch", "J1", "J2"]).code, 10);
    assert_eq!(standin.run(&["job", "watch", "J9"]).code, 3);

    let ran = standin.run(&["job", "watch", "J1", "J2", "--json"]);
    let jobs: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&jobs[0]["id"], &jobs[1]["id"]), (&"J1".into(), &"J2".into()));
    assert_eq!(ran.stderr, "J1  passed\nJ2  failed blames the job: launch 2 crashed\n");
}

#[test]
fn a_watch_gives_up_when_its_time_is_over() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let ran = standin.run(&["job", "watch", "J17", "--timeout", "1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (8, ""));
    assert_eq!(
        ran.stderr,
        "J17  running run 60 %: launch 2 of 3\nerror: still waiting for J17 after 1 s; holdfast job explain says why\n"
    );
}

#[test]
fn a_watch_follows_through_a_restart_of_the_daemon() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let address = standin.address;
    let mut watch = standin.spawn(&["job", "watch", "J17"]);
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "J17  running run 60 %: launch 2 of 3");
    drop(standin);
    let said = format!("the daemon at http://{address} does not answer; waiting for it");
    assert_eq!(lines.next().unwrap().unwrap(), said);

    let standin = StandIn::start_at(address);
    standin.tell("GET /api/v1/jobs/J17", 200, &farm.ended(17, JobOutcome::Passed));
    assert_eq!(lines.next().unwrap().unwrap(), "J17  passed");
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn an_interrupt_has_its_own_code() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let mut watch = standin.spawn(&["job", "watch", "J17"]);
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    interrupt(&watch);
    assert_eq!(watch.wait().unwrap().code(), Some(130));
}

fn interrupt(child: &Child) {
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_submission_says_what_was_typed() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let words = "job submit --class special --build abab --case cold-launch --case scroll --model iPhone14,5 --os-min \
                 16 --os-max 17.1 --label lab-a --rack rack-1 --priority -3 --owner chat-team --idempotency-key ci-77";
    let Ran { code, .. } = standin.run(&words.split_whitespace().collect::<Vec<_>>());
    let asked = standin.asked();
    assert_eq!((code, asked[0].what.as_str()), (0, "GET /api/v1/builds/abab"));
    assert_eq!(asked[1].what, "POST /api/v1/jobs");
    assert_eq!(asked[1].idempotency_key.as_deref(), Some("ci-77"));
    let body: serde_json::Value = serde_json::from_slice(&asked[1].body).unwrap();
    let expected = serde_json::json!({
        "class": "special",
        "build": "ab".repeat(32),
        "cases": ["cold-launch", "scroll"],
        "requirements": {
            "models": ["iPhone14,5"], "os_min": "16", "os_max": "17.1", "labels": ["lab-a"], "rack": "rack-1",
        },
        "priority": -3,
        "owner": "chat-team",
    });
    assert_eq!(body, expected);
}

#[test]
fn what_is_wanted_of_phones_goes_into_the_request() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let words = "job plan --class custom --build abab --case cold-launch --phones 2 --compare branch-7 --once --require";
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.extend(["os >= 17", "--fallback", "600: os >= 16", "--fallback", "1200: any"]);
    assert_eq!(standin.run(&words).code, 0);
    let asked = standin.asked();
    assert_eq!(asked[1].what, "POST /api/v1/plan");
    let body: serde_json::Value = serde_json::from_slice(&asked[1].body).unwrap();
    let expected = serde_json::json!({
        "class": "custom",
        "build": "ab".repeat(32),
        "cases": ["cold-launch"],
        "requirements": {
            "expression": "os >= 17",
            "fallbacks": [{ "after_s": 600, "expression": "os >= 16" }, { "after_s": 1200, "expression": "any" }],
        },
        "priority": 0,
        "phones": 2,
        "compare": "branch-7",
        "once": true,
    });
    assert_eq!(body, expected);
}

#[test]
fn operators_send_who_they_are_and_how_long() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let hot = "00008030-001C1D2E3F40802E";
    let busy = "00008110-000A2D8E3C41801E";
    let cases = [
        (
            &["phone", "take", hot, "--reason", "a hang", "--lasts", "90", "--now", "--by", "mira"][..],
            format!("POST /api/v1/phones/{hot}/take"),
            serde_json::json!({ "by": "mira", "reason": "a hang", "for_s": 90, "now": true }),
        ),
        (
            &["phone", "force-release", busy, "--reason", "it hangs", "--by", "mira"],
            format!("POST /api/v1/phones/{busy}/force-release"),
            serde_json::json!({ "by": "mira", "reason": "it hangs" }),
        ),
        (
            &["pool", "set", hot, "crash", "--by", "mira", "--reason", "a & b"],
            format!("PUT /api/v1/phones/{hot}/pool?by=mira&reason=a+%26+b"),
            serde_json::json!({ "pool": "crash" }),
        ),
        (
            &["owner", "quota", "chat-team", "--running-max", "none", "--weight", "3", "--by", "mira"],
            "PUT /api/v1/owners/chat-team/limits?by=mira".to_owned(),
            // The quota of minutes was not said, so it stays.
            serde_json::json!({ "weight": 3, "minutes_per_day": 600 }),
        ),
    ];
    for (words, what, body) in cases {
        let ran = standin.run(words);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words:?}");
        let last = standin.asked().pop().unwrap();
        assert_eq!(last.what, what);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&last.body).unwrap(), body, "{words:?}");
    }
    let orders = [
        (&["pool", "set", hot, "--from-file"][..], format!("DELETE /api/v1/phones/{hot}/pool")),
        (
            &["owner", "quota", "chat-team", "--from-file"],
            "DELETE /api/v1/owners/chat-team/limits".to_owned(),
        ),
        (&["schedule", "run", "nightly-memory"], "POST /api/v1/schedules/nightly-memory/run".to_owned()),
        (&["config", "reload"], "POST /api/v1/config/reload".to_owned()),
    ];
    for (words, what) in orders {
        let words = [words, &["--by", "mira", "--reason", "new"]].concat();
        assert_eq!(standin.run(&words).code, 0, "{words:?}");
        assert_eq!(standin.asked().pop().unwrap().what, format!("{what}?by=mira&reason=new"));
    }
    let mut command = support::program(
        env!("CARGO_BIN_EXE_holdfast").as_ref(),
        &["--server", "http://127.0.0.1:1", "phone", "take", hot, "--reason", "a hang"],
    );
    command.env_remove("USER");
    let ran = support::run(command);
    assert_eq!((ran.code, ran.stderr.contains("--by NAME")), (2, true), "{}", ran.stderr);
}

#[test]
fn a_watched_queue_is_shown_again_when_it_changes() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let mut watch = standin.spawn(&["queue", "--watch", "--class", "baseline"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("J18 ")), "the queue is shown at once");
    let mut later = farm.queue();
    later.classes[1].next.remove(0);
    standin.tell("GET /api/v1/queue", 200, &later);
    let again: Vec<String> = lines.by_ref().skip_while(|line| !line.starts_with("job ")).take(2).collect();
    assert!(again[1].starts_with("J18 "), "{again:?}");
    assert!(standin.asked().iter().all(|asked| asked.what == "GET /api/v1/queue?class=baseline"));
    interrupt(&watch);
    assert_eq!(watch.wait().unwrap().code(), Some(130));
}

#[test]
fn an_upload_sends_the_file_its_hash_and_its_origin() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("App.ipa");
    std::fs::write(&file, b"archive").unwrap();
    let ran =
        standin.run(&["build", "upload", file.to_str().unwrap(), "--branch", "feature/chat & co", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let build: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(build["identity"]["executable"], "Mooring");
    let asked = standin.asked();
    let hash = blake3::hash(b"archive").to_hex();
    assert_eq!(asked[0].what, format!("POST /api/v1/builds?hash={hash}&branch=feature%2Fchat+%26+co"));
    assert_eq!(asked[0].body.as_ref(), b"archive");
}

#[test]
fn symbols_are_sent_as_they_are_or_as_a_zip_of_their_folder() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    standin.tell("PUT /api/v1/builds/abab/symbols", 200, &farm.build());
    let folder = tempfile::tempdir().unwrap();
    let dwarf = folder.path().join("App.dSYM/Contents/Resources/DWARF");
    std::fs::create_dir_all(&dwarf).unwrap();
    std::fs::write(dwarf.join("App"), "lines").unwrap();
    std::fs::write(folder.path().join("App.zip"), "a zip").unwrap();
    let sent = |name: &str| {
        let path = folder.path().join(name);
        let ran = standin.run(&["build", "symbols", "abab", path.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let asked = standin.asked().pop().unwrap();
        assert_eq!(asked.what, "PUT /api/v1/builds/abab/symbols");
        asked.body
    };
    assert_eq!(sent("App.zip"), "a zip");
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(sent("App.dSYM"))).unwrap();
    let mut lines = String::new();
    let mut entry = zip.by_name("App.dSYM/Contents/Resources/DWARF/App").unwrap();
    std::io::Read::read_to_string(&mut entry, &mut lines).unwrap();
    assert_eq!(lines, "lines");
    let ran = standin.run(&["build", "symbols", "abab", "/nowhere/App.dSYM"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
}

#[test]
fn a_crash_is_symbolicated_when_asked_and_then_shown() {
    let (standin, farm) = (StandIn::start(), Farm::new());
    farm.fill(&standin);
    standin.tell("POST /api/v1/crashes/cdcd/symbolicate", 200, &serde_json::json!({ "crash": farm.crash() }));
    standin.tell_bytes("GET /api/v1/crashes/cdcd/page", 200, b"Feed_decodeCell (Feed.c:23)\n");
    let ran = standin.run(&["crash", "symbolicate", "cdcd"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Feed_decodeCell (Feed.c:23)\n"));
    let asked: Vec<String> = standin.asked().into_iter().map(|asked| asked.what).collect();
    assert_eq!(asked, ["POST /api/v1/crashes/cdcd/symbolicate", "GET /api/v1/crashes/cdcd/page"]);
    let ran = standin.run(&["crash", "symbolicate", "cdcd", "--json"]);
    assert!(ran.stdout.contains("\"crash\""), "{}", ran.stdout);
}
