//! The log lines of one phone, handed to whoever listens. The services that send them are elsewhere in this module.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::broadcast;

/// How many of the last lines a phone remembers: enough to look back on a launch, a few hundred kilobytes at most.
pub const LINES_KEPT: usize = 1_000;

/// How far a listener may fall behind before it misses lines, as it does on a real phone.
const BEHIND_MAX: usize = 1_024;

/// How serious a line is, with the number that the activity stream uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// 0.
    Notice,
    /// 1.
    Info,
    /// 2.
    Debug,
    /// 16.
    Error,
    /// 17.
    Fault,
}

impl Level {
    /// The number in the activity stream.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Notice => 0,
            Self::Info => 1,
            Self::Debug => 2,
            Self::Error => 0x10,
            Self::Fault => 0x11,
        }
    }

    /// The word in syslog.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Notice => "Notice",
            Self::Info => "Info",
            Self::Debug => "Debug",
            Self::Error => "Error",
            Self::Fault => "Fault",
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, by the phone's clock.
    pub at: Timestamp,
    /// Who says it.
    pub pid: u32,
    /// Where its executable is; the last part is the name of the process.
    pub process_path: String,
    /// The library that says it; empty for the executable itself.
    pub sender: String,
    /// Subsystem and category, when it has them.
    pub label: Option<(String, String)>,
    /// How serious it is.
    pub level: Level,
    /// What it says.
    pub message: String,
}

impl LogLine {
    /// A notice of a process, from its own executable, without label.
    #[must_use]
    pub fn notice(at: Timestamp, pid: u32, process_path: &str, message: impl Into<String>) -> Self {
        Self {
            at,
            pid,
            process_path: process_path.to_owned(),
            sender: String::new(),
            label: None,
            level: Level::Notice,
            message: message.into(),
        }
    }

    /// The same from a library of the process, under a subsystem and category.
    #[must_use]
    pub fn labelled(mut self, sender: &str, subsystem: &str, category: &str) -> Self {
        self.sender = sender.to_owned();
        self.label = Some((subsystem.to_owned(), category.to_owned()));
        self
    }

    /// The same with another level.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// The name of the process.
    #[must_use]
    pub fn process(&self) -> &str {
        self.process_path.rsplit('/').next().unwrap_or_default()
    }
}

/// The system log of one phone.
#[derive(Debug)]
pub struct LogBus {
    kept: Mutex<VecDeque<Arc<LogLine>>>,
    listeners: broadcast::Sender<Arc<LogLine>>,
}

impl Default for LogBus {
    fn default() -> Self {
        Self { kept: Mutex::default(), listeners: broadcast::Sender::new(BEHIND_MAX) }
    }
}

impl LogBus {
    /// Writes a line.
    pub fn write(&self, line: LogLine) {
        let line = Arc::new(line);
        // The lock is held while sending, so that listeners get the lines in the order in which they are kept.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&line));
        // Nobody listening is the usual case.
        let _listeners = self.listeners.send(line);
    }

    /// The last lines, oldest first; at most [`LINES_KEPT`].
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<LogLine>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Every line written from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.listeners.subscribe()
    }
}
