//! Real processes over loopback, end to end.
