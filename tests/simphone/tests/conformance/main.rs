//! The judges of the pretend phones: unmodified third-party clients, one file for each family, checked by what they
//! print. They prove that clients agree with the simulation, not that it equals an iPhone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod faults;
mod go_ios;
mod ideviceinstaller;
mod judges;
mod libimobiledevice;
mod pymobiledevice3;
mod pymobiledevice3_developer;
