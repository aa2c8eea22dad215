//! Compiles `recorder.c` and starts programs under it. What it writes is read by [`crate::log`].

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why the recorder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// There is no compiler, or it failed.
    #[error("cannot compile the recorder with `cc`: {detail}; install a C compiler")]
    Compile {
        /// What the compiler said.
        detail: String,
    },
    /// A file operation failed.
    #[error("cannot prepare the recorder")]
    File {
        /// What the operating system said.
        #[from]
        source: io::Error,
    },
}

/// The compiled recorder with one recording: the folder watched, the log, and the file for marks.
#[derive(Clone, Debug)]
pub struct Recorder {
    library: PathBuf,
    root: PathBuf,
    log: PathBuf,
    marks: PathBuf,
}

/// Which calls under the watched folder fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `write` and its kin. With `ENOSPC`, half of the data is taken first.
    Write,
    /// `fsync` and `fdatasync`.
    Sync,
    /// `sync_file_range`.
    Range,
}

/// A disk fault to inject.
#[derive(Clone, Copy, Debug)]
pub struct DiskFault {
    /// What fails.
    pub call: Call,
    /// Which of these calls in the process, counted from 1.
    pub nth: usize,
    /// The error number that the caller gets.
    pub errno: i32,
    /// Whether all later calls fail too.
    pub lasts: Lasts,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// One call.
    Once,
    /// That call and all after it.
    On,
}

impl Recorder {
    /// Compiles the recorder into `work` and watches `work/root`, which is made.
    ///
    /// # Errors
    /// [`RecorderError::Compile`] without a C compiler.
    pub fn new(work: &Path) -> Result<Self, RecorderError> {
        let work = work.canonicalize()?;
        let library = work.join("recorder.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorder.c");
        let output =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
        let output = output.map_err(|error| RecorderError::Compile { detail: error.to_string() })?;
        if !output.status.success() {
            let detail = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(RecorderError::Compile { detail });
        }
        let root = work.join("root");
        std::fs::create_dir_all(&root)?;
        Ok(Self { library, root, log: work.join("log"), marks: work.join("marks") })
    }

    /// The watched folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The log. Several runs append to it.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The file for marks: every write to it becomes a mark in the log.
    #[must_use]
    pub fn marks(&self) -> &Path {
        &self.marks
    }

    /// Makes a command run under the recorder.
    pub fn watch(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library);
        command.env("HOLDFAST_RECORD_ROOT", &self.root);
        command.env("HOLDFAST_RECORD_LOG", &self.log);
        command.env("HOLDFAST_RECORD_MARKS", &self.marks);
    }

    /// Makes a command meet a disk fault; after [`Recorder::watch`].
    pub fn inject(&self, command: &mut Command, fault: DiskFault) {
        let call = match fault.call {
            Call::Write => "write",
            Call::Sync => "sync",
            Call::Range => "range",
        };
        let lasts = match fault.lasts {
            Lasts::Once => "once",
            Lasts::On => "on",
        };
        command.env("HOLDFAST_FAULT", format!("{call}:{}:{}:{lasts}", fault.nth, fault.errno));
    }
}
