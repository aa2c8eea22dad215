//! A law that does not hold.

/// Which law is broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The law, by the name of its function.
    pub law: &'static str,
    /// What was seen.
    pub seen: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the law {} is broken: {}", self.law, self.seen)
    }
}

/// What a law says: nothing when it holds.
pub type Verdict = Result<(), Broken>;

/// Says that a law holds if something is so.
///
/// # Errors
/// It is not so.
pub fn holds(law: &'static str, is_so: bool, seen: impl FnOnce() -> String) -> Verdict {
    if is_so { Ok(()) } else { Err(Broken { law, seen: seen() }) }
}
