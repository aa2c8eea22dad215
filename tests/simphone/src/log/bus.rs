//! The log lines of one phone, handed to whoever listens. The services that send them are elsewhere in this module.

/// The system log of one phone.
#[derive(Debug, Default)]
pub struct LogBus {}
