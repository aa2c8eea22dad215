//! The program that the crash test records: opens a store, lets several writers commit, and marks
//! what was begun and what was acknowledged. What it writes is decided in the library's `workload`.
//!
//! `powercut-workload ENGINE FOLDER MARKS TRANSACTIONS END`, where ENGINE is `mended`, `plain` or
//! `unchunked`, TRANSACTIONS counts those of each writer, and END is `close`, `compact` (and commit
//! some more, and close), `bulk` (with transactions of many megabytes beside) or `exit` (in the middle, without closing anything). Exit code 3: the store
//! stopped; 4: it could not be opened; 5: it answered after it had stopped.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_powercut::plain::{Mends, PlainStore};
use holdfast_powercut::workload::{BULK_WRITER, Change, Contents, WRITERS, transaction, transactions_in};
use holdfast_store::{Key, Limits, Op, SledStore, Store};

/// A disk that was made to fail may hang sled, in a commit as in opening or closing; the test need not wait for as long
/// as a farm does.
const LIMITS: Limits = Limits { commit: Duration::from_secs(5), whole: Duration::from_secs(30) };

enum Engine {
    Mended(SledStore),
    Plain(PlainStore),
}

impl Engine {
    async fn open(name: &str, folder: &str) -> Result<Self, String> {
        let folder = Path::new(folder);
        match name {
            "plain" => PlainStore::open(folder, Mends::Nothing).map(Self::Plain),
            "unchunked" => PlainStore::open(folder, Mends::AllButChunks).map(Self::Plain),
            _ => {
                let opened = SledStore::open_with(folder, LIMITS).await;
                opened.map(Self::Mended).map_err(|error| error.to_string())
            }
        }
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), String> {
        match self {
            Self::Plain(store) => store.commit(changes),
            Self::Mended(store) => {
                let ops = changes.into_iter().map(|(key, value)| {
                    let key = Key::new(key).map_err(|error| error.to_string())?;
                    Ok(match value {
                        Some(value) => Op::put(key, value),
                        None => Op::delete(key),
                    })
                });
                let ops = ops.collect::<Result<_, String>>()?;
                store.commit(vec![], ops).await.map(drop).map_err(|error| error.to_string())
            }
        }
    }

    async fn contents(&self) -> Result<Contents, String> {
        match self {
            Self::Plain(store) => store.contents(),
            Self::Mended(store) => {
                let page =
                    store.scan_prefix(b"", None, usize::MAX).await.map_err(|error| error.to_string())?;
                Ok(page.entries.into_iter().map(|entry| (entry.key.to_vec(), entry.value.to_vec())).collect())
            }
        }
    }

    async fn finish(&self, end: &str) -> Result<(), String> {
        match (self, end) {
            (Self::Mended(store), "compact") => {
                store.compact().await.map(drop).map_err(|error| error.to_string())
            }
            (Self::Mended(store), _) => store.close().await.map_err(|error| error.to_string()),
            (Self::Plain(_), _) => Ok(()),
        }
    }
}

/// Writes marks; each is one write, so that they never mix.
struct Marks(File);

impl Marks {
    fn say(&self, text: &str) {
        if let Err(error) = (&self.0).write_all(format!("{text}\n").as_bytes()) {
            eprintln!("cannot write marks: {error}");
            std::process::exit(2);
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, folder, marks, transactions, end] = arguments.as_slice() else {
        eprintln!("usage: powercut-workload ENGINE FOLDER MARKS TRANSACTIONS END");
        return ExitCode::from(2);
    };
    let (Ok(marks), Ok(transactions)) = (File::create(marks), transactions.parse::<u64>()) else {
        eprintln!("cannot open the file for marks, or TRANSACTIONS is no number");
        return ExitCode::from(2);
    };
    let marks = Arc::new(Marks(marks));
    marks.say("open-begin");
    let store = match Engine::open(engine, folder).await {
        Ok(store) => Arc::new(store),
        Err(error) => {
            eprintln!("cannot open: {error}");
            return ExitCode::from(4);
        }
    };
    marks.say("open-end");
    let outcome = run(&store, &marks, transactions, end).await;
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stopped: {error}");
            // A store that stopped must not answer anyone again.
            for _ in 0..3 {
                if store.commit(vec![(b"after".to_vec(), Some(vec![1]))]).await.is_ok()
                    || store.contents().await.is_ok()
                {
                    return ExitCode::from(5);
                }
            }
            ExitCode::from(3)
        }
    }
}

async fn run(store: &Arc<Engine>, marks: &Arc<Marks>, transactions: u64, end: &str) -> Result<(), String> {
    let exit_after = if end == "exit" { transactions * WRITERS as u64 / 2 } else { u64::MAX };
    let writers = if end == "bulk" { BULK_WRITER + 1 } else { WRITERS };
    write(store, marks, writers, transactions, exit_after).await?;
    if end == "compact" {
        marks.say("open-begin");
        store.finish("compact").await?;
        marks.say("open-end");
        write(store, marks, writers, transactions / 4, u64::MAX).await?;
    }
    store.finish("close").await
}

/// All writers at once, each going on where its data in the store ends.
async fn write(
    store: &Arc<Engine>,
    marks: &Arc<Marks>,
    writers: usize,
    transactions: u64,
    exit_after: u64,
) -> Result<(), String> {
    let contents = store.contents().await?;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, marks, acknowledged) =
                (Arc::clone(store), Arc::clone(marks), Arc::clone(&acknowledged));
            let done = transactions_in(&contents, writer);
            tokio::spawn(async move {
                for number in done + 1..=done + transactions {
                    marks.say(&format!("begin {writer} {number}"));
                    store.commit(transaction(writer, number)).await?;
                    marks.say(&format!("ack {writer} {number}"));
                    if acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == exit_after {
                        std::process::exit(0);
                    }
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    let mut outcome = Ok(());
    for writer in writers {
        outcome = outcome.and(writer.await.map_err(|error| error.to_string()).and_then(|result| result));
    }
    outcome
}
