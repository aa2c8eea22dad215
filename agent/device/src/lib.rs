//! What a phone can tell us and how it can fail.
