//! How the agent fails. How a phone fails is `agent/device`'s.

use std::path::PathBuf;

/// A failure of the agent's own, outside of phones.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A file could not be read, written or removed.
    #[error("cannot {operation} {path}; look at the disk and the owner of the data folder")]
    Disk {
        /// What was tried: `write`, `read`, `sync`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What lies beneath.
        #[source]
        source: std::io::Error,
    },
    /// Another agent has the data folder.
    #[error("cannot use {path}: another agent has it; stop that one or give this one its own data folder")]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The configuration is wrong.
    #[error("{path}:{line}:{column}: {place}: {what}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The path inside: `timeouts.check_ms`.
        place: String,
        /// What is wrong, and the mend.
        what: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot set up HTTP; look at the TLS roots of this computer")]
    Http(#[source] reqwest::Error),
    /// The daemon was not reached, or did not answer in time.
    #[error("cannot reach the daemon at {address}: {what}")]
    Unreachable {
        /// The address that was tried.
        address: String,
        /// What happened, the whole chain.
        what: String,
    },
    /// The daemon refused.
    #[error("the daemon refused with {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// The daemon said what we do not understand.
    #[error("the daemon's answer is wrong at {place}: {what}; is it a newer version?")]
    Answer {
        /// The path inside the answer.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// Bytes do not have the hash that names them.
    #[error("the bytes of {wanted} have another hash ({found}); they were damaged on the way")]
    Hash {
        /// The name.
        wanted: String,
        /// What came.
        found: String,
    },
    /// A task of the agent has ended, so that nobody can answer.
    #[error("a part of the agent has ended ({part}); the agent has to be started again")]
    Ended {
        /// Which.
        part: &'static str,
    },
}

impl AgentError {
    /// For `map_err` on file operations.
    pub fn disk(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { operation, path, source }
    }
}

/// An error with everything beneath it, in one line for logs and reasons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(beneath) = cause {
        let words = beneath.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = beneath.source();
    }
    text
}
