//! The exit codes, and the one error type that leads to them.

use std::process::ExitCode;

/// Why the program ended. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; a watched job passed.
    Done = 0,
    /// Something went wrong that has no number of its own.
    Error = 1,
    /// The command line was wrong (clap says how).
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// Not logged in, or not allowed.
    Forbidden = 4,
    /// The daemon does not answer.
    Unreachable = 5,
    /// The daemon refused the request as wrong, or a file to be checked has mistakes.
    Refused = 6,
    /// Still waiting when the time was over.
    StillWaiting = 8,
    /// A watched job failed through its build or case.
    Rejected = 10,
    /// A watched job ended without a finding: cancelled, expired, or failed through the farm's own trouble.
    NoFinding = 11,
    /// Interrupted by a person.
    Interrupted = 130,
}

/// The table that `holdfast --help` ends with.
pub const TABLE: &str = "Exit codes:
  0    done; a watched job passed
  1    error
  2    wrong command line
  3    not found
  4    not logged in, or not allowed
  5    the daemon does not answer
  6    refused as wrong, or a checked file has mistakes
  8    still waiting when --timeout was over
  10   a watched job failed through its build or case
  11   a watched job ended without a finding
  130  interrupted";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not succeed, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon does not answer.
    #[error(
        "cannot reach the daemon at {server}; is holdfastd running there? (--server or HOLDFAST_SERVER says where)"
    )]
    Unreachable {
        /// Where it was looked for.
        server: String,
        /// What lies beneath.
        #[source]
        cause: reqwest::Error,
    },
    /// The daemon answered with a problem.
    #[error("{words}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The problem's detail and mistakes.
        words: String,
    },
    /// The answer is not what the API promises: another version, or no Holdfast at all.
    #[error("cannot understand the answer of {url}: {what}; is this a holdfastd of another version?")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// A file on this machine.
    #[error("cannot {operation} {path}")]
    File {
        /// `read`, `write`.
        operation: &'static str,
        /// Which.
        path: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A program of the same installation is not beside this one.
    #[error("{path} is not there; install {program} beside holdfast")]
    Missing {
        /// Its name.
        program: String,
        /// Where it was looked for.
        path: String,
    },
    /// What was typed makes no sense together.
    #[error("{0}")]
    Request(String),
    /// The time given with `--timeout` is over.
    #[error("{0}")]
    Timeout(String),
}

impl Failure {
    /// The exit code that it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Problem { status: 404, .. } => Exit::NotFound,
            Self::Problem { status: 401 | 403, .. } => Exit::Forbidden,
            Self::Problem { status: 400..=499, .. } => Exit::Refused,
            Self::File { operation: "read", cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                Exit::NotFound
            }
            Self::Problem { .. } | Self::Answer { .. } | Self::File { .. } | Self::Missing { .. } => {
                Exit::Error
            }
            Self::Request(_) => Exit::Usage,
            Self::Timeout(_) => Exit::StillWaiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table() {
        let codes = [
            Exit::Done,
            Exit::Error,
            Exit::Usage,
            Exit::NotFound,
            Exit::Forbidden,
            Exit::Unreachable,
            Exit::Refused,
            Exit::StillWaiting,
            Exit::Rejected,
            Exit::NoFinding,
            Exit::Interrupted,
        ];
        let listed: Vec<u8> =
            TABLE.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        assert_eq!(listed, codes.map(|code| code as u8));
    }
}
