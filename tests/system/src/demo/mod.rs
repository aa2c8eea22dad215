//! The main job, as a new user would try it: a rack of eight pretend phones, two builds, one job of each class on
//! both, a crash found and shown.
//!
//! | module | holds |
//! |---|---|
//! | [`story`] | what is done, step by step |
//! | [`board`] | the live picture in the terminal |
//! | [`summary`] | the table at the end, and the same as JSON |

pub mod board;
pub mod story;
pub mod summary;
