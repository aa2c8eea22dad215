//! What may be typed of jobs.

use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_wire::id::{CaseName, CompareName, JobId, Label, Owner, PoolName, RackId, Udid};
use holdfast_wire::job::PHONES_PER_JOB_MAX;
use holdfast_wire::phone::OsVersion;
use holdfast_wire::requirement::{Expression, ExpressionError, Fallback};

use super::{ClassArg, Paging, hash, seconds};

/// `holdfast job …`
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Submits a job.
    #[command(
        after_help = "Example:\n  holdfast job submit --class baseline --build 3f2c1ab --case cold-launch --os-min 16"
    )]
    Submit(Box<Submit>),
    /// Says what would happen if a job were submitted now; nothing is kept.
    #[command(
        after_help = "Example:\n  holdfast job plan --class baseline --build 3f2c1ab --case cold-launch --require 'os >= 17'"
    )]
    Plan(Box<Wanted>),
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
    #[command(visible_alias = "show")]
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
    /// Says why a job waits, rule by rule and phone by phone.
    Explain {
        /// Its id.
        job: JobId,
    },
    /// Says when a job is expected to start.
    Eta {
        /// Its id.
        job: JobId,
    },
    /// Takes a job back.
    Cancel {
        /// Its id.
        job: JobId,
    },
}

/// A job, and how it is submitted.
#[derive(Debug, Args)]
pub struct Submit {
    /// What is asked for.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Makes a repeated submission harmless: the same key gives the same job.
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// Follow the job until it has ended.
    #[arg(long)]
    pub watch: bool,
}

/// What a job may ask for.
#[derive(Debug, Args)]
pub struct Wanted {
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
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = phones)]
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
}

fn fallback(text: &str) -> Result<Fallback, String> {
    let form = || format!("{text:?} is no fallback; it looks like '600: model = \"iPhone 14\"'");
    let (after_s, expression) = text.split_once(':').ok_or_else(form)?;
    let after_s = after_s.trim().parse().map_err(|_| form())?;
    let expression = expression.trim().parse().map_err(|error: ExpressionError| error.to_string())?;
    Ok(Fallback { after_s, expression })
}

fn phones(text: &str) -> Result<u16, String> {
    let count = text.parse().ok().filter(|count| (1..=PHONES_PER_JOB_MAX).contains(count));
    count.ok_or_else(|| format!("a job needs 1 to {PHONES_PER_JOB_MAX} phones at once"))
}
