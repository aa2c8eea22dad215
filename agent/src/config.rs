//! The typed configuration, read once at the start. Unknown keys are refused; every mistake names its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_attempt::{CrashLimits, Settings, Thresholds};
use holdfast_usb::{MuxerAddress, UsbSettings};
use holdfast_wire::id::{Label, RackId, Udid};
use serde::Deserialize;

use crate::error::AgentError;

/// Everything that an agent is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The rack's name.
    pub rack: RackId,
    /// Addresses of the daemon, without a slash at the end.
    pub daemons: Vec<String>,
    /// Where usbmuxd serves.
    pub usbmuxd: MuxerAddress,
    /// The folder for everything that must outlive the agent.
    pub data: PathBuf,
    /// Whether phones are asked for trust.
    pub pair: Pair,
    /// Words for phones.
    pub labels: BTreeMap<Udid, Vec<Label>>,
    /// Builds kept on the rack at most, bytes.
    pub cache_bytes_max: u64,
    /// Crash files of one phone kept on the rack at most, bytes.
    pub spool_bytes_max: u64,
    /// How many crash files phones keep, and when people hear of it.
    pub crash_limits: CrashLimits,
    /// How archives go over the cable.
    pub upload: Upload,
    /// When a phone is unfit.
    pub thresholds: Thresholds,
    /// Deadlines of an attempt.
    pub attempt: Settings,
    /// How often an idle phone is asked for its facts.
    pub facts_every: Duration,
    /// How often a phone that could not be read is tried again.
    pub retry_every: Duration,
    /// How long the daemon may hold an answer back.
    pub poll: Duration,
}

/// Whether phones that do not trust the rack are asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Pair {
    /// Put the trust dialog on the screen; a person taps.
    Ask,
    /// Only report them.
    Never,
}

/// How archives go over the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub struct Upload {
    /// Writes on the way at once.
    pub window: usize,
    /// Bytes of one write.
    pub chunk_bytes: usize,
}

impl Default for Upload {
    fn default() -> Self {
        let usb = UsbSettings::default();
        Self { window: usb.window, chunk_bytes: usb.chunk_bytes }
    }
}

impl Config {
    /// Reads a file. Paths inside are relative to its folder.
    ///
    /// # Errors
    /// [`AgentError::Disk`], [`AgentError::Config`] with line, column and path.
    pub fn load(path: &Path) -> Result<Self, AgentError> {
        let text = std::fs::read_to_string(path).map_err(AgentError::disk("read", path))?;
        Self::parse(&text, path)
    }

    /// Parses the text of the file at `path`.
    ///
    /// # Errors
    /// [`AgentError::Config`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, AgentError> {
        let deserializer = serde_yaml::Deserializer::from_str(text);
        let file: ConfigFile = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let place = error.path().to_string();
            let inner = error.into_inner();
            let (line, column) = inner.location().map_or((1, 1), |at| (at.line(), at.column()));
            let what = inner.to_string();
            // The place is said in front.
            let what = what.rfind(" at line ").map_or(what.as_str(), |end| &what[..end]).to_owned();
            AgentError::Config { path: path.to_owned(), line, column, place, what }
        })?;
        let mistake = |(place, what): (&str, String)| AgentError::Config {
            path: path.to_owned(),
            line: line_of(text, place),
            column: 1,
            place: place.to_owned(),
            what,
        };
        file.check(path.parent().unwrap_or(Path::new("."))).map_err(mistake)
    }

    /// The part that the real phones are told.
    pub fn usb(&self) -> UsbSettings {
        UsbSettings {
            usbmuxd: self.usbmuxd.clone(),
            window: self.upload.window,
            chunk_bytes: self.upload.chunk_bytes,
            label: format!("holdfast {}", self.rack),
            ..UsbSettings::default()
        }
    }
}

/// Line of a key, for mistakes that are found after parsing; 1 when it is not written.
fn line_of(text: &str, place: &str) -> usize {
    let key = place.rsplit('.').next().unwrap_or(place);
    let found = text.lines().position(|line| line.trim_start().starts_with(&format!("{key}:")));
    found.map_or(1, |index| index + 1)
}

/// What an agent is told. Its JSON Schema for editors is made from here: `config/schemas/agent.json`.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(title = "agent.yaml of Holdfast"))]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    /// The rack's name; it never changes.
    rack: RackId,
    /// Addresses of one and the same daemon, like `http://127.0.0.1:7433`.
    daemons: Vec<String>,
    /// Where usbmuxd serves: a path, or host:port.
    #[serde(default)]
    usbmuxd: Option<String>,
    /// The folder for everything that must outlive the agent.
    data: PathBuf,
    /// What to do with a phone that does not trust this rack.
    #[serde(default = "never")]
    pair: Pair,
    /// Words that jobs may require, by the phone's UDID.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Vec<Label>>"))]
    labels: BTreeMap<Udid, Vec<Label>>,
    /// Builds kept here at most, bytes.
    #[serde(default = "cache_bytes_max")]
    cache_bytes_max: u64,
    /// Crash files of one phone that wait here for the daemon at most, bytes; the others wait on the phone.
    #[serde(default = "spool_bytes_max")]
    spool_bytes_max: u64,
    /// How many crash files of a kind and process a phone keeps, and when that becomes tight.
    #[serde(default)]
    crash_limits: CrashLimitsFile,
    /// How archives go over the cable.
    #[serde(default)]
    upload: Upload,
    /// When a phone is unfit for work.
    #[serde(default)]
    thresholds: ThresholdsFile,
    /// Deadlines, milliseconds.
    #[serde(default)]
    timeouts: TimeoutsFile,
}

fn never() -> Pair {
    Pair::Never
}

fn cache_bytes_max() -> u64 {
    20_000_000_000
}

fn spool_bytes_max() -> u64 {
    1_000_000_000
}

/// How many crash files of a kind and process a phone keeps, and when that becomes tight. What a phone's own log says of
/// it counts more.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
struct CrashLimitsFile {
    /// Files of a kind that is not named below.
    files: u32,
    /// Files by kind, as phones number them; 0 is no limit.
    files_by_type: BTreeMap<String, u32>,
    /// Per cent of the limit at which people are warned.
    warn_percent: u8,
    /// Per cent of the limit at which files are collected at once, also in the middle of an attempt.
    collect_percent: u8,
}

impl Default for CrashLimitsFile {
    fn default() -> Self {
        let CrashLimits { files, files_by_type, warn_percent, collect_percent } = CrashLimits::default();
        let files_by_type =
            files_by_type.into_iter().map(|(kind, files)| (kind, files.unwrap_or(0))).collect();
        Self { files, files_by_type, warn_percent, collect_percent }
    }
}

impl CrashLimitsFile {
    fn check(self) -> Result<CrashLimits, (&'static str, String)> {
        if self.files == 0 {
            return Err(("crash_limits.files", "0 files are too few; write what phones keep, 25".to_owned()));
        }
        if !(1..=100).contains(&self.collect_percent) {
            let what = format!("{} is not in 1..=100", self.collect_percent);
            return Err(("crash_limits.collect_percent", what));
        }
        if !(1..=self.collect_percent).contains(&self.warn_percent) {
            let what = format!("{} is not in 1..=collect_percent", self.warn_percent);
            return Err(("crash_limits.warn_percent", what));
        }
        let limit = |files: u32| (files > 0).then_some(files);
        Ok(CrashLimits {
            files: self.files,
            files_by_type: self.files_by_type.into_iter().map(|(kind, files)| (kind, limit(files))).collect(),
            warn_percent: self.warn_percent,
            collect_percent: self.collect_percent,
        })
    }
}

/// When a phone is unfit for work; it works again at the second number of each pair.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
struct ThresholdsFile {
    hot_celsius: f64,
    cooled_celsius: f64,
    low_percent: u8,
    charged_percent: u8,
    free_bytes_min: u64,
}

impl Default for ThresholdsFile {
    fn default() -> Self {
        let Thresholds { hot_celsius, cooled_celsius, low_percent, charged_percent, free_bytes_min } =
            Thresholds::default();
        Self { hot_celsius, cooled_celsius, low_percent, charged_percent, free_bytes_min }
    }
}

macro_rules! timeouts {
    ($($key:ident => $field:ident),+ $(,)?) => {
        /// Deadlines, milliseconds.
        #[derive(Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
        #[serde(deny_unknown_fields, default)]
        struct TimeoutsFile {
            $($key: u64,)+
            facts_every_ms: u64,
            retry_every_ms: u64,
            poll_ms: u64,
        }

        impl Default for TimeoutsFile {
            fn default() -> Self {
                let settings = Settings::default();
                Self {
                    $($key: u64::try_from(settings.$field.as_millis()).unwrap_or(u64::MAX),)+
                    facts_every_ms: 30_000,
                    retry_every_ms: 5_000,
                    poll_ms: 20_000,
                }
            }
        }

        impl TimeoutsFile {
            fn attempt(&self) -> Settings {
                Settings { $($field: Duration::from_millis(self.$key),)+ }
            }

            fn mistake(&self) -> Option<(&'static str, String)> {
                let all = [
                    $((concat!("timeouts.", stringify!($key)), self.$key),)+
                    ("timeouts.facts_every_ms", self.facts_every_ms),
                    ("timeouts.retry_every_ms", self.retry_every_ms),
                    ("timeouts.poll_ms", self.poll_ms),
                ];
                let wrong = all.into_iter().find(|(_, ms)| !(1..=TIMEOUT_MS_MAX).contains(ms));
                wrong.map(|(place, ms)| (place, format!("{ms} is not in 1..={TIMEOUT_MS_MAX} (a day)")))
            }
        }
    };
}

/// Longest of all deadlines, milliseconds: a day; more is a slip of the pen.
const TIMEOUT_MS_MAX: u64 = 24 * 3600 * 1000;

timeouts! {
    check_ms => check,
    fetch_ms => fetch,
    install_ms => install,
    margin_ms => margin,
    kill_ms => kill,
    list_ms => list,
    pull_ms => pull,
    store_ms => store,
    delete_ms => delete,
    crash_grace_ms => crash_grace,
    relist_ms => relist,
    collect_ms => collect,
    quick_collect_ms => quick_collect,
    confirm_ms => confirm,
    return_grace_ms => return_grace,
}

impl ConfigFile {
    fn check(self, folder: &Path) -> Result<Config, (&'static str, String)> {
        if self.daemons.is_empty() {
            return Err(("daemons", "name at least one address of the daemon".to_owned()));
        }
        let wrong = self.daemons.iter().find(|url| {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if let Some(url) = wrong {
            return Err(("daemons", format!("{url:?} is no address; write http://host:port")));
        }
        let usbmuxd = match &self.usbmuxd {
            Some(text) => text.parse().map_err(|error| ("usbmuxd", format!("{error}")))?,
            None => MuxerAddress::default(),
        };
        if !(1..=holdfast_usb::settings::WINDOW_MAX).contains(&self.upload.window) {
            let most = holdfast_usb::settings::WINDOW_MAX;
            return Err(("upload.window", format!("{} is not in 1..={most}", self.upload.window)));
        }
        if !(1..=holdfast_usb::settings::CHUNK_BYTES_MAX).contains(&self.upload.chunk_bytes) {
            let most = holdfast_usb::settings::CHUNK_BYTES_MAX;
            return Err(("upload.chunk_bytes", format!("{} is not in 1..={most}", self.upload.chunk_bytes)));
        }
        let thresholds = self.thresholds;
        if thresholds.cooled_celsius > thresholds.hot_celsius {
            return Err(("thresholds.cooled_celsius", "it is above hot_celsius; lower it".to_owned()));
        }
        if thresholds.charged_percent < thresholds.low_percent || thresholds.charged_percent > 100 {
            return Err(("thresholds.charged_percent", "it is not in low_percent..=100".to_owned()));
        }
        if let Some(mistake) = self.timeouts.mistake() {
            return Err(mistake);
        }
        if self.spool_bytes_max == 0 {
            return Err(("spool_bytes_max", "with 0 bytes no crash file could be taken".to_owned()));
        }
        Ok(Config {
            rack: self.rack,
            daemons: self.daemons.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            usbmuxd,
            data: folder.join(self.data),
            pair: self.pair,
            labels: self.labels,
            cache_bytes_max: self.cache_bytes_max,
            spool_bytes_max: self.spool_bytes_max,
            crash_limits: self.crash_limits.check()?,
            upload: self.upload,
            thresholds: Thresholds {
                hot_celsius: thresholds.hot_celsius,
                cooled_celsius: thresholds.cooled_celsius,
                low_percent: thresholds.low_percent,
                charged_percent: thresholds.charged_percent,
                free_bytes_min: thresholds.free_bytes_min,
            },
            attempt: self.timeouts.attempt(),
            facts_every: Duration::from_millis(self.timeouts.facts_every_ms),
            retry_every: Duration::from_millis(self.timeouts.retry_every_ms),
            poll: Duration::from_millis(self.timeouts.poll_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    const SAMPLE: &str = include_str!("../../config/agent.yaml");

    #[test]
    fn the_committed_schema_is_that_of_the_program_and_the_sample_keeps_it() {
        let schema = schemars::generate::SchemaSettings::draft07()
            .into_generator()
            .into_root_schema_for::<ConfigFile>();
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let file = folder.join("schemas/agent.json");
        if std::env::var_os("HOLDFAST_WRITE_SCHEMAS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "{} is old; run this test with HOLDFAST_WRITE_SCHEMAS=1", file.display());

        let sample = std::fs::read_to_string(folder.join("agent.yaml")).unwrap();
        assert_eq!(sample.lines().next(), Some("# yaml-language-server: $schema=schemas/agent.json"));
        let validator = jsonschema::draft7::new(schema.as_value()).unwrap();
        let good = |text: &str| validator.is_valid(&serde_yaml::from_str(text).unwrap());
        assert!(good(&sample));
        for (right, wrong) in
            [("pair: never", "pair: often"), ("rack: rack-1", "rack: rack 1"), ("window: 4", "windows: 4")]
        {
            assert!(sample.contains(right) && !good(&sample.replace(right, wrong)), "{wrong}");
        }
    }

    #[test]
    fn the_sample_loads_and_says_the_defaults() {
        let config = Config::parse(SAMPLE, Path::new("/etc/holdfast/agent.yaml")).unwrap();
        assert_eq!(config.rack.as_str(), "rack-1");
        assert_eq!(config.attempt, Settings::default());
        assert_eq!(config.thresholds, Thresholds::default());
        assert_eq!(config.upload, Upload::default());
        assert_eq!(config.cache_bytes_max, cache_bytes_max());
        assert_eq!(config.spool_bytes_max, spool_bytes_max());
        assert_eq!(config.crash_limits, CrashLimits::default());
        assert_eq!(config.data, Path::new("/var/lib/holdfast-agent"));
    }

    #[test]
    fn a_mistake_names_its_place() {
        let good = "rack: r\ndaemons: [\"http://h:1\"]\ndata: d\n";
        assert!(Config::parse(good, Path::new("a.yaml")).is_ok());
        let cases = [
            ("rack: r\n", "a.yaml:1:1: .: missing field"),
            (&format!("{good}colour: red\n"), "a.yaml:4:1: colour: unknown field `colour`"),
            (&format!("{good}timeouts:\n  check_ms: soon\n"), "a.yaml:5:13: timeouts.check_ms: "),
            (&format!("{good}timeouts:\n  check_ms: 0\n"), "a.yaml:5:1: timeouts.check_ms: 0 is not in"),
            (&format!("{good}labels:\n  a b: [x]\n"), "labels"),
            (&format!("{good}usbmuxd: nowhere\n"), "a.yaml:4:1: usbmuxd: \"nowhere\" is no address"),
            ("rack: r\ndaemons: [\"h:1\"]\ndata: d\n", "a.yaml:2:1: daemons: \"h:1\" is no address"),
            (
                &format!("{good}thresholds: {{charged_percent: 5}}\n"),
                "thresholds.charged_percent: it is not in",
            ),
            (
                &format!("{good}crash_limits: {{warn_percent: 81}}\n"),
                "crash_limits.warn_percent: 81 is not in",
            ),
            (
                &format!("{good}crash_limits: {{collect_percent: 101}}\n"),
                "crash_limits.collect_percent: 101 is",
            ),
            (&format!("{good}crash_limits: {{files: 0}}\n"), "crash_limits.files: 0 files"),
            (&format!("{good}spool_bytes_max: 0\n"), "a.yaml:4:1: spool_bytes_max: with 0 bytes"),
        ];
        for (text, expected) in cases {
            let message = Config::parse(text, Path::new("a.yaml")).unwrap_err().to_string();
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        }
    }
}
