//! The pretend rack's control socket: what really happened on each phone, and faults on command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast_wire::time::Time;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// How long the rack may take to answer: everything it is asked is in its memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// One line of a phone's own log. The words of an event are the pretend phone's.
#[derive(Debug, Clone, Deserialize)]
pub struct Entry {
    /// Counts from 1.
    pub number: u64,
    /// When, by this machine's clock.
    pub at: Time,
    /// What happened.
    pub event: PhoneEvent,
}

/// What happened on a phone, as far as the farm is judged by it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum PhoneEvent {
    /// An app was launched.
    Launched {
        /// Which.
        bundle_id: String,
        /// Its process.
        pid: u32,
        /// What it was told, the attempt and the lease among it.
        environment: std::collections::BTreeMap<String, String>,
    },
    /// A process ended.
    Ended {
        /// Its process.
        pid: u32,
    },
    /// A crash report appeared.
    CrashFileWritten {
        /// Its path.
        path: String,
    },
    /// A client deleted a crash report.
    CrashFileDeleted {
        /// Its path.
        path: String,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// A connection's worth of questions; each call makes its own connection.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    /// The control socket at this path.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The UDIDs of all phones, in the order of the rack.
    ///
    /// # Errors
    /// The rack does not answer.
    pub async fn udids(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.ask(&json!({ "do": "list" })).await?;
        let phones = answer["phones"].as_array().context("a list of phones")?;
        phones.iter().map(|phone| phone["udid"].as_str().map(str::to_owned).context("a UDID")).collect()
    }

    /// Does something to a phone.
    ///
    /// # Errors
    /// The rack refuses or does not answer.
    pub async fn inflict(&self, udid: &str, fault: Value) -> anyhow::Result<()> {
        self.ask(&json!({ "do": "inflict", "phone": udid, "fault": fault })).await.map(drop)
    }

    /// What a phone's own log says after the entry of this number; 0 for all that the phone remembers.
    ///
    /// # Errors
    /// The rack does not answer.
    pub async fn events_after(&self, udid: &str, number: u64) -> anyhow::Result<Vec<Entry>> {
        let mut answer = self.ask(&json!({ "do": "events", "phone": udid, "after": number })).await?;
        serde_json::from_value(answer["events"].take()).context("a phone's log")
    }

    /// The crash reports that are on a phone now.
    ///
    /// # Errors
    /// The rack does not answer.
    pub async fn crash_files(&self, udid: &str) -> anyhow::Result<Vec<String>> {
        let mut answer = self.ask(&json!({ "do": "crash_files", "phone": udid })).await?;
        serde_json::from_value(answer["files"].take()).context("a phone's crash files")
    }

    async fn ask(&self, question: &Value) -> anyhow::Result<Value> {
        let asked = async {
            let mut socket = UnixStream::connect(&self.socket)
                .await
                .with_context(|| format!("cannot connect to {}", self.socket.display()))?;
            socket.write_all(format!("{question}\n").as_bytes()).await?;
            let mut line = String::new();
            BufReader::new(socket).read_line(&mut line).await?;
            let answer: Value = serde_json::from_str(&line).context("the rack's answer")?;
            if answer["ok"] != json!(true) {
                bail!("the rack refused {question}: {}", answer["error"]);
            }
            Ok(answer)
        };
        tokio::time::timeout(ANSWER_LIMIT, asked).await.context("the rack did not answer")?
    }
}
