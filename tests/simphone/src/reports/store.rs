//! The reports of one phone that are not yet in its crash folder. Their text is made elsewhere in this module.

/// The crash reports of one phone.
#[derive(Debug, Default)]
pub struct Reports {}

impl Reports {
    /// Moves every finished report into the crash folder, as `com.apple.crashreportmover` asks for.
    pub fn flush(&self) {}
}
