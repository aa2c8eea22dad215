//! The agent's brain: one attempt's life.
