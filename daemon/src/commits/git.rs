//! Runs the `git` program on a repository whose content and settings nobody vouches for: no shell, no hook, no program that
//! the repository names, no network; a deadline, and an end to what it may say. What is asked of it is `mirror`'s.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// What git says about a failure, as far as people are shown it.
const COMPLAINT_BYTES_MAX: u64 = 2_000;

/// Settings that win against those of the repository. `safe.bareRepository` and owners are not asked for: the repository is
/// named outright, and nothing in it is run.
const SETTINGS: [&str; 5] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "log.showSignature=false",
    "core.pager=cat",
    "gc.auto=0",
];

/// Why git told nothing.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no such program, or it may not be started.
    #[error("the git program cannot be started; install git where the daemon's PATH finds it")]
    Start(#[source] std::io::Error),
    /// It broke off.
    #[error("the git program cannot be spoken to")]
    Talk(#[source] std::io::Error),
    /// It took too long.
    #[error("git needed more than {} s; run `git commit-graph write --reachable` in the mirror, or put it on a faster disk", .0.as_secs())]
    Deadline(Duration),
    /// It refused.
    #[error("git says: {said}")]
    Refused {
        /// In its own words.
        said: String,
    },
}

/// How much time and room a question has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Then it is ended.
    pub(super) deadline: Duration,
    /// What comes after so many bytes is not read.
    pub(super) bytes_max: u64,
}

/// Asks git about the repository in a folder, and returns what it prints: all of it, or as much as there is room for.
pub(super) async fn ask(
    git_dir: &Path,
    arguments: &[&str],
    input: String,
    bounds: Bounds,
) -> Result<Vec<u8>, GitError> {
    let mut command = Command::new("git");
    command.arg(equals("--git-dir=", git_dir)).args([
        "--no-optional-locks",
        "--no-replace-objects",
        "--no-pager",
    ]);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.args(arguments);
    // Of the daemon's own environment, GIT_… must not reach it, nor what makes it ask somebody for a password.
    command.env_clear();
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // A part of the history that is elsewhere is missing; it is not fetched behind the operator's back.
    command.envs([
        ("LC_ALL", "C"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_ALLOW_PROTOCOL", "none"),
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    match tokio::time::timeout(bounds.deadline, talk(command, input, bounds.bytes_max)).await {
        Ok(said) => said,
        Err(_) => Err(GitError::Deadline(bounds.deadline)),
    }
}

fn equals(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push(path);
    argument
}

async fn talk(mut command: Command, input: String, bytes_max: u64) -> Result<Vec<u8>, GitError> {
    let mut child = command.spawn().map_err(GitError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let say = async {
        if let Some(mut stdin) = stdin {
            // It may have heard enough and closed; what it says tells why.
            let _heard = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), said, complaint) =
        tokio::join!(say, up_to(stdout, bytes_max), up_to(stderr, COMPLAINT_BYTES_MAX));
    let (said, complaint) = (said.map_err(GitError::Talk)?, complaint.map_err(GitError::Talk)?);
    if said.len() as u64 == bytes_max {
        // It goes on talking, and is not listened to.
        child.kill().await.map_err(GitError::Talk)?;
        return Ok(said);
    }
    let status = child.wait().await.map_err(GitError::Talk)?;
    if status.success() { Ok(said) } else { Err(refused(status, &complaint)) }
}

/// Reads to the end or to so many bytes.
async fn up_to(pipe: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(bytes_max).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn refused(status: ExitStatus, complaint: &[u8]) -> GitError {
    let text = String::from_utf8_lossy(complaint);
    let lines = text.lines().map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>());
    let said = lines.filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join("; ");
    GitError::Refused {
        said: if said.is_empty() { format!("nothing, and ended with {status}") } else { said },
    }
}

/// Where git keeps its things below a folder: the folder itself when it is bare.
pub(super) fn git_dir(folder: &Path) -> Option<PathBuf> {
    let is_one = |path: &Path| path.join("HEAD").is_file() && path.join("objects").is_dir();
    [folder.to_owned(), folder.join(".git")].into_iter().find(|path| is_one(path))
}
