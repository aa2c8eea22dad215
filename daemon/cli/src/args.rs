//! What may be typed. Nouns first, then verbs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_wire::id::{Owner, Udid};
use holdfast_wire::job::JobClass;

mod group;
mod job;
mod notice;
mod rules;

pub use group::GroupCommand;
pub use job::{JobCommand, Submit, Wanted};
pub use notice::{NoticeCommand, NoticeStateArg, Notices, RulesCommand};
pub use rules::{AuditCommand, OwnerCommand, PoolCommand, Queue, ScheduleCommand};

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
    /// What waits and what runs, by class, with reasons and expected starts.
    #[command(after_help = "Example:\n  holdfast queue --class baseline --watch")]
    Queue(Queue),
    /// Phones: where they are and how they do.
    #[command(subcommand)]
    Phone(PhoneCommand),
    /// Racks: the computers that the phones are plugged into.
    #[command(subcommand)]
    Rack(RackCommand),
    /// Pools: named sets of phones, and the classes they serve.
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Schedules: jobs that the calendar submits.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Owners: whose jobs they are, their shares and limits.
    #[command(subcommand)]
    Owner(OwnerCommand),
    /// Crashes: report files taken from phones.
    #[command(subcommand)]
    Crash(CrashCommand),
    /// Crash groups: crashes of the same defect.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Notices: who was told of which crash, and what was held back.
    #[command(subcommand)]
    Notice(NoticeCommand),
    /// Rules of who is told what about crashes: try them.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Cases: what can be run.
    #[command(subcommand)]
    Case(CaseCommand),
    /// Configuration: check files, read them again.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What operators did.
    #[command(subcommand)]
    Audit(AuditCommand),
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
    /// Writes the manual pages, one for every command.
    Manual {
        /// The folder they go into.
        folder: PathBuf,
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
        /// Its zipped dSYM, or a folder with it.
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
        /// A commit that it follows; may be said several times. From these, builds have their order.
        #[arg(long = "parent", value_name = "COMMIT")]
        parents: Vec<String>,
    },
    /// Uploads the symbols of a build that the farm has. Crashes that waited for them are named.
    #[command(
        after_help = "Example:\n  holdfast build symbols 7d1f App.dSYM.zip\n  holdfast build symbols 7d1f build/App.xcarchive/dSYMs"
    )]
    Symbols {
        /// The build's hash, or enough of its beginning.
        #[arg(value_parser = hash)]
        hash: String,
        /// A zip of dSYMs, or a folder with them, which is zipped.
        path: PathBuf,
    },
    /// Lists builds, newest first.
    List(Paging),
    /// Shows one build.
    #[command(visible_alias = "show")]
    Describe {
        /// Its hash, or enough of its beginning.
        #[arg(value_parser = hash)]
        hash: String,
    },
}

/// `holdfast phone …`
#[derive(Debug, Subcommand)]
pub enum PhoneCommand {
    /// Lists phones.
    List,
    /// Shows one phone.
    #[command(visible_alias = "show")]
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
        /// Who does it.
        #[command(flatten)]
        by: By,
    },
    /// Lets a phone work again: out of quarantine, or given back by who took it.
    Release {
        /// Its UDID.
        udid: Udid,
        /// Who does it.
        #[command(flatten)]
        by: By,
    },
    /// Borrows a phone: it gets no work until it is released or the time is over.
    #[command(after_help = "What the phone runs goes on to its end, unless --now is said.\n\nExample:\n  \
                            holdfast phone take 00008110-000A2D8E3C41801E --reason 'looks at a hang' --lasts 3600")]
    Take {
        /// Its UDID.
        udid: Udid,
        /// Why, for people.
        #[arg(long)]
        reason: String,
        /// For so many seconds; until released when left out.
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        lasts: Option<Duration>,
        /// Take it away from what it runs, too; that job waits again.
        #[arg(long)]
        now: bool,
        /// Who does it.
        #[command(flatten)]
        by: By,
    },
    /// Takes a phone away from what it runs: that job waits again, and nobody is blamed.
    ForceRelease {
        /// Its UDID.
        udid: Udid,
        /// Why, for people.
        #[arg(long)]
        reason: String,
        /// Who does it.
        #[command(flatten)]
        by: By,
    },
}

/// Who does something that others may ask about.
#[derive(Debug, Args)]
pub struct By {
    /// Who you are, for the audit.
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    pub by: Option<Owner>,
}

/// Who changes rules, and why.
#[derive(Debug, Args)]
pub struct Who {
    /// Who.
    #[command(flatten)]
    pub by: By,
    /// Why, for people.
    #[arg(long)]
    pub reason: Option<String>,
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
    /// Names a crash's frames again, by the symbols that the farm has now, and shows the report.
    Symbolicate {
        /// Its id, or enough of its beginning.
        #[arg(value_parser = hash)]
        id: String,
    },
    /// Prints the text that Apple's own tools make of a report; of kinds without one, what show shows.
    Text {
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
    /// Brings report files into the farm, from whatever phone they came: they are read, signed and grouped.
    #[command(
        after_help = "What the farm has already costs nothing. In a folder all files are looked at, those in folders \
                      below it too; what is no report is left out.\n\nExample:\n  holdfast crash import reports/"
    )]
    Import {
        /// Report files of any kind, or folders of them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Reads report files of this machine, without a daemon.
    #[command(
        after_help = "With --json one object a line: the file, what ended the process, the stack that matters and the \
                      signature of the defect; malformed says what is wrong with a file and where.\nIn a folder all \
                      files are read, those in folders below it too; files that begin with a dot, and those that \
                      neither are reports nor are named like one, are left out.\n\nWith --symbols the \
                      app's frames get functions, files and lines, inlined functions as frames of their own, and the \
                      signature is made of them. dSYMs are found by UUID wherever they lie in the folder, also in zips \
                      and in zips in zips; those of another build are refused. missing_symbols (on the page \
                      \"symbols are missing\") names what nobody had.\n\nExit code 0 when every file was \
                      read at least in part, 6 when nothing could be read of one.\n\nExamples:\n  \
                      holdfast crash read Chat-2026-03-02-091531.ips\n  holdfast crash read --symbols builds/ Chat-2026-03-02-091531.ips\n  \
                      holdfast crash read --json reports/ | jq -r \
                      .signature | sort | uniq -c\n  pbpaste | holdfast crash read -"
    )]
    Read {
        /// Report files of any kind, folders of them, or - for standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print the text that Apple's own tools make of a report; of kinds without one, the page.
        #[arg(long)]
        text: bool,
        /// A folder with dSYMs, or one dSYM, bare or in a zip: names the frames of the app.
        #[arg(long, value_name = "DIR")]
        symbols: Option<PathBuf>,
        /// Where compiled symbols are kept for the next time [default: holdfast/symbols in the user's cache folder].
        #[arg(long, value_name = "DIR", requires = "symbols", env = "HOLDFAST_SYMBOL_CACHE")]
        symbol_cache: Option<PathBuf>,
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
    /// Shows what the daemon goes by now: files, classes, windows.
    Show,
    /// Has the daemon read its pools, schedules and cases again; files with a mistake change nothing.
    Reload(Who),
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
