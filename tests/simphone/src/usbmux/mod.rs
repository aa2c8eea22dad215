//! The socket of usbmuxd: which phones are here, and a raw stream to any of their ports.

pub mod packet;
mod records;
mod server;

pub use records::PairRecords;
pub use server::serve;
