//! What several tests need: an instant and an event.

use holdfast_notify::event::{
    Build, Change, Counts, Event, Flow, Frame, GroupId, Link, Origin, OsStage, Phase,
};
use holdfast_wire::time::Time;

/// An instant: 2026-11-18 11:06:40 UTC and so many milliseconds.
pub(crate) fn at(ms: i64) -> Time {
    Time::from_unix_ms(1_795_000_000_000 + ms)
}

/// A new crash of a running app, beside the main flow.
pub(crate) fn event() -> Event {
    Event {
        group: GroupId::from("g1"),
        change: Change::New,
        at: at(0),
        title: "EXC_BAD_ACCESS in ChatRoom::send(Message const&)".to_owned(),
        ended_by: Some("EXC_BAD_ACCESS (SIGSEGV) at 0x8".to_owned()),
        kind: "crash".to_owned(),
        phase: Some(Phase::Running),
        flow: Flow::Side,
        process: "Mooring".to_owned(),
        bundle_id: Some("com.example.mooring".to_owned()),
        build: Some(build("b1")),
        phones: vec!["lab-1".to_owned()],
        os: Some("iPhone OS 18.1 (22B83)".to_owned()),
        os_stage: OsStage::Released,
        case: Some("chat-scroll".to_owned()),
        stack: vec![
            frame("libsystem_kernel.dylib", "__pthread_kill", None, false),
            frame("Mooring", "ChatRoom::send(Message const&)", Some("/builds/7/src/chat/room.cpp"), true),
        ],
        counts: Counts { crashes: 3, builds: 1, phones: 1 },
        first_bad: None,
        moved_to: None,
        links: vec![Link {
            label: "Crash group".to_owned(),
            url: "https://farm.example.com/groups/g1".to_owned(),
        }],
        origin: Origin::Real,
    }
}

/// A build by its hash.
pub(crate) fn build(hash: &str) -> Build {
    Build {
        hash: hash.to_owned(),
        commit: Some("0123456789abcdef0123".to_owned()),
        branch: Some("trunk".to_owned()),
        author: Some("Ann <ann@example.com>".to_owned()),
    }
}

fn frame(module: &str, function: &str, file: Option<&str>, in_app: bool) -> Frame {
    Frame {
        module: module.to_owned(),
        function: function.to_owned(),
        file: file.map(str::to_owned),
        line: file.map(|_| 12),
        in_app,
    }
}
