//! How apps behave by script, and the table of processes of one phone.

mod processes;

pub use processes::Processes;
