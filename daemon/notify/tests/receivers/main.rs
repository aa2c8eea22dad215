//! The sender against real servers on this machine that enforce what each receiver documents: signatures, sizes, markup,
//! limits and the shapes of answers. The servers hold a message to the limits by their own means: sizes are counted on
//! the bytes that came, signatures are made anew from the documents' recipes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../support/mod.rs"]
mod support;

mod chats;
mod letters;
mod mail_tls;
mod server;
mod tickets;
