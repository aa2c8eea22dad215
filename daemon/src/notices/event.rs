//! A crash and its group as the facts by which is decided who is told.

use holdfast_bisect::odds;
use holdfast_notify::event::{Build, Counts, FirstBad, Frame, GroupId, Link, Origin, OsStage, Phase};
use holdfast_notify::{Change, Event, Rules};
use holdfast_wire::api::CrashView;
use holdfast_wire::time::Time;

use crate::groups::{Group, author, brought_by, row};
use crate::snapshot::Snapshot;

/// How sure the farm has to be of a commit before it names it, in per cent: whoever is called wrongly listens less.
const SURE_PERCENT: u8 = 90;

/// Phones that are named: a message names three.
const PHONES_MAX: usize = 50;

/// What happened to a group, as its newest crash shows it.
pub(crate) fn event(
    picture: &Snapshot,
    rules: &Rules,
    crash: &CrashView,
    group: &Group,
    change: Change,
    at: Time,
) -> Event {
    let stats = picture.groups.stats(group);
    let record = &group.record;
    let case = crash.case.as_ref().map(ToString::to_string);
    let build = crash.build.map(|hash| {
        let known = picture.builds.get(&hash);
        let origin = known.map(|build| build.origin.clone()).unwrap_or_default();
        let author = known.and_then(|build| author(picture, build));
        Build { hash: hash.to_string(), commit: origin.commit, branch: origin.branch, author }
    });
    let seen_now = crash.origin.phone.as_ref().map(ToString::to_string);
    let others = stats.phones.keys().filter(|phone| Some(*phone) != seen_now.as_ref()).cloned();
    let phones = seen_now.iter().cloned().chain(others).take(PHONES_MAX).collect();
    let phone = crash.origin.phone.as_ref().and_then(|udid| picture.phone_at_rest(udid));
    let simulated = phone.is_some_and(|phone| phone.facts.simulated);
    let link = rules
        .farm_url
        .as_ref()
        .map(|farm| Link { label: "Crash group".to_owned(), url: format!("{farm}/groups/{}", record.id) });
    Event {
        group: GroupId(record.id.to_string()),
        change,
        at,
        title: record.name.clone().unwrap_or_else(|| record.signature.clone()),
        ended_by: crash.ended_by.clone(),
        kind: crash.kind.clone(),
        phase: phase(crash.launch_phase.as_deref()),
        flow: rules.flow(case.as_deref()),
        process: crash.process.clone().unwrap_or_else(|| "unknown".to_owned()),
        bundle_id: crash.bundle_id.clone(),
        build,
        phones,
        os: crash.os_version.clone(),
        os_stage: os_stage(crash.os_version.as_deref()),
        case,
        stack: stack(crash),
        counts: Counts {
            crashes: stats.crashes.len() as u64,
            builds: stats.builds.len() as u64,
            phones: stats.phones.len() as u64,
        },
        first_bad: None,
        moved_to: None,
        links: link.into_iter().collect(),
        origin: if simulated { Origin::Simulated } else { Origin::Real },
    }
}

/// The commit that brought a group, when the odds are good enough to call its author.
pub fn first_bad(picture: &Snapshot, group: &Group) -> Option<FirstBad> {
    let row = row(picture, &picture.groups.stats(group))?;
    // Without a build that ran well before, the oldest one that the farm has would be blamed.
    row.seen.iter().find(|seen| seen.attempts > 0 && seen.crashed == 0)?;
    let odds = odds(&row.seen)?;
    let (place, chance) = odds.first_bad.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let build = row.builds.get(place)?;
    let before = place.checked_sub(1).and_then(|before| row.builds.get(before));
    // What is not certain is never told as certain.
    let percent = (chance * 100.0).floor() as u8;
    let commit = build.origin.commit.clone().filter(|_| percent >= SURE_PERCENT)?;
    let author = brought_by(picture, before.map(AsRef::as_ref), build);
    Some(FirstBad { commit, author, percent })
}

/// The words of the crash reader.
fn phase(words: Option<&str>) -> Option<Phase> {
    match words? {
        "before main" => Some(Phase::BeforeMain),
        "in launch" => Some(Phase::InLaunch),
        "running" => Some(Phase::Running),
        _ => None,
    }
}

/// Builds of betas end with a small letter: `iPhone OS 18.2 (22C5109p)`.
fn os_stage(os: Option<&str>) -> OsStage {
    let build = os.and_then(|os| os.rsplit_once('(')).map(|(_, build)| build.trim_end_matches(')'));
    let is_beta = build.is_some_and(|build| build.ends_with(|c: char| c.is_ascii_lowercase()));
    if is_beta { OsStage::Beta } else { OsStage::Released }
}

/// The functions that tell, with the top one of the app marked; that one in front when it is none of them. In which
/// modules the others are is not known.
fn stack(crash: &CrashView) -> Vec<Frame> {
    let names = crash.signature.as_ref().map(|signature| signature.stack.as_slice()).unwrap_or_default();
    let mut frames: Vec<Frame> = names
        .iter()
        .map(|name| Frame {
            module: String::new(),
            function: name.clone(),
            file: None,
            line: None,
            in_app: false,
        })
        .collect();
    let Some(mut top) = crash.top_frame.as_deref().map(top_frame) else { return frames };
    top.file = crash.top_file.clone().or(top.file);
    match frames.iter().position(|frame| top.function.contains(&frame.function)) {
        Some(place) => frames.splice(place..=place, [top]).for_each(drop),
        None => frames.insert(0, top),
    }
    frames
}

/// `Chat Room::open(int) (room.cpp:12)`, as the crash reader writes it. The file has lost its folders
/// there.
fn top_frame(text: &str) -> Frame {
    let (module, rest) = text.split_once(' ').unwrap_or(("?", text));
    let source = rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("));
    let source = source.filter(|(_, place)| place.contains('.') && !place.contains(['(', ')', ' ']));
    let (function, place) = source.map_or((rest, None), |(function, place)| (function, Some(place)));
    let (file, line) = match place.map(|place| place.rsplit_once(':').unwrap_or((place, ""))) {
        Some((file, line)) => (Some(file.to_owned()), line.parse().ok()),
        None => (None, None),
    };
    Frame { module: module.to_owned(), function: function.to_owned(), file, line, in_app: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beta_is_known_by_its_build() {
        let table = [
            (Some("iPhone OS 18.2 (22C5109p)"), OsStage::Beta),
            (Some("iPhone OS 18.1 (22B83)"), OsStage::Released),
            (Some("iPhone OS 18.1"), OsStage::Released),
            (None, OsStage::Released),
        ];
        for (os, expected) in table {
            assert_eq!(os_stage(os), expected, "{os:?}");
        }
    }

    #[test]
    fn phases_have_the_words_of_the_crash_reader() {
        let table = [
            (holdfast_crash::LaunchPhase::BeforeMain, Some(Phase::BeforeMain)),
            (holdfast_crash::LaunchPhase::InLaunch, Some(Phase::InLaunch)),
            (holdfast_crash::LaunchPhase::Running, Some(Phase::Running)),
            (holdfast_crash::LaunchPhase::Unknown, None),
        ];
        for (read, expected) in table {
            assert_eq!(phase(Some(read.words())), expected);
        }
    }

    #[test]
    fn the_top_frame_is_taken_apart_as_it_was_written() {
        let table = [
            ("Chat Room::open(int) (room.cpp:12)", "Chat", "Room::open(int)", Some("room.cpp"), Some(12)),
            ("Chat -[Room open:] + 4", "Chat", "-[Room open:] + 4", None, None),
            ("Chat operator() (int)", "Chat", "operator() (int)", None, None),
            ("Chat f (a.m)", "Chat", "f", Some("a.m"), None),
            ("? + 0x40", "?", "+ 0x40", None, None),
        ];
        for (text, module, function, file, line) in table {
            let frame = top_frame(text);
            let found = (frame.module.as_str(), frame.function.as_str(), frame.file.as_deref(), frame.line);
            assert_eq!(found, (module, function, file, line), "{text}");
        }
    }
}
