//! Pretend iPhones that speak the real protocols behind a usbmuxd socket.
//!
//! Nothing in here proves how an iPhone behaves: it proves that real clients agree with the simulation.
//! Wherever a phone of this crate is shown to a person, it must be called "simulated".
//!
//! The way of a byte: [`usbmux`] accepts a client and connects it to a port of a [`phone::Phone`]; port 62078 is
//! [`lockdown`], which starts a [`service::Service`] of the [`registry`] on a port of its own.

pub mod afc;
pub mod archive;
pub mod behave;
pub mod cable;
pub mod clock;
pub mod control;
pub mod disk;
pub mod dtx;
pub mod events;
pub mod faults;
pub mod framing;
pub mod identity;
pub mod inflict;
pub mod install;
pub mod instruments;
pub mod lockdown;
pub mod log;
pub mod phone;
pub mod plan;
pub mod rack;
pub mod registry;
pub mod reports;
pub mod scenario;
pub mod seat;
pub mod service;
pub mod services;
pub mod trigger;
pub mod usbmux;
