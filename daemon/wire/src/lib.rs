//! Ids, nouns and messages that cross a process boundary.
