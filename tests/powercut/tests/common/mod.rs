//! What the crash test and the fault test share: running the workload, and checking what is left.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::{Command, Stdio};

use holdfast_powercut::recorder::{DiskFault, Recorder};
use holdfast_powercut::workload::{Contents, Ledger, Wrong};
use holdfast_store::{Key, Op, SledStore, Store, StoreError};

/// A folder in memory where there is one: thousands of disks are written.
pub(crate) fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Runs the workload under the recorder; answers its exit code.
pub(crate) fn run(
    recorder: &Recorder,
    engine: &str,
    transactions: u64,
    end: &str,
    fault: Option<DiskFault>,
) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_powercut-workload"));
    let folder = recorder.root().join("store");
    command.arg(engine).arg(folder).arg(recorder.marks()).arg(transactions.to_string()).arg(end);
    command.stderr(Stdio::piped());
    recorder.watch(&mut command);
    if let Some(fault) = fault {
        recorder.inject(&mut command, fault);
    }
    let output = command.output().unwrap();
    if output.status.code() != Some(0) && fault.is_none() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.code()
}

/// Opens what a crash left, judges it, commits once more, and finds all of it again.
pub(crate) fn check_mended(folder: &Path, ledger: &Ledger) -> Result<(), Wrong> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let checked = runtime.block_on(async {
        let folder = folder.join("store");
        let store = SledStore::open(&folder).await?;
        if let Err(wrong) = ledger.judge(&contents(&store).await?) {
            return Ok(Err(wrong));
        }
        let probe = Key::new("probe")?;
        store.commit(vec![], vec![Op::put(probe.clone(), "x")]).await?;
        let expected = contents(&store).await?;
        store.close().await?;
        let store = SledStore::open(&folder).await?;
        let found = contents(&store).await?;
        store.close().await?;
        if found != expected {
            return Ok(Err(Wrong::Unusable("reopening changed the contents".to_owned())));
        }
        Ok::<_, StoreError>(ledger.judge(&found))
    });
    checked.unwrap_or_else(|error| Err(Wrong::Unusable(error.to_string())))
}

async fn contents(store: &SledStore) -> Result<Contents, StoreError> {
    let page = store.scan_prefix(b"", None, usize::MAX).await?;
    Ok(page.entries.into_iter().map(|entry| (entry.key.to_vec(), entry.value.to_vec())).collect())
}
