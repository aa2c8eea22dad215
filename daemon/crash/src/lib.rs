//! From the bytes of a report file to what happened.
