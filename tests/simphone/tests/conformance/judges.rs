//! What every conformance test needs: a pretend rack as a process of its own, and third-party clients that are run
//! against it with a deadline. What a client must print is said in the files beside this one.
//!
//! The clients run unmodified. One that is not installed fails the test: the rack has no other judge.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use holdfast_simphone::identity::{Identity, IosVersion, MODELS};

/// The longest that one client may take: Python's start and RSA on a loaded machine of two cores fit well.
const CLIENT_DEADLINE: Duration = Duration::from_secs(60);
/// The longest that a rack may take until it is ready.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// The demo app of `tests/builds`.
pub(crate) const MOORING: &str = "dev.holdfast.demo.mooring";

/// A pretend rack; it ends with this value.
pub(crate) struct Rack {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
    _out: BufReader<ChildStdout>,
}

/// What a client printed and how it ended.
pub(crate) struct Told {
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    /// The exit status.
    pub(crate) status: ExitStatus,
    called: String,
}

impl Rack {
    /// Two phones with iOS 16.7.2 on a free port.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--phones", "2"])
    }

    /// A rack with these arguments, and a listener on a free port.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_holdfast-simphone"))
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .arg("--control")
            .arg(folder.path().join("control"))
            .args(arguments)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut out = out;
            let mut line = String::new();
            let read = out.read_line(&mut line);
            tell.send((read.map(|_| line), out))
        });
        let Ok((line, out)) = told.recv_timeout(READY_DEADLINE) else {
            child.kill().unwrap();
            panic!("holdfast-simphone was not ready within {READY_DEADLINE:?}");
        };
        let line = line.unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
        let address = address.unwrap_or_else(|| panic!("no address in the ready line `{line}`")).to_owned();
        Self { child, address, folder, _out: out }
    }

    /// A place for the files of a test; clients run in it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The crash folder of the phone at this position.
    pub(crate) fn crashes(&self, position: u32) -> PathBuf {
        self.folder.path().join("data/phones").join(udid(position)).join("crashes")
    }

    /// Runs a client to its end.
    pub(crate) fn run(&self, program: &Program, arguments: &[&str]) -> Told {
        let mut child = self.spawn(program, arguments);
        let called = format!("{} {}", program.name, arguments.join(" "));
        let (tell, told) = mpsc::channel();
        let mut out = child.stdout.take().unwrap();
        let mut err = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let errors = std::thread::spawn(move || read_all(&mut err));
            tell.send((read_all(&mut out), errors.join().unwrap_or_default()))
        });
        match told.recv_timeout(CLIENT_DEADLINE) {
            Ok((out, err)) => Told { out, err, status: child.wait().unwrap(), called },
            Err(_) => {
                child.kill().unwrap();
                child.wait().unwrap();
                let (out, err) = told.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
                panic!("`{called}` did not end within {CLIENT_DEADLINE:?}\n{out}\n{err}");
            }
        }
    }

    /// Runs a client that never ends by itself until it prints a line with `part`, doing `meanwhile` as soon as it
    /// has printed its first line (at once, when `meanwhile` is all that could make it print). Gives back that line.
    pub(crate) fn run_until(
        &self,
        program: &Program,
        arguments: &[&str],
        part: &str,
        mut meanwhile: impl FnMut(),
    ) -> String {
        let mut child = self.spawn(program, arguments);
        let called = format!("{} {}", program.name, arguments.join(" "));
        let (tell, told) = mpsc::channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
        drop(tell);
        // A client tells nobody when it has begun to listen, so the cause is repeated until its effect shows.
        let began = std::time::Instant::now();
        let mut seen = String::new();
        let found = loop {
            match told.recv_timeout(Duration::from_millis(500)) {
                Ok(line) if line.contains(part) => break Some(line),
                Ok(line) => seen.push_str(&line),
                Err(mpsc::RecvTimeoutError::Timeout) if began.elapsed() < CLIENT_DEADLINE => meanwhile(),
                Err(_) => break None,
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        found.unwrap_or_else(|| panic!("`{called}` never printed `{part}` but\n{seen}"))
    }

    fn spawn(&self, program: &Program, arguments: &[&str]) -> Child {
        Command::new(&program.path)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("USBMUXD_SOCKET_ADDRESS", &self.address)
            .env("HOME", self.folder.path().join("home"))
            // Wide and plain, so that what is printed can be compared.
            .envs([("COLUMNS", "200"), ("NO_COLOR", "1"), ("TERM", "dumb"), ("PYTHONUNBUFFERED", "1")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.name))
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Told {
    /// The client succeeded; gives back what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.status.success(), "`{}` failed\n{}\n{}", self.called, self.out, self.err);
        self.out
    }

    /// Everything printed on both streams.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

/// A third-party client.
pub(crate) struct Program {
    name: String,
    path: PathBuf,
}

impl Program {
    /// A program of the search path.
    #[track_caller]
    pub(crate) fn named(name: &str) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|place| place.is_file());
        match found {
            Some(path) => Self { name: name.to_owned(), path },
            None => panic!("{name} is not installed; scripts/check (or scripts/install-clients) installs it"),
        }
    }

    /// A program whose place is told by a variable of the environment, or is where `scripts/install-clients` puts it.
    #[track_caller]
    fn told_by(variable: &str, name: &str, usual: &[&str]) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let tools = std::env::var_os("HOLDFAST_TOOLS")
            .map_or_else(|| home.join(".cache/holdfast-tools"), PathBuf::from);
        let told = std::env::var_os(variable).map(PathBuf::from);
        let usual = usual.iter().map(|place| tools.join(place));
        match told.into_iter().chain(usual).find(|place| place.is_file()) {
            Some(path) => Self { name: name.to_owned(), path },
            None => panic!(
                "{name} is not installed or {variable} does not name it; scripts/check installs it, and \
                 `eval \"$(scripts/install-clients)\"` does so for one shell"
            ),
        }
    }

    /// pymobiledevice3.
    pub(crate) fn pymobiledevice3() -> Self {
        Self::told_by("HOLDFAST_PYMOBILEDEVICE3", "pymobiledevice3", &["venv/bin/pymobiledevice3"])
    }

    /// go-ios.
    pub(crate) fn go_ios() -> Self {
        let places = ["amd64", "arm64"].map(|machine| {
            format!("npm/node_modules/go-ios/dist/go-ios-linux-{machine}_linux_{machine}/ios")
        });
        Self::told_by("HOLDFAST_GO_IOS", "go-ios", &places.each_ref().map(String::as_str))
    }
}

/// The UDID of the phone at this position of every rack.
pub(crate) fn udid(position: u32) -> String {
    let model = &MODELS[position as usize % MODELS.len()];
    Identity::at_position(position, model, IosVersion { major: 16, minor: 7, patch: 2 }).udid
}

/// One of the sample builds.
pub(crate) fn build(number: u32) -> String {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../builds/mooring-{number}.ipa"));
    place.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// Build 140 without the file whose name ends so, in `folder`.
pub(crate) fn build_without(folder: &Path, part: &str) -> String {
    let place = folder.join("incomplete.ipa");
    let mut from = zip::ZipArchive::new(std::fs::File::open(build(140)).unwrap()).unwrap();
    let mut to = zip::ZipWriter::new(std::fs::File::create(&place).unwrap());
    for index in 0..from.len() {
        let mut entry = from.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        if entry.is_file() && !name.ends_with(part) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            to.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            to.write_all(&bytes).unwrap();
        }
    }
    to.finish().unwrap();
    place.to_str().unwrap().to_owned()
}

/// A small crash report as it waits on a phone.
pub(crate) const REPORT: &str = concat!(
    r#"{"app_name":"Mooring","timestamp":"2026-01-02 03:04:05.00 +0000","app_version":"1.4.0","#,
    r#""slice_uuid":"4c4c4408-5555-3144-a1ff-140fc6c6ab6f","build_version":"141","platform":2,"#,
    r#""bundleID":"dev.holdfast.demo.mooring","bug_type":"309","os_version":"iPhone OS 16.7.2 (20H115)","#,
    r#""incident_id":"5D8E2D1C-0000-4000-8000-000000000001","name":"Mooring"}"#,
    "\n{\"procName\":\"Mooring\"}\n"
);

/// Checks that the bytes are a PNG that says its own size, and gives back that size.
pub(crate) fn png_size(place: &Path) -> (u32, u32) {
    let bytes = std::fs::read(place).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{} is no PNG", place.display());
    assert!(bytes.ends_with(b"IEND\xae\x42\x60\x82"), "{} is not complete", place.display());
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

fn read_all(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // What arrived before an error is worth showing.
    let _end = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
