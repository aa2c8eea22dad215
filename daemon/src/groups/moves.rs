//! Which crashes count into another group than before: by late symbols, a new version of signatures, or an operator. What
//! follows for people who were told of them is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_wire::api::CrashView;
use holdfast_wire::group::GroupState;
use holdfast_wire::id::{BuildHash, CrashId, GroupId};
use imbl::OrdMap;

use super::book::{Groups, Regrouped};

/// From where to where crashes went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// From a group to another: the builds of the crashes that went; none for those without one.
    pub crashes: BTreeMap<(GroupId, GroupId), BTreeSet<Option<BuildHash>>>,
    /// Groups that stand for themselves no more, and the one that each counts into.
    pub merged: BTreeMap<GroupId, GroupId>,
}

impl Moves {
    /// What became different between two books; `crashes` are those before.
    pub fn of(
        before: &Groups,
        after: &Groups,
        crashes: &OrdMap<CrashId, Arc<CrashView>>,
        done: &Regrouped,
    ) -> Self {
        let stands =
            |groups: &Groups, home: &GroupId| groups.standing(home).map(|group| group.record.id.clone());
        let mut moves = Self::default();
        for crash in &done.crashes {
            let home = crashes.get(&crash.origin.id).and_then(|crash| crash.group.as_ref());
            let from = home.and_then(|home| stands(before, home));
            let to = crash.group.as_ref().and_then(|home| stands(after, home));
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                moves.crashes.entry((from, to)).or_default().insert(crash.build);
            }
        }
        let is_merged = |groups: &Groups, id: &GroupId| {
            groups.get(id).is_some_and(|group| matches!(group.record.state, GroupState::Merged { .. }))
        };
        for id in &done.groups {
            if before.get(id).is_some()
                && !is_merged(before, id)
                && is_merged(after, id)
                && let Some(to) = stands(after, id)
            {
                moves.merged.insert(id.clone(), to);
            }
        }
        moves
    }
}
