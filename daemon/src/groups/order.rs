//! The builds of an app and a branch in the order of their commits, and where a group stands in it. What the odds make of it
//! is `first_bad`'s.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_wire::build::Build;
use holdfast_wire::id::{BuildHash, BundleId, CaseName};

use super::first_bad::{attempts, cases};
use super::group::Stats;
use crate::commits::{History, Standing};
use crate::snapshot::Snapshot;

/// The builds of each app and branch in the order of their commits. They are sorted when somebody looks for the first time,
/// and that is kept until a build comes or a mirror shows more: every group of a branch asks for the same.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<BTreeMap<(BundleId, Option<String>), Ordered>>);

/// Builds in the order of their commits, oldest first.
type Ordered = Arc<Vec<Arc<Build>>>;

impl Lines {
    /// The builds of an app and a branch in the picture that these lines are of.
    fn of(&self, snapshot: &Snapshot, app: &BundleId, branch: &Option<String>) -> Ordered {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ordered = known.entry((app.clone(), branch.clone())).or_insert_with(|| {
            let builds = snapshot.builds.values();
            let builds =
                builds.filter(|build| build.identity.bundle_id == *app && build.origin.branch == *branch);
            Arc::new(in_order(builds.cloned().collect(), history(snapshot, app)))
        });
        ordered.clone()
    }
}

/// Where a group stands among the builds of its app and branch.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The builds in the order of their commits, oldest first.
    pub builds: Ordered,
    /// The place of the first of them in which the group was seen.
    pub first_bad: usize,
    /// The place of the last one before that which was tested without it.
    pub last_good: Option<usize>,
    /// The cases in which the group was seen; none when nobody knows.
    pub cases: BTreeSet<CaseName>,
}

/// The line of the build in which a group was seen first, one of a branch before others; none when no crash of the group has
/// a build that the farm knows.
pub(super) fn line(snapshot: &Snapshot, stats: &Stats) -> Option<Line> {
    let bad = stats.builds.keys().filter_map(|hash| snapshot.builds.get(hash));
    let of = bad.min_by_key(|build| (build.origin.branch.is_none(), build.uploaded_at))?;
    let builds = snapshot.lines().of(snapshot, &of.identity.bundle_id, &of.origin.branch);
    let is_bad = |hash: BuildHash| stats.builds.contains_key(&hash);
    let first_bad = builds.iter().position(|build| is_bad(build.identity.hash))?;
    let cases = cases(stats);
    let last_good =
        builds[..first_bad].iter().rposition(|build| attempts(snapshot, build.identity.hash, &cases) > 0);
    Some(Line { builds, first_bad, last_good, cases })
}

/// What the mirror of an app shows; none of an app without a mirror, and before it was read for the first time.
pub(super) fn history<'s>(snapshot: &'s Snapshot, app: &BundleId) -> Option<&'s History> {
    snapshot.histories.get(app).map(AsRef::as_ref)
}

/// Builds in the order of their commits: as the mirror has them; where it does not, a commit comes after its parents, as far
/// as uploads named them; else by when the farm first had it.
fn in_order(builds: Vec<Arc<Build>>, history: Option<&History>) -> Vec<Arc<Build>> {
    let commit = |build: &Build| build.origin.commit.clone();
    let standing = |build: &Build| match history?.standing(build.origin.commit.as_deref()?)? {
        Standing::At(place) => Some(Some(place)),
        Standing::Older => Some(None),
        Standing::Missing | Standing::Ambiguous | Standing::NoHash => None,
    };
    let mut in_mirror: Vec<(Option<u32>, usize)> =
        builds.iter().enumerate().filter_map(|(place, build)| Some((standing(build)?, place))).collect();
    in_mirror.sort_by_key(|(standing, place)| (*standing, builds[*place].uploaded_at));
    let is_in_mirror: BTreeSet<usize> = in_mirror.iter().map(|(_, place)| *place).collect();
    let of_commit: BTreeMap<String, usize> =
        builds.iter().enumerate().filter_map(|(place, build)| Some((commit(build)?, place))).collect();
    let mut after = After::new(builds.len());
    for pair in in_mirror.windows(2) {
        after.put(pair[0].1, pair[1].1);
    }
    for (place, build) in builds.iter().enumerate() {
        for parent in build.origin.parents.iter().filter_map(|parent| of_commit.get(parent)) {
            // What the mirror says of two commits is not for uploaders to say otherwise.
            if *parent != place && !(is_in_mirror.contains(parent) && is_in_mirror.contains(&place)) {
                after.put(*parent, place);
            }
        }
    }
    let uploaded = |place: usize| builds[place].uploaded_at;
    after.sorted(uploaded).into_iter().map(|place| builds[place].clone()).collect()
}

/// What has to come after what.
#[derive(Debug)]
struct After {
    before_left: Vec<usize>,
    after: Vec<Vec<usize>>,
}

impl After {
    fn new(count: usize) -> Self {
        Self { before_left: vec![0; count], after: vec![Vec::new(); count] }
    }

    fn put(&mut self, before: usize, after: usize) {
        self.before_left[after] += 1;
        self.after[before].push(after);
    }

    /// All of it in an order that keeps to that; what may come in any order comes by the key.
    fn sorted<K: Ord>(mut self, key: impl Fn(usize) -> K) -> Vec<usize> {
        let count = self.after.len();
        let turn = |place: usize| Reverse((key(place), place));
        let mut free: BinaryHeap<_> =
            (0..count).filter(|place| self.before_left[*place] == 0).map(turn).collect();
        let mut sorted = Vec::with_capacity(count);
        while let Some(Reverse((_, place))) = free.pop() {
            sorted.push(place);
            for next in std::mem::take(&mut self.after[place]) {
                self.before_left[next] -= 1;
                if self.before_left[next] == 0 {
                    free.push(turn(next));
                }
            }
        }
        // Commits that follow each other have no order; they come last rather than not at all.
        let mut left: Vec<usize> = (0..count).filter(|place| self.before_left[*place] > 0).collect();
        left.sort_by_key(|place| key(*place));
        sorted.extend(left);
        sorted
    }
}
