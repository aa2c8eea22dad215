//! The pages: what they show of hand-made views, what they load, what reaches a browser that follows them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod follow;
mod pages;
mod safety;
mod samples;
