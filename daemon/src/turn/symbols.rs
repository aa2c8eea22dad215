//! What symbols change of crashes that are kept already. The loop itself is `turn`.

use std::sync::Arc;

use holdfast_store::Store;
use holdfast_wire::api::{Change, CrashView};
use holdfast_wire::build::Build;
use holdfast_wire::id::{BlobHash, BuildHash};

use super::{FarmError, Loop, Turn};
use crate::groups::Signed;
use crate::records;
use crate::symbols::Named;

impl<S: Store> Loop<S> {
    /// Takes over where the symbols of a build are kept; none of a build that the farm does not know.
    pub(super) fn keep_symbols(
        &mut self,
        turn: &mut Turn,
        build: BuildHash,
        symbols: BlobHash,
    ) -> Result<Option<Arc<Build>>, FarmError> {
        let known = self.picture.builds.get(&build).cloned();
        let changed = known.map(|known| Build { symbols: Some(symbols), ..(*known).clone() });
        changed.map(|build| self.change_build(turn, build)).transpose()
    }

    /// Takes over new names, and says how many crashes they changed.
    pub(super) fn take_names(&mut self, turn: &mut Turn, named: Vec<Named>) -> Result<usize, FarmError> {
        let (mut changed, mut signed) = (0, Signed::new());
        for named in named {
            let Some(known) = self.picture.crashes.get(&named.id).filter(|crash| named.changes(crash)) else {
                continue;
            };
            let Named { id, top_frame, top_file, missing, signature } = named;
            if known.signature != signature {
                signed.insert(id, signature);
            }
            let crash =
                CrashView { top_frame, top_file, missing_symbols: Some(missing), ..(**known).clone() };
            turn.put(records::put_crash(&crash)?);
            turn.changes.push(Change::Crash { id });
            turn.news = true;
            self.picture.put_crash(Arc::new(crash));
            changed += 1;
        }
        if !signed.is_empty() {
            // Named frames tell a defect better than offsets do, so some go to another group.
            self.regroup(turn, signed)?;
        }
        Ok(changed)
    }
}
