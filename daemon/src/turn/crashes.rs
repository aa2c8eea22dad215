//! What the loop does with crashes: it finds their build and case, puts them into groups, and has groups follow what
//! operators decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_store::Store;
use holdfast_wire::api::{Act, Change, CrashView};
use holdfast_wire::build::Build;
use holdfast_wire::group::GroupDeed;
use holdfast_wire::id::{AttemptId, BuildHash, CaseName, GroupId};

use super::{Loop, Turn};
use crate::farm::{FarmError, Who};
use crate::groups::{BuildRuns, GroupRefused, Groups, Known, Moves, News, Regrouped, Signed};
use crate::records;

impl<S: Store> Loop<S> {
    /// A crash that is known already keeps what is known of it. Of the files of one incident the first is the crash; the
    /// others are kept and count nowhere.
    pub(super) fn keep_crash(
        &mut self,
        turn: &mut Turn,
        mut crash: CrashView,
    ) -> Result<Arc<CrashView>, FarmError> {
        if let Some(known) = self.picture.crashes.get(&crash.origin.id) {
            return Ok(known.clone());
        }
        self.find_build(&mut crash);
        crash.twin_of = self.picture.first_of_incident(&crash);
        if let Some(first) = crash.twin_of {
            tracing::info!(crash = %crash.origin.id.short(), first = %first.short(), "a twin of a crash");
            let twin = Arc::new(crash);
            self.show_crash(turn, &twin)?;
            return Ok(twin);
        }
        let mut groups = self.picture.groups.clone();
        let mut told = None;
        if let Some(filed) = groups.file(&mut crash, self.known()) {
            if filed.news != News::Again {
                tracing::info!(crash = %crash.origin.id.short(), group = %filed.group, news = ?filed.news, "a crash");
            }
            told = Some((filed.group.clone(), filed.news));
            turn.changes.push(Change::Group { id: filed.group });
            self.picture.groups = groups;
            self.record_groups(turn, filed.changed)?;
        }
        let crash = Arc::new(crash);
        self.show_crash(turn, &crash)?;
        if let Some((group, news)) = told {
            self.tell_of_crash(turn, &crash, &group, news)?;
        }
        Ok(crash)
    }

    pub(super) fn regroup(&mut self, turn: &mut Turn, signed: Signed) -> Result<usize, FarmError> {
        let mut groups = self.picture.groups.clone();
        let done = groups.regroup(signed, self.known());
        let moved = done.moved;
        self.take_regrouped(turn, groups, done)?;
        Ok(moved)
    }

    /// Takes groups over whose crashes are others now; what was told of these goes with them.
    fn take_regrouped(&mut self, turn: &mut Turn, groups: Groups, done: Regrouped) -> Result<(), FarmError> {
        let moves = Moves::of(&self.picture.groups, &groups, &self.picture.crashes, &done);
        self.picture.groups = groups;
        self.record_groups(turn, done.groups)?;
        for crash in done.crashes {
            self.show_crash(turn, &Arc::new(crash))?;
        }
        self.tell_of_moves(turn, &moves)
    }

    pub(super) fn change_group(
        &mut self,
        turn: &mut Turn,
        id: GroupId,
        deed: GroupDeed,
        who: Who,
    ) -> Result<Result<BTreeSet<GroupId>, GroupRefused>, FarmError> {
        let mut groups = self.picture.groups.clone();
        let done = match groups.act(&id, deed.clone(), self.known(), self.clock.now()) {
            Ok(done) => done,
            Err(refused) => return Ok(Err(refused)),
        };
        let changed = done.groups.clone();
        self.take_regrouped(turn, groups, done)?;
        self.tell_of_mend(turn, &id)?;
        self.note_deed(turn, who.did(Act::GroupChanged { group: id, deed }))?;
        Ok(Ok(changed))
    }

    /// Counts that a case of a build was run to its end.
    pub(super) fn count_run(
        &mut self,
        turn: &mut Turn,
        build: BuildHash,
        attempt: AttemptId,
        case: CaseName,
    ) -> Result<(), FarmError> {
        let known = self.picture.runs.get_mut(&build);
        let op = if let Some(runs) = known {
            Arc::make_mut(runs).count(attempt, case);
            records::put_build_runs(runs)?
        } else {
            let mut runs = BuildRuns::new(build);
            runs.count(attempt, case);
            let op = records::put_build_runs(&runs)?;
            self.picture.runs.insert(build, Arc::new(runs));
            op
        };
        turn.put(op);
        Ok(())
    }

    fn known(&self) -> Known<'_> {
        Known { crashes: &self.picture.crashes, builds: &self.picture.builds }
    }

    fn record_groups(
        &self,
        turn: &mut Turn,
        changed: impl IntoIterator<Item = GroupId>,
    ) -> Result<(), FarmError> {
        for id in changed {
            if let Some(group) = self.picture.groups.get(&id) {
                turn.put(records::put_group(&group.record)?);
            }
            turn.changes.push(Change::Group { id });
            turn.news = true;
        }
        Ok(())
    }

    fn show_crash(&mut self, turn: &mut Turn, crash: &Arc<CrashView>) -> Result<(), FarmError> {
        turn.put(records::put_crash(crash)?);
        turn.changes.push(Change::Crash { id: crash.origin.id });
        turn.news = true;
        self.picture.put_crash(crash.clone());
        Ok(())
    }

    /// Finds the build that crashed and the case that ran: by the job of its attempt when the program is its app, else
    /// by the UUID of the executable.
    fn find_build(&self, crash: &mut CrashView) {
        let job = crash.origin.attempt.and_then(|attempt| self.picture.jobs.get(&attempt.job));
        if let Some(job) = job {
            let build = self.picture.builds.get(&job.spec.build.hash);
            if build.is_some_and(|build| is_of(crash, build)) {
                crash.build = Some(job.spec.build.hash);
            }
            if let [only] = &job.spec.cases[..] {
                crash.case = Some(only.name.clone());
            }
            // What an agent says of a job is no case unless the job has it.
            if !job.spec.cases.iter().any(|case| Some(&case.name) == crash.case.as_ref()) {
                crash.case = None;
            }
        }
        if crash.build.is_none()
            && let Some(uuid) = &crash.slice_uuid
        {
            crash.build = self.picture.build_of_uuid(uuid).map(|build| build.identity.hash);
        }
    }
}

/// Whether it was this build's app that crashed, or a part of it.
fn is_of(crash: &CrashView, build: &Build) -> bool {
    let identity = &build.identity;
    let by_uuid = crash.slice_uuid.as_ref().is_some_and(|uuid| identity.uuids.contains(uuid));
    let by_name = crash.process.as_ref().is_some_and(|process| *process == identity.executable);
    let by_bundle = crash.bundle_id.as_deref().is_some_and(|bundle| {
        let own = identity.bundle_id.as_str();
        bundle == own || bundle.strip_prefix(own).is_some_and(|rest| rest.starts_with('.'))
    });
    by_uuid || by_name || by_bundle
}
