//! A whole farm of real processes over loopback: pretend phones, agent, daemon. The system tests and the demo
//! both stand on it.
//!
//! | module | holds |
//! |---|---|
//! | [`process`] | one child process: started, awaited, ended by its id |
//! | [`farm`] | the processes of a farm and where they listen |
//! | [`control`] | what really happened on each pretend phone, and faults on command |
//! | [`api`] | what is asked of the daemon |
//! | [`browser`] | a headless browser, for the pages |
//! | [`chat`] | crashes whose reports come late, and a chat that is told of them |
//! | [`demo`] | the main job, shown to a person |

pub mod api;
pub mod browser;
pub mod chat;
pub mod control;
pub mod demo;
pub mod farm;
pub mod process;
