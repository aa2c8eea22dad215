//! `holdfastd.yaml`: where to listen, where to keep things, and how much is too much. Pools and cases have their
//! own files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_bisect::Demands;
use holdfast_crash::Rules;
use holdfast_wire::id::BundleId;
use schemars::JsonSchema;
use serde::Deserialize;

use super::yaml::{Mistake, Source};
use crate::commits::{Mirror, looks_like_repository};
use crate::groups::Hunt;
use crate::symbols::{Address, Layout, ServerConfig, SourceLinks, SourceRoots};

/// The daemon's own settings, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct DaemonConfig {
    /// The file itself.
    pub file: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of store and blobs.
    pub data: PathBuf,
    /// The pools file.
    pub pools: PathBuf,
    /// The folder of the cases.
    pub cases: PathBuf,
    /// The schedules file; without one, the calendar submits nothing.
    pub schedules: Option<PathBuf>,
    /// The file of who is told what; without one, nobody is.
    pub notify: Option<PathBuf>,
    /// How much is too much.
    pub limits: Limits,
    /// How long is too long.
    pub timeouts: Timeouts,
    /// How long things are kept.
    pub retention: Retention,
    /// How crashes are signed, and so put into groups.
    pub signatures: Rules,
    /// Where symbols are looked for besides uploads, and how source lines are turned into links.
    pub symbols: SymbolsConfig,
    /// For which crash groups the first bad build is looked for.
    pub first_bad: Hunt,
    /// Where the order of the apps' commits comes from.
    pub mirrors: Vec<Mirror>,
    /// What an operator should know although nothing is wrong.
    pub warnings: Vec<String>,
}

/// Where symbols are looked for besides uploads, and how source lines are turned into links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SymbolsConfig {
    /// Searched for dSYMs, and the zips in it too.
    pub folder: Option<PathBuf>,
    /// Where source lines can be looked at.
    pub links: Option<SourceLinks>,
    /// A server that is asked for what nobody uploaded.
    pub server: Option<ServerConfig>,
    /// Where sources lie on the build machines.
    pub roots: SourceRoots,
}

/// How much is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest build archive.
    pub build_bytes_max: u64,
    /// Largest symbols archive.
    pub symbols_bytes_max: u64,
    /// Largest file that an agent may put.
    pub blob_bytes_max: u64,
    /// Most jobs that may wait.
    pub jobs_waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The largest application that the App Store takes.
            build_bytes_max: 4 << 30,
            // Symbols of large applications are about twice the size of their program.
            symbols_bytes_max: 8 << 30,
            // A memory report with all processes is under 10 MiB; spindumps are larger.
            blob_bytes_max: 256 << 20,
            // Several days of work for the largest farm.
            jobs_waiting_max: 100_000,
        }
    }
}

/// How long is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// One request, uploads and waiting requests excepted.
    pub request: Duration,
    /// The longest that an agent's request is held back.
    pub long_poll: Duration,
    /// An upload that brings no byte for so long is given up.
    pub upload_idle: Duration,
    /// How long open requests have at the end.
    pub shutdown: Duration,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Jobs that are over, with their reports.
    pub ended_jobs: Duration,
    /// Idempotency keys: so long may a client try again.
    pub idempotency_keys: Duration,
}

/// The daemon's settings: where to listen, where to keep things, and how much is too much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "holdfastd.yaml of Holdfast")]
pub(super) struct Raw {
    /// Where to listen, like `127.0.0.1:7433`; port 0 takes a free one.
    #[schemars(with = "String")]
    listen: SocketAddr,
    /// Whether another address than this machine's own may be listened on, although there is no login.
    #[serde(default)]
    expose: bool,
    /// The folder of store and blobs.
    data: PathBuf,
    /// The pools file.
    pools: PathBuf,
    /// The folder of the cases.
    cases: PathBuf,
    /// The schedules file.
    schedules: Option<PathBuf>,
    /// The file of who is told what about crashes.
    notify: Option<PathBuf>,
    /// How much is too much.
    #[serde(default)]
    limits: Limits,
    /// How long is too long.
    #[serde(default)]
    timeouts: RawTimeouts,
    /// How long things are kept.
    #[serde(default)]
    retention: RawRetention,
    /// How crashes are signed, and so put into groups.
    #[serde(default)]
    signatures: RawSignatures,
    /// Where symbols are looked for besides uploads, and how source lines are turned into links.
    #[serde(default)]
    symbols: RawSymbols,
    /// Looking for the build that brought a crash group, in idle time.
    #[serde(default)]
    first_bad: RawFirstBad,
    /// What is known of apps beyond their builds.
    #[serde(default)]
    apps: Vec<RawApp>,
}

/// How long is too long, seconds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawTimeouts {
    /// One request; uploads and waiting requests have their own.
    request_s: u64,
    /// How long an agent's request is held back when there is no news.
    long_poll_s: u64,
    /// An upload that brings no byte for so long is given up.
    upload_idle_s: u64,
    /// What open requests get when the daemon is told to stop.
    shutdown_s: u64,
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self { request_s: 30, long_poll_s: 25, upload_idle_s: 60, shutdown_s: 10 }
    }
}

/// Where symbols are looked for besides uploads, and how source lines are turned into links.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawSymbols {
    /// A folder that is searched for dSYMs every minute, and the zips in it too.
    folder: Option<PathBuf>,
    /// Where a source line can be looked at, like `https://git.example/chat/blob/{commit}/{file}#L{line}`.
    source_url: Option<String>,
    /// Folders on the build machines that stand before `{file}`, and before the paths of owner rules; files elsewhere get no
    /// link. Without one, every file's path is taken as it is in the debug information.
    source_roots: Vec<String>,
    /// A symbol server, which is asked over HTTP for the dSYMs that nobody uploaded.
    server: Option<RawServer>,
}

/// A symbol server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawServer {
    /// Its address, like `https://symbols.example/apps`; or where a dSYM is, with `{uuid}`, `{UUID}`, `{id}` or `{ID}` in it:
    /// with dashes or without, in small letters or in capitals.
    url: String,
    /// How it files dSYMs below that; `unified` when left out.
    layout: Option<Layout>,
    /// After so many minutes it is asked again for a dSYM that it did not have.
    #[serde(default = "an_hour")]
    missing_for_min: u64,
}

fn an_hour() -> u64 {
    60
}

impl RawSymbols {
    fn server(&self) -> Result<Option<ServerConfig>, String> {
        let Some(server) = &self.server else { return Ok(None) };
        let missing_for = Duration::from_secs(server.missing_for_min * 60);
        Ok(Some(ServerConfig { address: Address::new(&server.url, server.layout)?, missing_for }))
    }

    fn links(&self) -> Result<Option<SourceLinks>, String> {
        self.source_url.as_deref().map(|template| SourceLinks::new(template, &self.source_roots)).transpose()
    }
}

/// How long things are kept, days.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawRetention {
    /// Jobs that are over, with their reports.
    ended_jobs_days: u64,
    /// So long a client may send a submission again.
    idempotency_keys_days: u64,
}

impl Default for RawRetention {
    fn default() -> Self {
        Self { ended_jobs_days: 90, idempotency_keys_days: 7 }
    }
}

/// How crashes are signed: which reports are told as one defect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawSignatures {
    /// Functions of the app in a signature, from the top.
    frames: u64,
    /// Functions that say nothing about a defect, such as an app's own assertions (`Chat.fail`, `-[Log fatal:]`); a star
    /// stands for any letters.
    skip: Vec<String>,
}

/// Looking for the build that brought a crash group, in idle time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawFirstBad {
    /// The branch whose groups are looked after; null tests nothing.
    branch: Option<String>,
    /// The chance at which a build is named, of a hundred.
    confidence_percent: u64,
    /// Attempts for one group at most.
    attempts_max: u64,
}

/// What is known of an app beyond its builds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawApp {
    /// Which.
    bundle_id: BundleId,
    /// A mirror of its repository on this machine, read with the `git` program: from it come the order of builds, the
    /// authors of commits, and what lies between a good build and a bad one.
    mirror: PathBuf,
}

impl Default for RawFirstBad {
    fn default() -> Self {
        Self { branch: Some("trunk".to_owned()), confidence_percent: 95, attempts_max: 400 }
    }
}

impl Default for RawSignatures {
    fn default() -> Self {
        let Rules { frames, skip } = Rules::default();
        Self { frames: frames as u64, skip }
    }
}

/// A day has so many seconds here; leap seconds do not matter to retention.
const DAY_S: u64 = 86_400;

impl DaemonConfig {
    /// Reads and checks the file. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// Every mistake that can be told at once.
    pub fn read(file: &Path) -> Result<Self, Vec<Mistake>> {
        let source = Source::read(file).map_err(|mistake| vec![mistake])?;
        let folder = file.parent().unwrap_or(Path::new("."));
        Self::parse(&source, folder)
    }

    fn parse(source: &Source, folder: &Path) -> Result<Self, Vec<Mistake>> {
        let raw: Raw = source.parse()?;
        let mistakes = mistakes(source, &raw);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut warnings = Vec::new();
        if !raw.listen.ip().is_loopback() {
            warnings.push(format!(
                "{} can be reached from other machines, and there is no login yet: whoever reaches it can do \
                 everything; keep it inside a network that you trust",
                raw.listen
            ));
        }
        Ok(Self {
            file: source.file().to_owned(),
            listen: raw.listen,
            data: folder.join(raw.data),
            pools: folder.join(raw.pools),
            cases: folder.join(raw.cases),
            schedules: raw.schedules.map(|schedules| folder.join(schedules)),
            notify: raw.notify.map(|notify| folder.join(notify)),
            limits: raw.limits,
            timeouts: Timeouts {
                request: Duration::from_secs(raw.timeouts.request_s),
                long_poll: Duration::from_secs(raw.timeouts.long_poll_s),
                upload_idle: Duration::from_secs(raw.timeouts.upload_idle_s),
                shutdown: Duration::from_secs(raw.timeouts.shutdown_s),
            },
            retention: Retention {
                ended_jobs: Duration::from_secs(raw.retention.ended_jobs_days * DAY_S),
                idempotency_keys: Duration::from_secs(raw.retention.idempotency_keys_days * DAY_S),
            },
            signatures: Rules {
                frames: usize::try_from(raw.signatures.frames).unwrap_or(usize::MAX),
                skip: raw.signatures.skip,
            },
            symbols: SymbolsConfig {
                links: raw.symbols.links().ok().flatten(),
                server: raw.symbols.server().ok().flatten(),
                roots: SourceRoots::new(&raw.symbols.source_roots),
                folder: raw.symbols.folder.map(|path| folder.join(path)),
            },
            first_bad: Hunt {
                branch: raw.first_bad.branch,
                demands: Demands {
                    confidence: raw.first_bad.confidence_percent as f64 / 100.0,
                    attempts_max: u32::try_from(raw.first_bad.attempts_max).unwrap_or(u32::MAX),
                },
            },
            mirrors: raw
                .apps
                .into_iter()
                .map(|app| Mirror { bundle_id: app.bundle_id, folder: folder.join(app.mirror) })
                .collect(),
            warnings,
        })
    }
}

impl DaemonConfig {
    /// What is wrong with the apps' mirrors at this moment. None of it keeps the farm from working, so it is no mistake.
    pub fn mirror_warnings(&self) -> Vec<String> {
        let wrong = self.mirrors.iter().filter_map(|mirror| {
            let what = looks_like_repository(&mirror.folder).err()?;
            Some(format!("{}: apps: the mirror of {}: {what}", self.file.display(), mirror.bundle_id))
        });
        wrong.collect()
    }
}

fn mistakes(source: &Source, raw: &Raw) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if !raw.listen.ip().is_loopback() && !raw.expose {
        mistakes.push(source.mistake(
            "listen",
            format!(
                "{} is not a loopback address, and there is no login yet; listen on 127.0.0.1, or say `expose: true` \
                 when everyone who can reach it may do everything",
                raw.listen
            ),
        ));
    }
    let (limits, timeouts, retention) = (&raw.limits, &raw.timeouts, &raw.retention);
    let ranges = [
        ("limits.build_bytes_max", limits.build_bytes_max, 1 << 20, 1 << 40),
        ("limits.symbols_bytes_max", limits.symbols_bytes_max, 1 << 20, 1 << 40),
        ("limits.blob_bytes_max", limits.blob_bytes_max, 1 << 20, 1 << 40),
        ("limits.jobs_waiting_max", limits.jobs_waiting_max as u64, 1, 1_000_000),
        ("timeouts.request_s", timeouts.request_s, 1, 600),
        ("timeouts.long_poll_s", timeouts.long_poll_s, 1, 300),
        ("timeouts.upload_idle_s", timeouts.upload_idle_s, 1, 3_600),
        ("timeouts.shutdown_s", timeouts.shutdown_s, 1, 300),
        ("retention.ended_jobs_days", retention.ended_jobs_days, 1, 36_500),
        ("first_bad.confidence_percent", raw.first_bad.confidence_percent, 51, 99),
        ("first_bad.attempts_max", raw.first_bad.attempts_max, 1, 100_000),
        ("signatures.frames", raw.signatures.frames, 1, 10),
        (
            "symbols.server.missing_for_min",
            raw.symbols.server.as_ref().map_or(1, |server| server.missing_for_min),
            1,
            43_200,
        ),
        ("retention.idempotency_keys_days", retention.idempotency_keys_days, 1, 365),
    ];
    for (path, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            mistakes.push(source.mistake(path, format!("{value} is not in {least}..={most}")));
        }
    }
    if raw.signatures.skip.iter().any(|name| name.trim_matches('*').trim().is_empty()) {
        let what =
            "a name without letters would leave out every function; write it like `Chat.fail` or `-[Log *]`";
        mistakes.push(source.mistake("signatures.skip", what));
    }
    for (place, app) in raw.apps.iter().enumerate() {
        if raw.apps[..place].iter().any(|before| before.bundle_id == app.bundle_id) {
            let what = format!("{} has an entry above; keep one of them", app.bundle_id);
            mistakes.push(source.mistake(&format!("apps[{place}].bundle_id"), what));
        }
    }
    if let Err(what) = raw.symbols.server() {
        mistakes.push(source.mistake("symbols.server.url", what));
    }
    if let Err(what) = raw.symbols.links() {
        mistakes.push(source.mistake("symbols.source_url", what));
    }
    mistakes
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn parse(text: &str) -> Result<DaemonConfig, Vec<String>> {
        let source = Source::of("holdfastd.yaml", text);
        DaemonConfig::parse(&source, Path::new("/etc/holdfast"))
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    const REST: &str = "data: data\npools: pools.yaml\ncases: /srv/cases\n";

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(&format!("listen: 127.0.0.1:0\n{REST}")).unwrap();
        assert_eq!(config.data, Path::new("/etc/holdfast/data"));
        assert_eq!(config.cases, Path::new("/srv/cases"));
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn an_open_address_must_be_said_twice_and_is_warned_of() {
        let refused = parse(&format!("listen: 0.0.0.0:7433\n{REST}")).unwrap_err();
        assert!(
            refused[0].starts_with("holdfastd.yaml:1:9: listen: 0.0.0.0:7433 is not a loopback"),
            "{refused:?}"
        );
        let taken = parse(&format!("listen: 0.0.0.0:7433\nexpose: true\n{REST}")).unwrap();
        assert!(taken.warnings[0].contains("no login yet"));
    }

    #[test]
    fn every_number_out_of_range_is_told_at_once() {
        let text =
            format!("listen: 127.0.0.1:0\n{REST}timeouts:\n  request_s: 0\nlimits:\n  jobs_waiting_max: 0\n");
        let told = parse(&text).unwrap_err();
        let expected = [
            "holdfastd.yaml:8:21: limits.jobs_waiting_max: 0 is not in 1..=1000000",
            "holdfastd.yaml:6:14: timeouts.request_s: 0 is not in 1..=600",
        ];
        assert_eq!(told, expected);
    }
}
