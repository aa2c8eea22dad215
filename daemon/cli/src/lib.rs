//! The `holdfast` command: another client of the API. It can do nothing that the HTTP API cannot; `crash read` does it
//! to files of this machine, with the reader that the daemon uses.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | what may be typed |
//! | [`commands`] | one file per noun |
//! | [`client`] | requests, and problems turned into words |
//! | [`output`] | tables for people, JSON for programs |
//! | [`colour`] | which words are coloured, and when |
//! | [`exit`] | the exit codes, documented once |

pub mod args;
pub mod client;
pub mod colour;
pub mod commands;
pub mod exit;
pub mod output;
mod zipped;
