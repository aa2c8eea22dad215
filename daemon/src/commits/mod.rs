//! The order of commits, as a mirror of an app's repository shows it: read with the `git` program, in the background, and put
//! into the picture. Which build brought a crash group is `groups`'.
//!
//! | module | holds |
//! |---|---|
//! | [`history`] | what is known of the commits of one app's builds |
//! | [`git`] | runs the `git` program on a repository that nobody trusts |
//! | [`mirror`] | reads a mirror with it |
//! | [`follow`] | the task that reads the mirrors as builds come in |

mod follow;
mod git;
mod history;
mod mirror;

pub use follow::{Mirror, follow, look};
pub use git::GitError;
pub use history::{Between, Commit, History, Standing};
pub use mirror::{looks_like_repository, read};
