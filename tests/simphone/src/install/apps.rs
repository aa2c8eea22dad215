//! The apps that are installed on one phone. The services that change them are elsewhere in this module.

/// The installed apps of one phone.
#[derive(Debug, Default)]
pub struct Apps {}
