//! The daemon's brain: who runs what, where, and why not yet.
