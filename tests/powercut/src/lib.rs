//! Rebuilds the disk as a kill or a power cut would leave it, at any point of a recorded run.
//!
//! `recorder.c` is loaded into a program and logs what it does to files; [`recorder`] compiles it and
//! starts programs under it, [`log`] reads the log, [`disk`] rebuilds the files at a point of it,
//! [`replay`] walks through a log with a check at chosen points, and
//! [`jobs`] says where jobs must be found after a daemon has moved and removed them, and
//! [`workload`] says what the recorded program does and so what must be found afterwards. Which
//! points are tried, and that they pass, is in `tests/`.
//!
//! The model of a disk: a file's data is durable after `fsync` or `fdatasync` of that file and not
//! before (`sync_file_range` counts for nothing); creations, renames and removals become durable in
//! their order, all of them with the next sync of any file or folder, as on journalled file systems
//! with ordered metadata (ext4, xfs). A power cut may keep more than is durable, never less.

pub mod disk;
pub mod jobs;
pub mod log;
pub mod plain;
pub mod recorder;
pub mod replay;
pub mod workload;
