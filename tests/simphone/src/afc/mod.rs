//! The file service: media folder, crash folder, app containers.

mod files;
mod info;
mod jail;
mod packet;
mod server;
mod sha1;
mod starts;

pub use jail::Jail;
pub use packet::Status;
pub use starts::SERVICES;
