//! More than a thousand places in C, C++ and Objective-C, without and with the optimiser. `tests/builds/make-sites` writes
//! the sources and, with them, which function and line lies at each place; LLVM's own symbolizer is asked as well.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdfast_symbols::Symbols;
use object::{Object, ObjectSection, ObjectSegment};

use crate::support::{report, told};

/// Of all places, so many must have their line; their function every one must have.
const LINES_MIN_PERCENT: usize = 99;
/// Frames of one report.
const FRAMES_EACH: usize = 60;
/// An instruction is so long.
const INSTRUCTION_BYTES: u64 = 4;

/// What the sources say of a place.
#[derive(Debug, Clone)]
struct Truth {
    function: String,
    file: String,
    line: u32,
    /// Who calls an inlined function, and on which line.
    caller: Option<(String, u32)>,
}

impl Truth {
    /// As `told` says it: functions and lines apart.
    fn frames(&self) -> Vec<(&str, String)> {
        let place = |line| format!("/sites/{}:{line}", self.file);
        let mut frames = vec![(self.function.as_str(), place(self.line))];
        frames.extend(self.caller.iter().map(|(function, line)| (function.as_str(), place(*line))));
        frames
    }
}

struct Build {
    _folder: tempfile::TempDir,
    dsym: PathBuf,
    uuid: String,
    /// Address of the image's beginning.
    base: u64,
    /// Offset in the image and what lies there.
    places: Vec<(u64, Truth)>,
}

fn made(level: &str) -> Build {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/builds/make-sites");
    let ran = Command::new(script).arg(folder.path()).arg(level).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let app = fs::read(folder.path().join("Sites")).unwrap();
    let app = object::File::parse(app.as_slice()).unwrap();
    let base = app.segments().find(|it| it.name() == Ok(Some("__TEXT"))).unwrap().address();
    let sites = app.section_by_name("__sites").unwrap();
    let truths = truths(&fs::read_to_string(folder.path().join("truth.tsv")).unwrap());
    let places: Vec<(u64, Truth)> = sites
        .data()
        .unwrap()
        .chunks_exact(16)
        .map(|site| {
            let address = u64::from_le_bytes(site[..8].try_into().unwrap());
            let number = u32::from_le_bytes(site[8..12].try_into().unwrap());
            (address - base, truths[&number].clone())
        })
        .collect();
    assert!(places.len() > 1_000, "{} places", places.len());
    let uuid: String = app.mach_uuid().unwrap().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]].join("-");
    Build { dsym: folder.path().join("Sites.dSYM"), _folder: folder, uuid, base, places }
}

fn truths(text: &str) -> BTreeMap<u32, Truth> {
    text.lines()
        .map(|line| {
            let [number, function, file, line, caller, call] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let caller = (!caller.is_empty()).then(|| (caller.to_owned(), call.parse().unwrap()));
            let (function, file) = (function.to_owned(), file.to_owned());
            (number.parse().unwrap(), Truth { function, file, line: line.parse().unwrap(), caller })
        })
        .collect()
}

/// Functions and lines that were right.
#[derive(Debug, Default, PartialEq, Eq)]
struct Score {
    frames: usize,
    functions: usize,
    lines: usize,
}

impl Score {
    /// Holds what was told of a place against the truth.
    fn count<'t>(&mut self, truth: &Truth, told: impl Iterator<Item = (&'t str, &'t str)>) {
        let mut told = told;
        for (function, place) in truth.frames() {
            let (said_function, said_place) = told.next().unwrap_or(("no frame", "no frame"));
            self.frames += 1;
            self.functions += usize::from(said_function == function);
            self.lines += usize::from(said_place == place);
            if said_function != function || said_place != place {
                eprintln!("{said_function} {said_place} instead of {function} {place}");
            }
        }
    }
}

fn ours(build: &Build) -> Score {
    let mut symbols = Symbols::search(&build.dsym, None).unwrap();
    let mut score = Score::default();
    for places in build.places.chunks(FRAMES_EACH) {
        // The innermost frame is where the thread was, the others are where their calls return to.
        let offsets: Vec<u64> =
            places.iter().zip(0_u64..).map(|(place, at)| place.0 + at.min(1) * INSTRUCTION_BYTES).collect();
        let mut report = report("Sites", &build.uuid, "arm64", &offsets);
        symbols.symbolicate(&mut report);
        let told = told(&report);
        let mut told = told.iter().map(|frame| {
            let frame = frame.strip_suffix(" inlined").unwrap_or(frame);
            frame.rsplit_once(' ').unwrap_or((frame, "no line"))
        });
        for (_, truth) in places {
            score.count(truth, told.by_ref().take(truth.frames().len()));
        }
        assert_eq!(told.next(), None, "no frame is told that is not there");
    }
    assert_eq!(symbols.take_troubles(), []);
    score
}

fn judges(build: &Build) -> Score {
    let llvm = std::env::var("HOLDFAST_LLVM").unwrap_or_else(|_| "/usr/lib/llvm-14/bin".to_owned());
    let object = build.dsym.join("Contents/Resources/DWARF/Sites");
    let mut judge = Command::new(Path::new(&llvm).join("llvm-symbolizer"))
        .args(["--inlines", "--demangle", "--obj"])
        .arg(object)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("llvm-symbolizer starts; scripts/install-clients installs it");
    let asked: String =
        build.places.iter().map(|(offset, _)| format!("0x{:x}\n", build.base + offset)).collect();
    let mut stdin = judge.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let output = judge.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut score = Score::default();
    for ((_, truth), answer) in build.places.iter().zip(output.split("\n\n")) {
        let lines: Vec<&str> = answer.lines().collect();
        let told = lines.chunks(2).filter_map(|pair| {
            let [function, place] = pair else { return None };
            Some((*function, place.rsplit_once(':')?.0))
        });
        score.count(truth, told);
    }
    score
}

#[test]
fn places_of_three_languages_have_their_functions_and_lines() {
    for level in ["0", "2"] {
        let build = made(level);
        let all: usize = build.places.iter().map(|(_, truth)| truth.frames().len()).sum();
        let score = ours(&build);
        assert_eq!((score.frames, score.functions), (all, all), "-O{level}");
        assert!(score.lines * 100 >= all * LINES_MIN_PERCENT, "-O{level}: {score:?}");
        // The judge reads the same truth off the same dSYM, so the truth is not ours alone.
        let judged = judges(&build);
        assert_eq!((judged.frames, judged.functions), (all, all), "-O{level}: LLVM's own symbolizer");
        assert!(score.lines >= judged.lines, "-O{level}: {score:?}, and LLVM's own symbolizer {judged:?}");
        eprintln!("-O{level}: {score:?}, LLVM's own symbolizer {judged:?}");
    }
}
