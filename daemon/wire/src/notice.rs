//! What people are told about crashes: what was sent, what waits, and what was held back and why.

use serde::{Deserialize, Serialize};

use crate::id::Udid;
use crate::time::Time;

/// What one receiver is told, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeView {
    /// Its number: it only grows.
    pub id: u64,
    /// When it was decided.
    pub at: Time,
    /// To whom, as the rules name them; `-` when it came to nobody.
    pub receiver: String,
    /// The crash group it is about; empty when it is about a phone.
    pub group: String,
    /// The phone it is about, when it is about none of the crash groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Udid>,
    /// What is told at most once.
    pub key: String,
    /// Its title.
    pub title: String,
    /// What became of it.
    pub state: NoticeState,
    /// Why it is told, why it was held back, or why it was given up.
    pub reason: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Time>,
    /// When its receiver had it, or when it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// What the receiver said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<String>,
}

impl NoticeView {
    /// Why it stands as it does; what waits after a try says what its receiver answered and what can be done.
    pub fn words(&self) -> String {
        match &self.last_answer {
            Some(answer) if self.state == NoticeState::Waiting => {
                let times = if self.tries == 1 { "once".to_owned() } else { format!("{} times", self.tries) };
                format!("not told yet, tried {times}: {answer}")
            }
            Some(_) | None => self.reason.clone(),
        }
    }
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NoticeState {
    /// It waits for its time, its limit or another try.
    Waiting,
    /// Its receiver has it.
    Sent,
    /// It was given up.
    Failed,
    /// It was held back.
    Held,
}

impl NoticeState {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Held => "held",
        }
    }
}

/// A receiver, and how often it may be spoken to now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiverView {
    /// As the rules name it.
    pub name: String,
    /// What it is, as the rules say it: `feishu`, `gitlab`, …
    pub kind: String,
    /// Messages that wait for it.
    pub waiting: u64,
    /// How often it may be spoken to.
    pub limits: Vec<ReceiverLimit>,
    /// When it may be spoken to again; none when it may be now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Whether that is because it said so.
    pub wants_quiet: bool,
    /// When it was last spoken to, as far as its limits still ask for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<Time>,
}

/// At most so many messages in any span of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiverLimit {
    /// Messages.
    pub messages: u32,
    /// Milliseconds.
    pub window_ms: u64,
    /// Messages of the last such span.
    pub used: u32,
}

/// Which crash the rules are tried on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeTest {
    /// Its id, or enough of its beginning.
    pub crash: String,
}

/// What the rules make of a crash, if it came in now for the first time. Nothing of it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticePlan {
    /// Whether it would be told.
    pub told: bool,
    /// To whom; `-` when it comes to nobody.
    pub receiver: String,
    /// Why, or why not.
    pub reason: String,
    /// The key under which it would be told at most once.
    pub key: String,
    /// Its title.
    pub title: String,
    /// Who would be called or assigned.
    pub calls: Vec<String>,
    /// When it would leave.
    pub due: Time,
    /// Whether that was told already, so that nothing would happen now.
    pub told_before: bool,
}
