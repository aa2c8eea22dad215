//! What may be typed of what people are told about crashes.

use clap::{Args, Subcommand, ValueEnum};

use super::{Paging, hash};

/// `holdfast notice …`
#[derive(Debug, Subcommand)]
pub enum NoticeCommand {
    /// Lists what was told, what waits and what was held back, with the reason; newest first.
    #[command(after_help = "Example:\n  holdfast notice list --state held")]
    List(Notices),
    /// Lists receivers, what waits for each, and how often it may be spoken to.
    Receivers,
}

/// Which notices.
#[derive(Debug, Args)]
pub struct Notices {
    /// Only those of which this became.
    #[arg(long, value_enum)]
    pub state: Option<NoticeStateArg>,
    /// Only those about this crash group, by its whole id.
    #[arg(long)]
    pub group: Option<String>,
    /// Only those to this receiver.
    #[arg(long)]
    pub receiver: Option<String>,
    /// Which part of the list.
    #[command(flatten)]
    pub page: Paging,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NoticeStateArg {
    /// It waits for its time, its limit or another try.
    Waiting,
    /// Its receiver has it.
    Sent,
    /// It was given up.
    Failed,
    /// It was held back.
    Held,
}

impl NoticeStateArg {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Held => "held",
        }
    }
}

/// `holdfast rules …`
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Shows who would be told of a crash, and what would be held back and why. Nothing is sent.
    #[command(after_help = "Example:\n  holdfast rules test 91c2")]
    Test {
        /// Its hash, or enough of its beginning.
        #[arg(value_parser = hash)]
        crash: String,
    },
}
