//! What may be typed. Nouns first, then verbs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_wire::id::{CaseName, CompareName, JobId, Label, Owner, PoolName, RackId, Udid};
use holdfast_wire::job::{JobClass, PHONES_PER_JOB_MAX};
use holdfast_wire::phone::OsVersion;
use holdfast_wire::requirement::{Expression, ExpressionError, Fallback};

/// A farm of iPhones: submit builds and jobs, look after phones, read crashes.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, after_help = crate::exit::TABLE, max_term_width = 100)]
pub struct Cli {
    /// Where the daemon is.
    #[arg(long, global = true, env = "HOLDFAST_SERVER", default_value = "http://127.0.0.1:7433")]
    pub server: String,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Builds: the .ipa files that are tested.
    #[command(subcommand)]
    Build(BuildCommand),
    /// Jobs: run these cases on this build.
    #[command(subcommand)]
    Job(JobCommand),
    /// Phones: where they are and how they do.
    #[command(subcommand)]
    Phone(PhoneCommand),
    /// Racks: the computers that the phones are plugged into.
    #[command(subcommand)]
    Rack(RackCommand),
    /// Crashes: report files taken from phones.
    #[command(subcommand)]
    Crash(CrashCommand),
    /// Cases: what can be run.
    #[command(subcommand)]
    Case(CaseCommand),
    /// Configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The daemon's store, while the daemon is stopped.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Looks whether everything that is needed works, and says how to mend what does not.
    Doctor,
    /// Prints completions for a shell.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
}

/// `holdfast build …`
#[derive(Debug, Subcommand)]
pub enum BuildCommand {
    /// Uploads a build; one that the farm has already costs nothing.
    #[command(
        after_help = "Example:\n  holdfast build upload App.ipa --commit 3f2c1ab --branch feature/chat --symbols App.dSYM.zip"
    )]
    Upload {
        /// The .ipa.
        archive: PathBuf,
        /// Its zipped dSYM.
        #[arg(long)]
        symbols: Option<PathBuf>,
        /// The commit it was made from.
        #[arg(long)]
        commit: Option<String>,
        /// The branch that was built.
        #[arg(long)]
        branch: Option<String>,
        /// Who wrote the commit.
        #[arg(long)]
        author: Option<String>,
    },
    /// Lists builds, newest first.
    List(Paging),
    /// Shows one build.
    Describe {
        /// Its hash, or enough of its beginning.
        #[arg(value_parser = hash)]
        hash: String,
    },
}

/// `holdfast job …`
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Submits a job.
    #[command(
        after_help = "Example:\n  holdfast job submit --class baseline --build 3f2c1ab --case cold-launch --os-min 16"
    )]
    Submit(Box<Submit>),
    /// Lists jobs: running first, then waiting in the order of service, then ended, newest first.
    List {
        /// Only this class.
        #[arg(long)]
        class: Option<ClassArg>,
        /// Only jobs that are queued, running or ended.
        #[arg(long, value_parser = ["queued", "running", "ended"])]
        state: Option<String>,
        /// How much of the list.
        #[command(flatten)]
        paging: Paging,
    },
    /// Shows one job with its attempts.
    Describe {
        /// Its id: J17.
        job: JobId,
    },
    /// Follows jobs until they have ended; the exit code tells how.
    Watch {
        /// Their ids.
        #[arg(required = true)]
        jobs: Vec<JobId>,
        /// Give up after so many seconds, with exit code 8.
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        timeout: Option<Duration>,
    },
    /// Says why a job waits, phone by phone.
    Explain {
        /// Its id.
        job: JobId,
    },
    /// Takes a job back.
    Cancel {
        /// Its id.
        job: JobId,
    },
}

/// What a job may ask for.
#[derive(Debug, Args)]
pub struct Submit {
    /// Who goes first: crash, baseline, custom, special, idle.
    #[arg(long)]
    pub class: ClassArg,
    /// The build's hash, or enough of its beginning.
    #[arg(long, value_parser = hash)]
    pub build: String,
    /// A case of the farm's catalogue; may be said again.
    #[arg(long = "case", required = true)]
    pub cases: Vec<CaseName>,
    /// Only phones of this model (iPhone14,5 or 'iPhone 13'); may be said again.
    #[arg(long = "model")]
    pub models: Vec<String>,
    /// The oldest iOS that will do.
    #[arg(long)]
    pub os_min: Option<OsVersion>,
    /// The newest iOS that will do.
    #[arg(long)]
    pub os_max: Option<OsVersion>,
    /// A label that the phone must have; may be said again.
    #[arg(long = "label")]
    pub labels: Vec<Label>,
    /// This pool instead of those that serve the class.
    #[arg(long)]
    pub pool: Option<PoolName>,
    /// This rack only.
    #[arg(long)]
    pub rack: Option<RackId>,
    /// This very phone.
    #[arg(long)]
    pub phone: Option<Udid>,
    /// What else a phone must be, like 'model = "iPhone 15" and os >= 17 and not label = slow'.
    #[arg(long = "require", value_name = "EXPRESSION")]
    pub expression: Option<Expression>,
    /// What will do as well after so many seconds, like '600: any'; may be said again, soonest first.
    #[arg(long = "fallback", value_name = "SECONDS:EXPRESSION", value_parser = fallback, requires = "expression")]
    pub fallbacks: Vec<Fallback>,
    /// Phones that it needs at once; all of them begin together or none does.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(PHONES_PER_JOB_MAX)))]
    pub phones: u16,
    /// Run on the very same phone as the other jobs of this comparison, taking turns between builds.
    #[arg(long, value_name = "NAME")]
    pub compare: Option<CompareName>,
    /// When the same is waiting, running or has passed already, that job answers for this one too.
    #[arg(long)]
    pub once: bool,
    /// Inside the class, higher goes first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub priority: i32,
    /// Who asks.
    #[arg(long)]
    pub owner: Option<Owner>,
    /// Not started within so many seconds, the job expires.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub start_within: Option<Duration>,
    /// Makes a repeated submission harmless: the same key gives the same job.
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// Follow the job until it has ended.
    #[arg(long)]
    pub watch: bool,
}

/// `holdfast phone …`
#[derive(Debug, Subcommand)]
pub enum PhoneCommand {
    /// Lists phones.
    List,
    /// Shows one phone.
    Describe {
        /// Its UDID.
        udid: Udid,
    },
    /// Keeps a phone from work.
    Quarantine {
        /// Its UDID.
        udid: Udid,
        /// Why, for people.
        #[arg(long)]
        reason: String,
        /// For so many seconds; until released when left out.
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        lasts: Option<Duration>,
    },
    /// Lets a phone work again.
    Release {
        /// Its UDID.
        udid: Udid,
    },
}

/// `holdfast rack …`
#[derive(Debug, Subcommand)]
pub enum RackCommand {
    /// Lists racks.
    List,
}

/// `holdfast crash …`
#[derive(Debug, Subcommand)]
pub enum CrashCommand {
    /// Lists crashes, newest first.
    List(Paging),
    /// Shows what a report says: what happened first, then the crashed thread.
    Show {
        /// Its id, or enough of its beginning.
        #[arg(value_parser = hash)]
        id: String,
    },
    /// Prints the bytes of a report as the phone wrote them.
    Raw {
        /// Its id, or enough of its beginning.
        #[arg(value_parser = hash)]
        id: String,
    },
}

/// `holdfast case …`
#[derive(Debug, Subcommand)]
pub enum CaseCommand {
    /// Lists the farm's catalogue.
    List,
}

/// `holdfast config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Checks configuration files and names every mistake with its place and mend.
    Check {
        /// `holdfastd.yaml` or `agent.yaml`, with everything they point to.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// `holdfast store …`
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Writes everything in the store to a file: sorted, with a checksum.
    Export {
        /// The daemon's configuration.
        #[arg(long)]
        config: PathBuf,
        /// Where to.
        file: PathBuf,
    },
    /// Fills an empty store from an export.
    Import {
        /// The daemon's configuration.
        #[arg(long)]
        config: PathBuf,
        /// From where.
        file: PathBuf,
    },
}

/// How much of a list.
#[derive(Debug, Clone, Args)]
pub struct Paging {
    /// At most so many entries.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Go on where a page ended (its `next_cursor`).
    #[arg(long)]
    pub cursor: Option<String>,
}

/// A job class on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClassArg {
    /// Trunk commits and monkey runs.
    Crash,
    /// Feature branches and their merge-base.
    Baseline,
    /// A team's own cases.
    Custom,
    /// One dimension in depth.
    Special,
    /// Re-runs in idle time.
    Idle,
}

impl From<ClassArg> for JobClass {
    fn from(class: ClassArg) -> Self {
        match class {
            ClassArg::Crash => Self::Crash,
            ClassArg::Baseline => Self::Baseline,
            ClassArg::Custom => Self::Custom,
            ClassArg::Special => Self::Special,
            ClassArg::Idle => Self::Idle,
        }
    }
}

/// A hash or its beginning. It becomes part of a path, so nothing else may pass.
fn hash(text: &str) -> Result<String, String> {
    if (4..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("it is a hash or its beginning: 4 to 64 hexadecimal digits".to_owned())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| format!("{text:?} is no number of seconds"))
}

fn fallback(text: &str) -> Result<Fallback, String> {
    let form = || format!("{text:?} is no fallback; it looks like '600: model = \"iPhone 14\"'");
    let (after_s, expression) = text.split_once(':').ok_or_else(form)?;
    let after_s = after_s.trim().parse().map_err(|_| form())?;
    let expression = expression.trim().parse().map_err(|error: ExpressionError| error.to_string())?;
    Ok(Fallback { after_s, expression })
}
