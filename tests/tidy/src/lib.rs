//! Tests about the code itself live in `tests/` beside this file; there is no code here.
