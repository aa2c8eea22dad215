//! Symbols that come after the crash: which crashes wait for them, and the task that looks for new ones.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_crash::{Report, Rules};
use holdfast_symbols::{Contents, Trouble};
use holdfast_wire::api::CrashView;
use holdfast_wire::crash::MissingDsym;
use holdfast_wire::group::CrashSignature;
use holdfast_wire::id::CrashId;
use tokio_util::sync::CancellationToken;

use super::links::SourceRoots;
use super::shelf::Symbols;
use crate::blobs::Blobs;
use crate::crashes::{self, missing, top_file, top_frame};
use crate::farm::{Ask, Farm, Stopping};
use crate::groups::sign;
use crate::snapshot::Snapshot;

/// Crashes that are named before they are recorded: a group whose crashes are named together stays one, and a turn of the
/// loop stays below a second.
const NAMED_AT_ONCE: usize = 5_000;
/// dSYMs for which the symbol server is asked before crashes are named by what came.
const ASKED_AT_ONCE: usize = 20;
/// Between two looks into the searched folder, and for crashes that symbols came for while they were taken in.
const EVERY: Duration = Duration::from_secs(60);

/// What symbols change of a crash in lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub id: CrashId,
    /// The top frame of the app itself.
    pub top_frame: Option<String>,
    /// Its source file.
    pub top_file: Option<String>,
    /// Symbols that are still missing.
    pub missing: Vec<MissingDsym>,
    /// What it has in common with others of the same defect, which named frames tell better.
    pub signature: Option<CrashSignature>,
}

impl Named {
    /// What a report says now, signed by these rules.
    pub fn of(id: CrashId, report: &Report, rules: &Rules, roots: &SourceRoots) -> Self {
        let (top_frame, top_file) = (top_frame(report), top_file(report, roots));
        Self { id, top_frame, top_file, missing: missing(report), signature: sign(report, rules) }
    }

    /// Whether it says something new.
    pub fn changes(&self, crash: &CrashView) -> bool {
        crash.top_frame != self.top_frame
            || crash.top_file != self.top_file
            || crash.missing_symbols.as_ref() != Some(&self.missing)
            || crash.signature != self.signature
    }
}

/// Names the frames of every crash again that waits for symbols which are here now, and says how many changed.
///
/// # Errors
/// The daemon stops.
pub async fn name_waiting(
    farm: &Farm,
    blobs: &Blobs,
    symbols: &Symbols,
    rules: &Rules,
) -> Result<usize, Stopping> {
    let mut vain = symbols.naming.lock().await;
    let snapshot = farm.snapshot();
    let wanted: BTreeSet<&str> = snapshot
        .crashes
        .values()
        .filter_map(|crash| crash.missing_symbols.as_ref())
        .flatten()
        .map(|it| &*it.uuid)
        .collect();
    let here: BTreeSet<&str> = wanted.into_iter().filter(|uuid| symbols.library.knows(uuid)).collect();
    let waiting: Vec<&Arc<CrashView>> = snapshot
        .crashes
        .values()
        .filter(|crash| match &crash.missing_symbols {
            // Taken in before symbols were looked for.
            None => true,
            Some(missing) => missing
                .iter()
                .any(|it| here.contains(&*it.uuid) && !vain.contains(&(crash.origin.id, it.uuid.clone()))),
        })
        .collect();
    let (mut changed, mut named) = (0, Vec::new());
    for crash in waiting {
        let id = crash.origin.id;
        match crashes::read(blobs, symbols, id).await {
            Ok(Some(read)) => {
                named.extend(
                    Some(Named::of(id, &read.report, rules, &symbols.roots))
                        .filter(|named| named.changes(crash)),
                );
                let missing = missing(&read.report).into_iter().map(|it| it.uuid);
                vain.extend(missing.filter(|uuid| here.contains(&**uuid)).map(|uuid| (id, uuid)));
            }
            Ok(None) => {
                tracing::debug!(crash = %id, "the bytes of a crash are gone; it keeps its frames");
                let missing = crash.missing_symbols.iter().flatten();
                vain.extend(missing.map(|it| (id, it.uuid.clone())));
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(crash = %id, cause, "a crash cannot be read to name its frames");
            }
        }
        if named.len() >= NAMED_AT_ONCE {
            changed += record(farm, std::mem::take(&mut named)).await?;
        }
    }
    changed += record(farm, named).await?;
    if changed > 0 {
        tracing::info!(crashes = changed, "frames were named by symbols that came later");
    }
    Ok(changed)
}

/// Records new names.
///
/// # Errors
/// The daemon stops.
pub async fn record(farm: &Farm, named: Vec<Named>) -> Result<usize, Stopping> {
    if named.is_empty() {
        return Ok(0);
    }
    farm.ask(|answer| Ask::Named { named, answer }).await
}

/// Makes the tables of builds that have none yet, then looks for new dSYMs and for crashes that wait, until the daemon
/// stops.
pub async fn follow(farm: Farm, blobs: Blobs, symbols: Symbols, rules: Rules, stopping: CancellationToken) {
    make_missing(&farm, &blobs, &symbols).await;
    loop {
        if let Some(folder) = symbols.folder.clone() {
            search(&symbols, (*folder).clone()).await;
        }
        ask_server(&symbols, &farm.snapshot()).await;
        if name_waiting(&farm, &blobs, &symbols, &rules).await.is_err() {
            return;
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Asks the symbol server for what crashes miss, the newest crashes first, and says how much it gave.
pub async fn ask_server(symbols: &Symbols, snapshot: &Snapshot) -> usize {
    let Some(server) = &symbols.server else { return 0 };
    let newest = snapshot.crashes_newest.iter().filter_map(|(_, id)| snapshot.crashes.get(id));
    let mut wanted: Vec<&str> = Vec::new();
    for missing in newest.filter_map(|crash| crash.missing_symbols.as_ref()).flatten() {
        let uuid = missing.uuid.as_str();
        if wanted.len() == ASKED_AT_ONCE {
            break;
        }
        if !wanted.contains(&uuid) && !symbols.library.knows(uuid) && server.is_due(uuid) {
            wanted.push(uuid);
        }
    }
    let mut found = 0;
    for uuid in wanted {
        found += usize::from(server.fetch(&symbols.library, uuid).await);
    }
    found
}

/// Looks into the folder of other dSYMs once.
pub async fn search(symbols: &Symbols, folder: PathBuf) {
    let library = symbols.library.clone();
    match tokio::task::spawn_blocking(move || library.search(&folder)).await {
        Ok(Ok((fresh, troubles))) => {
            tell(&troubles);
            if !fresh.is_empty() {
                tracing::info!(uuids = fresh.len(), "new symbols were found in the searched folder");
            }
        }
        Ok(Err(error)) => {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(cause, "the folder of symbols cannot be searched");
        }
        Err(error) => tracing::warn!(%error, "the search for symbols broke off"),
    }
}

/// An upload is on disk before its tables are made, and a daemon may end in between.
async fn make_missing(farm: &Farm, blobs: &Blobs, symbols: &Symbols) {
    let snapshot = farm.snapshot();
    for build in snapshot.builds.values() {
        let Some(zip) = build.symbols else { continue };
        if build.identity.uuids.iter().any(|uuid| symbols.library.knows(uuid)) {
            continue;
        }
        let (path, library) = (blobs.path(&zip), symbols.library.clone());
        let made =
            tokio::task::spawn_blocking(move || Contents::of(&path).map(|contents| library.add(&contents)));
        match made.await {
            Ok(Ok(troubles)) => tell(&troubles),
            Ok(Err(error)) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(build = %build.identity.hash, cause, "the symbols of a build cannot be read");
            }
            Err(error) => {
                tracing::warn!(build = %build.identity.hash, %error, "the symbols of a build were not read")
            }
        }
    }
}

fn tell(troubles: &[Trouble]) {
    for trouble in troubles {
        tracing::warn!(file = trouble.file, what = trouble.what, "symbols cannot be used");
    }
}
