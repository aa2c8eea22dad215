//! The signature of a crash, and the task that signs what was signed by other rules or an earlier version before.

use std::collections::BTreeMap;

use holdfast_crash::{Report, Rules, SIGNATURE_VERSION};
use holdfast_wire::group::CrashSignature;
use holdfast_wire::id::CrashId;

use crate::blobs::Blobs;
use crate::crashes;
use crate::farm::{Ask, Farm, Stopping};
use crate::symbols::Symbols;

/// Characters of a signature's words: a title, and a bound on what a hostile file puts into the store.
const WORDS_MAX: usize = 300;

/// New signatures of crashes.
pub type Signed = BTreeMap<CrashId, Option<CrashSignature>>;

/// Signs a report.
pub fn sign(report: &Report, rules: &Rules) -> Option<CrashSignature> {
    let signature = holdfast_crash::signature(report, rules)?;
    Some(CrashSignature {
        id: signature.id().parse().ok()?,
        words: signature.to_string().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect(),
        version: SIGNATURE_VERSION,
        rules: rules.fingerprint(),
        stack: holdfast_crash::stack(report, rules),
    })
}

/// Whether a signature is as these rules would make it.
pub fn is_current(signature: &CrashSignature, rules: &Rules) -> bool {
    signature.version == SIGNATURE_VERSION && signature.rules == rules.fingerprint()
}

/// Signs every crash anew whose signature is not as the rules in force would make it, and has the groups follow.
///
/// # Errors
/// The daemon stops.
pub async fn sign_anew(farm: &Farm, blobs: &Blobs, symbols: &Symbols, rules: &Rules) -> Result<(), Stopping> {
    let snapshot = farm.snapshot();
    let old: Vec<CrashId> = snapshot
        .crashes
        .iter()
        .filter(|(_, crash)| crash.signature.as_ref().is_none_or(|signature| !is_current(signature, rules)))
        .map(|(id, _)| *id)
        .collect();
    let mut signed = Signed::new();
    for id in &old {
        match crashes::read(blobs, symbols, *id).await {
            Ok(Some(read)) => drop(signed.insert(*id, sign(&read.report, rules))),
            // What cannot be read now keeps its group, and is looked at again at the next start.
            Ok(None) => tracing::warn!(crash = %id, "the bytes of a crash are gone; it stays in its group"),
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(crash = %id, cause, "a crash cannot be read to sign it anew");
            }
        }
    }
    // What has no signature and gets none is as it was.
    signed.retain(|id, new| {
        new.is_some() || snapshot.crashes.get(id).is_some_and(|crash| crash.signature.is_some())
    });
    if signed.is_empty() {
        return Ok(());
    }
    let total = signed.len();
    let moved = farm.ask(|answer| Ask::Regroup { signed, answer }).await?;
    tracing::info!(signed = total, moved, version = SIGNATURE_VERSION, "crashes were signed anew");
    Ok(())
}
