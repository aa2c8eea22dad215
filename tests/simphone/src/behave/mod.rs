//! How apps behave by script, and the table of processes of one phone.
//! What a dead app leaves behind is in [`reports`](crate::reports).

mod behaviour;
mod launch;
mod processes;

pub(crate) use behaviour::mixed;
pub use behaviour::{Behaviour, CrashSignal, Ending, Launch, Report};
pub use launch::{LaunchError, LaunchRequest, Launched, OnRunning, StartState, kill, launch, resume};
pub use processes::{
    Ended, How, Kind, NOTICES_MAX, Process, Processes, SIGKILL, find_app, process, processes,
};

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests;
