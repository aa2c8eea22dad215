//! Whatever the bytes: an answer, pages, a signature and a way through the API, in bounded time, and no panic.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use holdfast_crash::{Report, Rules, apple_text, read, render_text, signature, summary};
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Far more than any of these files needs on a busy machine; a quadratic reader takes minutes.
const DEADLINE: Duration = Duration::from_secs(20);

fn check(bytes: &[u8]) -> Report {
    let report = read(bytes);
    assert!(!render_text(&report).is_empty());
    assert!(!summary(&report).to_string().is_empty());
    assert!(apple_text(bytes, &report).is_none_or(|text| !text.is_empty() || bytes.is_empty()));
    if let Some(signature) = signature(&report, &Rules::default()) {
        assert_eq!(signature.id().len(), 16);
    }
    for fault in &report.malformed {
        assert!(fault.place.offset <= bytes.len() && fault.place.line >= 1 && fault.place.column >= 1);
    }
    for range in &report.unread {
        assert!(range.start <= range.end && range.end <= bytes.len());
    }
    report
}

fn fixtures() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut found: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    found.sort_by_key(Vec::len);
    found
}

/// One way in which a file gets broken.
#[derive(Debug, Clone)]
enum Damage {
    Cut { at: usize },
    CutHead { at: usize },
    Put { at: usize, byte: u8 },
    Remove { at: usize, count: usize },
    Repeat { at: usize, count: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0..100_000usize;
    let telling = prop::sample::select(b"{}[]\",:\\\n0-x\x00\xff<> ".to_vec());
    prop_oneof![
        at.clone().prop_map(|at| Damage::Cut { at }),
        at.clone().prop_map(|at| Damage::CutHead { at }),
        (at.clone(), telling).prop_map(|(at, byte)| Damage::Put { at, byte }),
        (at.clone(), 1..50usize).prop_map(|(at, count)| Damage::Remove { at, count }),
        (at, 1..500usize).prop_map(|(at, count)| Damage::Repeat { at, count }),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let length = bytes.len().max(1);
    match *damage {
        Damage::Cut { at } => bytes.truncate(at % length),
        Damage::CutHead { at } => drop(bytes.drain(..(at % length).min(bytes.len()))),
        Damage::Put { at, byte } => bytes.insert((at % length).min(bytes.len()), byte),
        Damage::Remove { at, count } => {
            let from = (at % length).min(bytes.len());
            bytes.drain(from..(from + count).min(bytes.len()));
        }
        Damage::Repeat { at, count } => {
            let from = (at % length).min(bytes.len());
            let part = bytes[from..(from + count).min(bytes.len())].to_vec();
            bytes.splice(from..from, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        check(&bytes);
    }

    #[test]
    fn json_like_bytes_are_answered(text in "(\\{|\\}|\\[|\\]|\"|,|:|\\\\|\n|threads|bug_type|309|0x1|Thread 0:| |u12)*") {
        check(text.as_bytes());
    }

    #[test]
    fn text_like_lines_are_answered(text in "((Thread [0-9]{1,12}|Process|Version|Termination Reason|Exception Type|Date/Time|[0-9]+  \\PC{0,9}  0x[0-9a-f]{0,20}|0x[0-9a-f]{1,18} - 0x[0-9a-f]{1,18})[: ]{1,2}\\PC{0,30}\n)*") {
        check(text.as_bytes());
    }

    #[test]
    fn damaged_reports_are_answered(which in any::<prop::sample::Index>(), damages in prop::collection::vec(damage(), 1..6)) {
        let files = fixtures();
        let mut bytes = which.get(&files).clone();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        let report = check(&bytes);
        let json = serde_json::to_string(&report).unwrap();
        prop_assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }
}

/// Changes of bytes made in every check; `HOLDFAST_FUZZ_EXECUTIONS` asks for more.
const EXECUTIONS: u64 = 20_000;
/// A fixture larger than this is not changed again and again: it would be most of the work and little of the variety.
const SEED_BYTES_MAX: usize = 20_000;
/// Pieces that mean something to one of the readers.
const PIECES: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u",
    b"\\",
    b":",
    b",",
    b"\n",
    b"{\"bug_type\":\"309\"}\n",
    b"null",
    b"-1",
    b"18446744073709551615",
    b"\"threads\":",
    b"\"usedImages\":[",
    b"Thread 0 Crashed:\n",
    b"Binary Images:\n",
    b"0x",
    b" + ",
    b"_block_invoke",
    b"closure #1 in ",
    b"Full Report\n",
    b"\xc3\xa9",
];

/// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below.max(1)
    }
}

/// One to eight changes: bits, bytes, pieces put in, parts removed, repeated or taken from another file.
fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.next(8) {
        let at = dice.next(bytes.len() + 1).min(bytes.len());
        let end = (at + dice.next(64)).min(bytes.len());
        match dice.next(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.next(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(dice.next(256)).unwrap(),
            2 | 3 => drop(bytes.splice(at..at, PIECES[dice.next(PIECES.len())].iter().copied())),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            6 => {
                let from = dice.next(other.len());
                let to = (from + dice.next(512)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ if dice.next(8) == 0 => bytes.truncate(at),
            _ => {}
        }
    }
}

#[test]
fn fixtures_changed_again_and_again_are_answered() {
    let asked = std::env::var("HOLDFAST_FUZZ_EXECUTIONS").ok();
    let executions = asked.map_or(EXECUTIONS, |count| count.parse().unwrap());
    let seed = std::env::var("HOLDFAST_FUZZ_SEED").ok().map_or(0x5eed, |seed| seed.parse().unwrap());
    let mut dice = Dice(seed);
    let mut seeds = fixtures();
    seeds.retain(|bytes| bytes.len() <= SEED_BYTES_MAX);
    let mut pool = seeds.clone();
    for execution in 0..executions {
        let which = dice.next(pool.len());
        let mut bytes = pool[which].clone();
        let other = dice.next(seeds.len());
        change(&mut bytes, &seeds[other], &mut dice);
        let answered = std::panic::catch_unwind(|| {
            let report = check(&bytes);
            if execution % 64 == 0 {
                let json = serde_json::to_string(&report).unwrap();
                assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
            }
        });
        assert!(
            answered.is_ok(),
            "execution {execution} of seed {seed}: {:?}",
            String::from_utf8_lossy(&bytes)
        );
        // Changes pile up in the pool until it starts afresh, so that far ones are reached too.
        if dice.next(4) == 0 && bytes.len() <= SEED_BYTES_MAX {
            pool[which] = bytes;
        }
        if execution % 50_000 == 49_999 {
            pool.clone_from(&seeds);
        }
    }
}

#[test]
fn a_header_is_had_wherever_the_body_is_cut() {
    for bytes in fixtures().iter().filter(|bytes| bytes.starts_with(b"{\"")) {
        let header_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let header = read(&bytes[..header_end]);
        for end in (header_end..bytes.len()).step_by(37) {
            let cut = read(&bytes[..end]);
            assert_eq!(cut.bug_type, header.bug_type);
            assert!(header.incident_id.is_none() || cut.incident_id == header.incident_id);
            assert_eq!(cut.os_version, header.os_version);
        }
    }
}

#[test]
fn hostile_files_cost_no_more_than_their_length() {
    let header = "{\"bug_type\":\"309\"}\n";
    let hostile = [
        "[".repeat(2_000_000),
        "{\"a\":".repeat(400_000),
        "\"a\":".repeat(500_000),
        "{\n".repeat(1_000_000),
        format!("{header}{}", "{".repeat(2_000_000)),
        format!("{header}{}", "[[[[\"aaaaaaaa\":".repeat(100_000)),
        format!("{header}{}", "}".repeat(2_000_000)),
        format!("{header}{{\"usedImages\":[{}],\"x\":1}}", "{\"uuid\":\"x\"},".repeat(60_000)),
        format!("Thread 0 Crashed:\n{}", "0  A  0x1 0x0 + 1\n".repeat(100_000)),
        format!("Process: A [1]\nBinary Images:\n{}", "0x1 - ??? A <> /A\n".repeat(60_000)),
        format!(
            "Thread 0:\n{}\nBinary Images:\n{}",
            "0  B  0x1 0x0 + 1\n".repeat(20_000),
            "0x9 - ??? A <> /A\n".repeat(20_000)
        ),
        "Thread 0: ".repeat(200_000),
        "0x 0x".repeat(400_000),
        format!("Thread 0:\n0 {}", " 0xg".repeat(400_000)),
        format!("Thread 0:\n0 A {}", "0x".repeat(800_000)),
        format!("Thread 0 Crashed:\n{}", "0  A  0x1 closure #1 in closure #2 in f + 1\n".repeat(40_000)),
        format!("Thread 0 Crashed:\n0  A  0x1 {} + 1\n", "closure #1 in ".repeat(200_000)),
        format!("Thread 0 Crashed:\n0  A  0x1 {} + 1\n", "<(".repeat(1_000_000)),
    ];
    for file in hostile {
        let started = Instant::now();
        check(file.as_bytes());
        let took = started.elapsed();
        assert!(took < DEADLINE, "{took:?} for {:?}…", &file[..40]);
    }
}
