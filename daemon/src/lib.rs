//! The daemon as a library; the program around it is `main.rs`.

pub mod clock;
pub mod config;
