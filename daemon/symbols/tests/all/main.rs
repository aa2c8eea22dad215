//! One program for all tests, so that they share their support.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod damaged;
mod defects;
mod library;
mod sites;
mod support;
mod truth;
