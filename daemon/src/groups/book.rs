//! All groups: where a crash goes, what operators do, what a new version of signatures moves. Changes are made in
//! memory and named; recording them is the loop's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast_crash::similarity;
use holdfast_wire::api::CrashView;
use holdfast_wire::build::Build;
use holdfast_wire::group::{CrashSignature, GroupDeed, GroupState};
use holdfast_wire::id::{BuildHash, CrashId, GroupId};
use holdfast_wire::time::Time;
use imbl::OrdMap;

use super::group::{Group, GroupRecord, Stats};

/// Crashes of a group whose stacks a new one is held against.
const COMPARED_MAX: usize = 8;
/// Characters of a name: a title of a page.
const NAME_CHARS_MAX: usize = 200;
/// Crashes that one split takes out: what was done is recorded with their names.
const SPLIT_MAX: usize = 200;
/// Seconds that a group is ignored at most, unless for good: a hundred years.
const IGNORED_S_MAX: u64 = 100 * 366 * 86_400;
/// Hexadecimal digits of a group's id.
const ID_DIGITS: usize = 16;

/// All groups. Copies share what they have in common.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    all: OrdMap<GroupId, Arc<Group>>,
    of_signature: OrdMap<GroupId, GroupId>,
}

/// What is known beside the groups.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Every crash.
    pub crashes: &'a OrdMap<CrashId, Arc<CrashView>>,
    /// Every build.
    pub builds: &'a OrdMap<BuildHash, Arc<Build>>,
}

/// Where a crash went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// The group that it counts into.
    pub group: GroupId,
    /// Groups whose records changed.
    pub changed: Vec<GroupId>,
    /// What is new about it.
    pub news: News,
}

/// What is new about a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The first of its group.
    First,
    /// The first of its group in this build.
    InBuild(BuildHash),
    /// It was fixed in this build.
    Regressed(BuildHash),
    /// Nothing.
    Again,
}

/// What an operator's deed, or a new version of signatures, changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Regrouped {
    /// Groups whose records changed.
    pub groups: BTreeSet<GroupId>,
    /// Crashes as they are now.
    pub crashes: Vec<CrashView>,
    /// How many of these are in another group than before.
    pub moved: usize,
}

/// Why something cannot be done with a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefused {
    /// There is none of this id.
    #[error("there is no crash group {0}; `holdfast group list` shows what there is")]
    Unknown(GroupId),
    /// It counts into another one.
    #[error(
        "group {group} was merged into {into}; do it there, or take it out first: holdfast group split {into} --group {group}"
    )]
    Merged {
        /// Which.
        group: GroupId,
        /// Into which.
        into: GroupId,
    },
    /// A group cannot be merged into itself.
    #[error("{0} is the same group")]
    Same(GroupId),
    /// The group to be taken out was not merged into this one.
    #[error("group {group} was not merged into {into}; `holdfast group show {into}` lists what was")]
    NotAbsorbed {
        /// Which.
        group: GroupId,
        /// Into which it was said to be merged.
        into: GroupId,
    },
    /// A crash to be taken out is none of this group.
    #[error("crash {} is not in group {group}", .crash.short())]
    NotInside {
        /// Which crash.
        crash: CrashId,
        /// Which group.
        group: GroupId,
    },
    /// A split names nothing.
    #[error("name the crashes that make a group of their own, or a group that was merged into this one")]
    Nothing,
    /// A split takes everything.
    #[error("these are all crashes of the group; rename it instead, or name fewer")]
    Everything,
    /// A split takes too many.
    #[error("{0} crashes are more than {SPLIT_MAX} in one request; send several")]
    TooMany(usize),
    /// A name that cannot be shown.
    #[error("a group's name has 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// A build that the farm does not have.
    #[error("there is no build {}; `holdfast build list` shows what there is", .0.short())]
    NoBuild(BuildHash),
}

impl Groups {
    /// Groups as recorded, with the crashes in them. A crash whose group was never recorded founds it again.
    pub fn restore<'a>(
        records: impl IntoIterator<Item = GroupRecord>,
        crashes: impl IntoIterator<Item = &'a CrashView>,
    ) -> Self {
        let mut groups = Self::default();
        for record in records {
            for signature in &record.signatures {
                groups.of_signature.insert(signature.clone(), record.id.clone());
            }
            groups.all.insert(record.id.clone(), Arc::new(Group { record, stats: Stats::default() }));
        }
        for crash in crashes {
            let (Some(home), Some(signature)) = (&crash.group, &crash.signature) else { continue };
            if !groups.all.contains_key(home) {
                groups.found(home.clone(), signature);
            }
            groups.change(home, |group| group.stats.add(crash));
        }
        groups
    }

    /// One group, as it is recorded.
    pub fn get(&self, id: &GroupId) -> Option<&Arc<Group>> {
        self.all.get(id)
    }

    /// Every group, those that were merged included.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.all.values()
    }

    /// The group that a group counts into: itself unless it was merged.
    pub fn standing(&self, id: &GroupId) -> Option<&Arc<Group>> {
        let mut group = self.all.get(id)?;
        // A circle cannot be made; a damaged store must not hang the daemon all the same.
        for _ in 0..self.all.len() {
            let GroupState::Merged { into } = &group.record.state else { return Some(group) };
            group = self.all.get(into)?;
        }
        None
    }

    /// What the crashes of a group and of those that were merged into it add up to. With merged groups it costs what
    /// there is to add: to look something up, the parts will do.
    pub fn stats(&self, group: &Group) -> Stats {
        let mut stats = group.stats.clone();
        self.parts(group).skip(1).for_each(|absorbed| stats.absorb(absorbed));
        stats
    }

    /// When a crash of a group, or of those that were merged into it, happened last.
    pub fn last(&self, group: &Group) -> Option<Time> {
        self.parts(group).filter_map(Stats::last).max()
    }

    /// The counts of a group itself, then those of groups that were merged into it.
    fn parts<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Stats> {
        let absorbed = group.record.absorbed.iter().filter_map(|id| self.all.get(id));
        std::iter::once(&group.stats).chain(absorbed.map(|group| &group.stats))
    }

    /// Puts a new crash where it belongs, and says there so; none when it has no signature.
    pub fn file(&mut self, crash: &mut CrashView, known: Known<'_>) -> Option<Filed> {
        let signature = crash.signature.clone()?;
        let mut changed = Vec::new();
        let home = match self.of_signature.get(&signature.id).cloned() {
            Some(home) => self.likest(&home, &signature.stack, known),
            None => {
                let id = self.free_id(&signature.id);
                self.found(id.clone(), &signature);
                changed.push(id.clone());
                id
            }
        };
        crash.group = Some(home.clone());
        let standing = self.standing(&home).map_or_else(|| home.clone(), |group| group.record.id.clone());
        let before = || self.all.get(&standing).into_iter().flat_map(|group| self.parts(group));
        let is_first = before().all(|part| part.crashes.is_empty());
        let knows_build =
            crash.build.is_some_and(|build| before().any(|part| part.builds.contains_key(&build)));
        self.change(&home, |group| group.stats.add(crash));
        let news = match crash.build {
            _ if is_first => News::First,
            Some(build) if self.reopen(&standing, build, known, super::group::happened(crash)) => {
                changed.push(standing.clone());
                News::Regressed(build)
            }
            Some(build) if !knows_build => News::InBuild(build),
            _ => News::Again,
        };
        Some(Filed { group: standing, changed, news })
    }

    /// Does what an operator wants.
    ///
    /// # Errors
    /// It cannot be done; nothing is changed then.
    pub fn act(
        &mut self,
        id: &GroupId,
        deed: GroupDeed,
        known: Known<'_>,
        now: Time,
    ) -> Result<Regrouped, GroupRefused> {
        let group = self.all.get(id).cloned().ok_or_else(|| GroupRefused::Unknown(id.clone()))?;
        if let GroupState::Merged { into } = &group.record.state {
            return Err(GroupRefused::Merged { group: id.clone(), into: into.clone() });
        }
        let mut done = Regrouped { groups: BTreeSet::from([id.clone()]), ..Regrouped::default() };
        match deed {
            GroupDeed::Rename { name } => {
                if name.as_deref().is_some_and(|name| !is_name(name)) {
                    return Err(GroupRefused::Name);
                }
                self.change(id, |group| group.record.name = name);
            }
            GroupDeed::Ignore { for_s } => {
                let until = for_s.map(|seconds| now.after(Duration::from_secs(seconds.min(IGNORED_S_MAX))));
                self.set_state(id, GroupState::Ignored { until });
            }
            GroupDeed::Reopen => self.set_state(id, GroupState::Open),
            GroupDeed::Fix { build } => {
                let since = match build {
                    Some(hash) => known.builds.get(&hash).ok_or(GroupRefused::NoBuild(hash))?.uploaded_at,
                    None => now,
                };
                self.set_state(id, GroupState::Fixed { build, since });
            }
            GroupDeed::Merge { into } => self.merge(&group, &into, &mut done)?,
            GroupDeed::Split { group: Some(absorbed), .. } => self.take_out(&group, &absorbed, &mut done)?,
            GroupDeed::Split { group: None, crashes } => self.split(&group, &crashes, known, &mut done)?,
        }
        Ok(done)
    }

    /// Takes new signatures of crashes in, all at once, so that a group stays one when all its crashes agree again: it
    /// keeps its id under the signature of most of them. An emptied group stands for the one that took most of it.
    pub fn regroup(
        &mut self,
        signed: BTreeMap<CrashId, Option<CrashSignature>>,
        known: Known<'_>,
    ) -> Regrouped {
        let mut done = Regrouped::default();
        let mut tally: BTreeMap<GroupId, BTreeMap<GroupId, usize>> = BTreeMap::new();
        for (id, signature) in &signed {
            let home = known.crashes.get(id).filter(|crash| !crash.placed_by_hand);
            let home = home.and_then(|crash| crash.group.clone());
            if let (Some(home), Some(signature)) = (home, signature) {
                *tally.entry(home).or_default().entry(signature.id.clone()).or_default() += 1;
            }
        }
        // A group follows most of its crashes; where two now agree, the larger one keeps its id.
        let mut claims: Vec<(Reverse<usize>, GroupId, GroupId)> = Vec::new();
        for (home, of) in tally {
            let all = self.all.get(&home).map_or(0, |group| group.stats.crashes.len());
            let most = of.into_iter().find(|(_, count)| count * 2 > all);
            claims.extend(most.map(|(signature, count)| (Reverse(count), home, signature)));
        }
        claims.sort();
        for (_, home, signature) in claims {
            if !self.of_signature.contains_key(&signature) {
                self.of_signature.insert(signature.clone(), home.clone());
                let words =
                    signed.values().flatten().find(|it| it.id == signature).map(|it| it.words.clone());
                self.change(&home, |group| {
                    group.record.signatures.push(signature);
                    // A function tells more than the offset that stood there while its symbols were missing.
                    group.record.signature = words.unwrap_or_else(|| group.record.signature.clone());
                });
                done.groups.insert(home);
            }
        }
        let mut went: BTreeMap<GroupId, BTreeMap<GroupId, usize>> = BTreeMap::new();
        for (id, signature) in signed {
            let Some(before) = known.crashes.get(&id) else { continue };
            let mut crash = CrashView { signature, ..(**before).clone() };
            // Neither a hand's choice moves with a signature, nor what counts nowhere.
            if crash.placed_by_hand || crash.twin_of.is_some() {
                done.crashes.push(crash);
                continue;
            }
            if let Some(home) = &before.group {
                self.change(home, |group| group.stats.remove(before));
            }
            crash.group = None;
            if let Some(filed) = self.file(&mut crash, known) {
                done.groups.extend(filed.changed);
            }
            if crash.group != before.group {
                done.moved += usize::from(before.group.is_some());
                if let (Some(from), Some(to)) = (before.group.clone(), crash.group.clone()) {
                    *went.entry(from).or_default().entry(to).or_default() += 1;
                }
            }
            done.crashes.push(crash);
        }
        for (from, to) in went {
            let is_empty = self.all.get(&from).is_some_and(|group| group.stats.crashes.is_empty());
            let largest = to.into_iter().max_by_key(|(_, count)| *count).map(|(to, _)| to);
            let group = self.all.get(&from).filter(|_| is_empty).cloned();
            if let (Some(group), Some(to)) = (group, largest)
                && !matches!(group.record.state, GroupState::Merged { .. })
            {
                // That it cannot be merged is no harm: an empty group stays and says so.
                let _stays = self.merge(&group, &to, &mut done);
            }
        }
        done
    }

    fn merge(&mut self, group: &Group, into: &GroupId, done: &mut Regrouped) -> Result<(), GroupRefused> {
        let id = &group.record.id;
        let target =
            self.standing(into).ok_or_else(|| GroupRefused::Unknown(into.clone()))?.record.id.clone();
        if target == *id {
            return Err(GroupRefused::Same(target));
        }
        let moving: Vec<GroupId> = std::iter::once(id).chain(&group.record.absorbed).cloned().collect();
        for one in &moving {
            self.set_state(one, GroupState::Merged { into: target.clone() });
        }
        self.change(id, |group| group.record.absorbed.clear());
        self.change(&target, |group| group.record.absorbed.extend(moving.iter().cloned()));
        done.groups.extend(moving);
        done.groups.insert(target);
        Ok(())
    }

    fn take_out(
        &mut self,
        group: &Group,
        absorbed: &GroupId,
        done: &mut Regrouped,
    ) -> Result<(), GroupRefused> {
        let id = &group.record.id;
        if !group.record.absorbed.contains(absorbed) {
            return Err(GroupRefused::NotAbsorbed { group: absorbed.clone(), into: id.clone() });
        }
        self.set_state(absorbed, GroupState::Open);
        self.change(id, |group| group.record.absorbed.retain(|one| one != absorbed));
        done.groups.insert(absorbed.clone());
        Ok(())
    }

    fn split(
        &mut self,
        group: &Group,
        crashes: &[CrashId],
        known: Known<'_>,
        done: &mut Regrouped,
    ) -> Result<(), GroupRefused> {
        let id = &group.record.id;
        let named: BTreeSet<CrashId> = crashes.iter().copied().collect();
        let Some(first) = named.first() else { return Err(GroupRefused::Nothing) };
        if named.len() > SPLIT_MAX {
            return Err(GroupRefused::TooMany(named.len()));
        }
        let mut moving = Vec::new();
        for crash in &named {
            let inside = known.crashes.get(crash).filter(|crash| {
                crash.group.as_ref().is_some_and(|home| home == id || group.record.absorbed.contains(home))
            });
            moving.push(inside.ok_or(GroupRefused::NotInside { crash: *crash, group: id.clone() })?);
        }
        if moving.len() == self.parts(group).map(|part| part.crashes.len()).sum::<usize>() {
            return Err(GroupRefused::Everything);
        }
        let new = self.free_id(&short_id(first).unwrap_or_else(|| id.clone()));
        self.all.insert(
            new.clone(),
            Arc::new(Group::founded(new.clone(), group.record.signature.clone(), Vec::new())),
        );
        for crash in moving {
            let home = crash.group.clone().unwrap_or_else(|| id.clone());
            self.change(&home, |group| {
                group.stats.remove(crash);
                if !group.record.split_off.contains(&new) {
                    group.record.split_off.push(new.clone());
                }
            });
            let crash = CrashView { group: Some(new.clone()), placed_by_hand: true, ..(**crash).clone() };
            self.change(&new, |group| group.stats.add(&crash));
            done.groups.insert(home);
            done.crashes.push(crash);
        }
        done.moved = done.crashes.len();
        done.groups.insert(new);
        Ok(())
    }

    /// Of a signature's group and those that were split off, the one whose crashes have the likest stacks.
    fn likest(&self, home: &GroupId, stack: &[String], known: Known<'_>) -> GroupId {
        let split_off = self.all.get(home).map(|group| group.record.split_off.clone()).unwrap_or_default();
        let alike = |id: &GroupId| {
            let crashes = self.all.get(id).map(|group| group.stats.crashes.clone()).unwrap_or_default();
            let stacks = crashes.iter().take(COMPARED_MAX).filter_map(|(_, id)| known.crashes.get(id));
            let stacks = stacks.filter_map(|crash| crash.signature.as_ref());
            stacks.map(|signature| similarity(&signature.stack, stack)).fold(0.0, f64::max)
        };
        let mut best = (home.clone(), if split_off.is_empty() { 1.0 } else { alike(home) });
        for id in split_off {
            let alike = alike(&id);
            if alike > best.1 {
                best = (id, alike);
            }
        }
        best.0
    }

    /// Reopens a group that was fixed before this build. Says whether it did.
    fn reopen(&mut self, id: &GroupId, build: BuildHash, known: Known<'_>, at: Time) -> bool {
        let Some(GroupState::Fixed { since, .. }) = self.all.get(id).map(|group| &group.record.state) else {
            return false;
        };
        let has_the_mend = known.builds.get(&build).is_some_and(|build| build.uploaded_at >= *since);
        if has_the_mend {
            self.set_state(id, GroupState::Regressed { build, at });
        }
        has_the_mend
    }

    fn found(&mut self, id: GroupId, signature: &CrashSignature) {
        self.of_signature.insert(signature.id.clone(), id.clone());
        let group = Group::founded(id.clone(), signature.words.clone(), vec![signature.id.clone()]);
        self.all.insert(id, Arc::new(group));
    }

    /// An id like this one that no group has.
    fn free_id(&self, wished: &GroupId) -> GroupId {
        let mut id = wished.clone();
        for number in 2_u32.. {
            if !self.all.contains_key(&id) {
                break;
            }
            id = format!("{wished}-{number}").parse().unwrap_or(id);
        }
        id
    }

    fn set_state(&mut self, id: &GroupId, state: GroupState) {
        self.change(id, |group| group.record.state = state);
    }

    fn change(&mut self, id: &GroupId, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.all.get_mut(id) {
            change(Arc::make_mut(group));
        }
    }
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=NAME_CHARS_MAX).contains(&length) && !name.trim().is_empty() && !name.chars().any(char::is_control)
}

fn short_id(crash: &CrashId) -> Option<GroupId> {
    crash.to_string().get(..ID_DIGITS)?.parse().ok()
}
