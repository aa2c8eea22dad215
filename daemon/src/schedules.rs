//! The timetable: which firings of the calendar are due, the job that each submits, and what is remembered of them so
//! that each is served exactly once. The loop submits the jobs and records the firings in the same transaction; what
//! schedules look like in a file is `config`'s, when one fires is `daemon/calendar`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_scheduler::JobRecord;
use holdfast_store::codec::{Kind, decode, encode};
use holdfast_store::{Entry, Op, StoreError};
use holdfast_wire::build::Build;
use holdfast_wire::id::{BuildHash, JobId, ScheduleName};
use holdfast_wire::job::JobSpec;
use holdfast_wire::time::Time;
use serde::{Deserialize, Serialize};

use crate::config::schedules::{Branch, Pick, Plan};
use crate::http::jobs::SPEC_BYTES_MAX;
use crate::snapshot::Snapshot;

/// Firings of schedules, by schedule.
pub const SCHEDULE: Kind = Kind::new("schedule");

/// The shape of the records so far.
const VERSION: u32 = 1;

/// A firing that is served later than this was missed: nobody was there. Less is the time of a restart or a long turn.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// Firings served in one turn: what one turn records must fit one transaction. The rest is served in the next.
const FIRINGS_PER_TURN_MAX: usize = 64;

/// Jobs that wait or run, at most: beyond them schedules submit nothing, however often they fire.
const JOBS_MAX: usize = 1_000_000;

/// Builds of a branch among which the least tested one is looked for, newest first: older ones tell little of today.
const CANDIDATES_MAX: usize = 1_000;

/// What is remembered of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The expression and the zone that it was remembered under: with others, what lies behind is no firing of theirs.
    cron: String,
    zone: String,
    /// Firings up to here have been dealt with.
    served_until: Time,
    /// The last firing that was served.
    pub last_fired: Option<Time>,
    /// The job that it submitted; none when it could not.
    pub last_job: Option<JobId>,
    /// Why it submitted nothing.
    pub problem: Option<String>,
}

/// A firing that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The schedule.
    pub schedule: ScheduleName,
    /// When it fired.
    pub firing: Time,
    /// The job to submit, or why there is none.
    pub what: Result<Box<JobSpec>, String>,
}

/// The schedules in force and what is remembered of them.
#[derive(Debug, Default)]
pub struct Timetable {
    plans: Arc<Vec<Plan>>,
    fired: BTreeMap<ScheduleName, Fired>,
    /// The next firing of each plan, in their order.
    next: Vec<Option<Time>>,
    /// Jobs of the farm by build.
    tests: BTreeMap<BuildHash, u32>,
    /// Jobs that have been counted: a bit for each, 64 in a row together, so that a million cost little.
    counted: BTreeMap<u64, u64>,
}

impl Timetable {
    /// What the store remembers of schedules. Plans come with [`Timetable::adopt`].
    ///
    /// # Errors
    /// A record is damaged or newer than this program.
    pub fn remembered(entries: &[Entry]) -> Result<Self, StoreError> {
        let mut fired = BTreeMap::new();
        for entry in entries {
            let name = SCHEDULE.name_of(&entry.key).and_then(|name| name.parse().ok());
            if let Some(name) = name {
                fired.insert(name, decode(&entry.key, &entry.value, VERSION)?);
            }
        }
        Ok(Self { fired, ..Self::default() })
    }

    /// Takes these plans into force. A plan that is new, or fires at other times than before, begins now; one that is
    /// gone is forgotten. The answer is what has to be recorded.
    ///
    /// # Errors
    /// The store's, when a record cannot be formed.
    pub fn adopt(&mut self, plans: Arc<Vec<Plan>>, now: Time) -> Result<Vec<Op>, StoreError> {
        let mut ops = Vec::new();
        let mut fired = BTreeMap::new();
        for plan in plans.iter() {
            let (cron, zone) = (plan.when.expression().to_owned(), plan.when.zone().to_owned());
            let before = self.fired.remove(&plan.name);
            let state = match before {
                Some(before) if before.cron == cron && before.zone == zone => before,
                before => {
                    let (last_fired, last_job) = before.map_or((None, None), |b| (b.last_fired, b.last_job));
                    let state = Fired { cron, zone, served_until: now, last_fired, last_job, problem: None };
                    ops.push(put(&plan.name, &state)?);
                    state
                }
            };
            fired.insert(plan.name.clone(), state);
        }
        for gone in self.fired.keys() {
            ops.push(Op::delete(SCHEDULE.name(gone.as_str())?));
        }
        self.next =
            plans.iter().map(|plan| plan.when.next_after(fired.get(&plan.name)?.served_until)).collect();
        (self.plans, self.fired) = (plans, fired);
        Ok(ops)
    }

    /// Takes note of a job, whoever submitted it. Each counts once, however often and in whatever order it is told of.
    pub fn saw_job(&mut self, job: &JobRecord) {
        let row = self.counted.entry(job.id.0 / 64).or_default();
        let bit = 1 << (job.id.0 % 64);
        if *row & bit == 0 {
            *row |= bit;
            *self.tests.entry(job.spec.build.hash).or_default() += 1;
        }
    }

    /// When the next firing is due.
    pub fn next_at(&self) -> Option<Time> {
        self.next.iter().flatten().min().copied()
    }

    /// The schedules in force.
    pub fn plans(&self) -> &Arc<Vec<Plan>> {
        &self.plans
    }

    /// What is remembered of them.
    pub fn fired(&self) -> &BTreeMap<ScheduleName, Fired> {
        &self.fired
    }

    /// Firings that are due, oldest first in each schedule; at most so many as fit a turn. Each of them is told of once:
    /// the caller submits it and records [`Timetable::record`] in one transaction.
    /// `jobs` is how many the farm has on its hands.
    pub fn due(&mut self, now: Time, snapshot: &Snapshot, jobs: usize) -> Vec<Due> {
        let mut due = Vec::new();
        let plans = self.plans.clone();
        for (plan, next) in plans.iter().zip(self.next.clone()) {
            let room = FIRINGS_PER_TURN_MAX - due.len();
            if next.is_none_or(|next| next > now) || room == 0 {
                continue;
            }
            let (firings, until) = self.to_serve(plan, now, room);
            for firing in firings {
                let what = if jobs + due.len() < JOBS_MAX {
                    self.spec(plan, now, snapshot)
                } else {
                    Err(format!(
                        "{JOBS_MAX} jobs wait or run already; have phones for them, or let it fire less often"
                    ))
                };
                due.push(Due { schedule: plan.name.clone(), firing, what });
            }
            self.served(plan, until);
        }
        due
    }

    /// The firings of a plan that are to be served, and up to when it is dealt with then.
    fn to_serve(&self, plan: &Plan, now: Time, room: usize) -> (Vec<Time>, Time) {
        let Some(fired) = self.fired.get(&plan.name) else { return (Vec::new(), now) };
        let after = fired.served_until;
        let late_ms = i64::try_from(LATE_AFTER.as_millis()).unwrap_or(i64::MAX);
        let late = Time::from_unix_ms(now.as_unix_ms().saturating_sub(late_ms)).max(after);
        let mut firings = plan.missed.to_serve(&plan.when, after, late, room);
        if firings.len() < room {
            firings.extend(plan.when.between(late, now, room - firings.len()));
        }
        let until = match firings.last() {
            Some(last) if firings.len() == room => *last,
            Some(_) | None => now,
        };
        (firings, until)
    }

    /// Firings of a plan up to here have been dealt with.
    fn served(&mut self, plan: &Plan, until: Time) {
        if let Some(fired) = self.fired.get_mut(&plan.name) {
            fired.served_until = fired.served_until.max(until);
        }
        let place = self.plans.iter().position(|other| other.name == plan.name);
        if let Some(next) = place.and_then(|place| self.next.get_mut(place)) {
            *next = plan.when.next_after(until);
        }
    }

    /// What has to be recorded once a firing has been served, in the transaction of its job.
    ///
    /// # Errors
    /// The store's, when the record cannot be formed.
    pub fn record(
        &mut self,
        schedule: &ScheduleName,
        firing: Time,
        job: Result<JobId, String>,
    ) -> Result<Option<Op>, StoreError> {
        let Some(fired) = self.fired.get_mut(schedule) else { return Ok(None) };
        fired.last_fired = Some(firing);
        (fired.last_job, fired.problem) = match job {
            Ok(job) => (Some(job), None),
            Err(problem) => (None, Some(problem)),
        };
        // The calendar's own place is what is recorded: firings between it and this one are dealt with too.
        put(schedule, fired).map(Some)
    }

    /// The job that a schedule submits now, out of turn or not; or why there is none.
    ///
    /// # Errors
    /// In words, what is missing.
    pub fn spec(&self, plan: &Plan, now: Time, snapshot: &Snapshot) -> Result<Box<JobSpec>, String> {
        let job = &plan.job;
        let build = self.find(&job.build, snapshot)?;
        let spec = JobSpec {
            class: job.class,
            build: Arc::new(build.identity.clone()),
            cases: job.cases.clone(),
            requirements: job.requirements.clone(),
            priority: job.priority,
            owner: job.owner.clone(),
            start_by: job.start_within.map(|within| now.after(within)),
            phones: job.phones,
            compare: None,
            content: None,
        };
        let size = serde_json::to_vec(&spec).map_or(usize::MAX, |bytes| bytes.len());
        if size > SPEC_BYTES_MAX {
            return Err(format!(
                "its job takes {size} bytes, and at most {SPEC_BYTES_MAX} are kept; name fewer cases"
            ));
        }
        Ok(Box::new(spec))
    }

    fn find<'a>(&self, pick: &'a Pick, snapshot: &'a Snapshot) -> Result<&'a Arc<Build>, String> {
        match pick {
            Pick::Hash(hash) => snapshot
                .builds
                .get(hash)
                .ok_or_else(|| format!("the farm has no build {}; upload it", hash.short())),
            Pick::Newest(branch) => {
                builds_of(branch, snapshot).next().ok_or_else(|| format!("there is {}", none_of(branch)))
            }
            Pick::LeastTested(branch) => {
                let tests = |build: &&Arc<Build>| self.tests.get(&build.identity.hash).copied().unwrap_or(0);
                // Of equals, the first is taken: the newest.
                let least = builds_of(branch, snapshot).take(CANDIDATES_MAX).min_by_key(tests);
                least.ok_or_else(|| format!("there is {}", none_of(branch)))
            }
        }
    }
}

fn builds_of<'a>(branch: &'a Branch, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Build>> {
    let newest = snapshot.builds_newest.iter().filter_map(|(_, hash)| snapshot.builds.get(hash));
    newest.filter(|build| {
        build.origin.branch.as_ref() == Some(&branch.name)
            && branch.bundle_id.as_ref().is_none_or(|app| *app == build.identity.bundle_id)
    })
}

fn none_of(branch: &Branch) -> String {
    let app = branch.bundle_id.as_ref().map(|app| format!(" of {app}")).unwrap_or_default();
    format!("no build{app} of branch {}; upload one with `holdfast build upload --branch {0}`", branch.name)
}

fn put(schedule: &ScheduleName, fired: &Fired) -> Result<Op, StoreError> {
    Ok(Op::put(SCHEDULE.name(schedule.as_str())?, encode(VERSION, fired)?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use holdfast_wire::build::{BuildIdentity, Origin};
    use holdfast_wire::job::JobState;
    use holdfast_wire::time::Time;

    use super::*;
    use crate::config::yaml::Source;
    use crate::config::{cases, schedules};

    fn at(text: &str) -> Time {
        Time::try_from(format!("2026-11-{text}Z")).unwrap()
    }

    /// Plans from a file with one case.
    fn plans(text: &str) -> Arc<Vec<Plan>> {
        let folder = tempfile::tempdir().unwrap();
        let case = "name: c\nowner: perf\nrun:\n  kind: launch\n  launches: 5\n";
        std::fs::write(folder.path().join("c.yaml"), case).unwrap();
        let catalogue = cases::read(folder.path()).unwrap();
        Arc::new(schedules::parse(&Source::of("s.yaml", text), Some(&catalogue)).unwrap())
    }

    fn hourly(missed: &str, pick: &str) -> Arc<Vec<Plan>> {
        plans(&format!(
            "schedules:\n  - name: s\n    cron: 0 * * * *\n    missed: {missed}\n    job:\n      class: idle\n      \
             build: {{branch: trunk, pick: {pick}}}\n      cases: [c]\n      start_within_s: 60\n"
        ))
    }

    fn build(number: u8, branch: &str, uploaded_at: Time) -> Arc<Build> {
        let identity = BuildIdentity {
            hash: BuildHash::new([number; 32]),
            size_bytes: 1,
            bundle_id: "a.b".parse().unwrap(),
            executable: "A".to_owned(),
            version: "1".to_owned(),
            build_number: number.to_string(),
            uuids: Vec::new(),
            minimum_os: None,
        };
        let origin = Origin { branch: Some(branch.to_owned()), ..Origin::default() };
        Arc::new(Build { identity, origin, uploaded_at, symbols: None })
    }

    fn farm() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (number, branch, day) in [(1, "trunk", 1), (2, "trunk", 2), (3, "feature", 3)] {
            snapshot.put_build(build(number, branch, at(&format!("{day:02}T00:00:00"))));
        }
        snapshot
    }

    fn restored(ops: Vec<Op>) -> Timetable {
        let entries: Vec<Entry> = ops
            .into_iter()
            .map(|op| match op {
                Op::Put { key, value } => {
                    Entry { key, value: value.into(), version: holdfast_store::Revision::ZERO }
                }
                Op::Delete { key } => unreachable!("{key} is not deleted"),
            })
            .collect();
        Timetable::remembered(&entries).unwrap()
    }

    /// Serves what is due: the firings, and the last record.
    fn serve(timetable: &mut Timetable, now: Time) -> (Vec<String>, Option<Op>) {
        let mut firings = Vec::new();
        let mut last = None;
        for due in timetable.due(now, &farm(), 0) {
            firings.push(due.firing.to_string()[11..16].to_owned());
            last = timetable.record(&due.schedule, due.firing, Ok(JobId(1))).unwrap().or(last);
        }
        (firings, last)
    }

    #[test]
    fn each_firing_is_served_once_whatever_is_missed() {
        // Adopted at 10:30, and down from 11:00:05 to a restart.
        let table = [
            ("skip", "21T14:30:00", vec![]),
            ("run_once", "21T14:30:00", vec!["14:00"]),
            ("run_all", "21T14:30:00", vec!["12:00", "13:00", "14:00"]),
            // What is a few seconds late was not missed: the program was starting.
            ("skip", "21T14:00:20", vec!["14:00"]),
            ("run_once", "21T14:00:20", vec!["13:00", "14:00"]),
            ("run_all", "21T14:00:20", vec!["12:00", "13:00", "14:00"]),
            ("run_all", "21T11:30:00", vec![]),
        ];
        for (missed, back, expected) in table {
            let plans = hourly(missed, "newest");
            let mut first = Timetable::default();
            assert_eq!(first.adopt(plans.clone(), at("21T10:30:00")).unwrap().len(), 1);
            assert_eq!(first.next_at(), Some(at("21T11:00:00")));
            assert_eq!(serve(&mut first, at("21T10:59:59")).0, Vec::<String>::new());
            let (firings, record) = serve(&mut first, at("21T11:00:05"));
            assert_eq!(firings, ["11:00"]);
            assert_eq!(serve(&mut first, at("21T11:00:06")).0, Vec::<String>::new(), "once");

            let mut second = restored(vec![record.unwrap()]);
            assert!(second.adopt(plans, at(back)).unwrap().is_empty(), "it is known already");
            let (firings, _) = serve(&mut second, at(back));
            assert_eq!(firings, expected, "{missed} {back}");
            assert_eq!(serve(&mut second, at(back)).0, Vec::<String>::new(), "once");
            assert_eq!(second.next_at().map(|next| next > at(back)), Some(true));
        }
    }

    /// Serves what is due in as many turns as it takes; the firings, and the last record if there is one.
    fn serve_all(timetable: &mut Timetable, now: Time, kept: &mut Option<Op>) -> Vec<Time> {
        let mut firings = Vec::new();
        while timetable.next_at().is_some_and(|next| next <= now) {
            for due in timetable.due(now, &farm(), 0) {
                firings.push(due.firing);
                *kept = timetable.record(&due.schedule, due.firing, Ok(JobId(1))).unwrap().or(kept.take());
            }
        }
        firings
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        /// Whatever the times at which the daemon looks, and whether it was started again before: no firing is served
        /// twice or before its time, all are when all count, and none that came in time is left out.
        #[test]
        fn no_firing_is_served_twice_and_none_in_time_is_left_out(
            looks in proptest::collection::vec((1_u64..20_000, proptest::bool::ANY), 1..12),
        ) {
            for missed in ["skip", "run_once", "run_all"] {
                let plans = plans(&format!(
                    "schedules:\n  - name: s\n    cron: \"*/7 * * * *\"\n    missed: {missed}\n    job: {{class: idle, \
                     build: {{branch: trunk}}, cases: [c]}}\n"
                ));
                let begun = at("21T10:30:00");
                let mut timetable = Timetable::default();
                let mut kept = timetable.adopt(plans.clone(), begun).unwrap().pop();
                let (mut now, mut before, mut served) = (begun, begun, Vec::new());
                for (seconds, restarted) in &looks {
                    now = now.after(Duration::from_secs(*seconds));
                    if *restarted {
                        timetable = restored(vec![kept.clone().unwrap()]);
                        timetable.adopt(plans.clone(), now).unwrap();
                    }
                    let firings = serve_all(&mut timetable, now, &mut kept);
                    let late = Time::from_unix_ms(now.as_unix_ms() - 60_000).max(before);
                    for in_time in plans[0].when.between(late, now, usize::MAX) {
                        proptest::prop_assert!(firings.contains(&in_time), "{missed}: {in_time} of {firings:?}");
                    }
                    let missed_ones = firings.iter().filter(|firing| **firing <= late).count();
                    let missed_max = match missed {
                        "skip" => 0,
                        "run_once" => 1,
                        _ => usize::MAX,
                    };
                    proptest::prop_assert!(missed_ones <= missed_max, "{missed}: {firings:?}");
                    served.extend(firings);
                    before = now;
                }
                proptest::prop_assert!(served.windows(2).all(|two| two[0] < two[1]), "{missed}: {served:?}");
                if missed == "run_all" {
                    proptest::prop_assert_eq!(served, plans[0].when.between(begun, now, usize::MAX));
                }
            }
        }
    }

    #[test]
    fn more_firings_than_a_turn_holds_are_served_in_the_next() {
        let plans = hourly("run_all", "newest");
        let mut timetable = Timetable::default();
        let _ops = timetable.adopt(plans, at("01T00:30:00")).unwrap();
        let now = at("05T00:30:00");
        let mut served = Vec::new();
        for expected in [64, 32, 0] {
            let (firings, _) = serve(&mut timetable, now);
            assert_eq!(firings.len(), expected);
            served.extend(firings);
            assert_eq!(timetable.next_at().is_some_and(|next| next <= now), expected == 64);
        }
        assert_eq!(served.len(), 4 * 24);
    }

    #[test]
    fn a_schedule_that_gets_other_times_begins_anew_and_one_that_is_gone_is_forgotten() {
        let mut timetable = Timetable::default();
        let _ops = timetable.adopt(hourly("run_all", "newest"), at("21T10:30:00")).unwrap();
        let _served = serve(&mut timetable, at("21T11:00:05"));
        let daily = plans(
            "schedules:\n  - name: s\n    cron: 30 11 * * *\n    missed: run_all\n    job: {class: idle, build: {branch: \
             trunk}, cases: [c]}\n",
        );
        let ops = timetable.adopt(daily, at("21T12:00:00")).unwrap();
        assert_eq!(ops.len(), 1);
        assert_eq!(serve(&mut timetable, at("21T12:00:00")).0, Vec::<String>::new(), "11:30 was not its own");
        assert_eq!(timetable.next_at(), Some(at("22T11:30:00")));
        assert_eq!(timetable.fired().values().next().unwrap().last_fired, Some(at("21T11:00:00")));
        let ops = timetable.adopt(Arc::default(), at("21T12:00:00")).unwrap();
        assert!(matches!(&ops[..], [Op::Delete { key }] if SCHEDULE.name_of(key) == Some("s")), "{ops:?}");
        assert_eq!(timetable.next_at(), None);
    }

    #[test]
    fn the_build_is_the_one_that_is_picked() {
        let job = |number: u64, hash: u8| JobRecord {
            id: JobId(number),
            spec: JobSpec {
                build: Arc::new(build(hash, "trunk", at("01T00:00:00")).identity.clone()),
                ..*Timetable::default()
                    .spec(&hourly("skip", "newest")[0], at("21T00:00:00"), &farm())
                    .unwrap()
            },
            submitted_at: at("21T00:00:00"),
            state: JobState::Queued,
            attempts: Vec::new(),
            cases_done: 0,
            failure: None,
            yielded: 0,
        };
        let table: [(&str, &[u8], u8); 5] = [
            ("newest", &[], 2),
            ("newest", &[2, 2], 2),
            ("least_tested", &[], 2),
            ("least_tested", &[2], 1),
            ("least_tested", &[2, 1, 1], 2),
        ];
        for (pick, tested, expected) in table {
            let mut timetable = Timetable::default();
            for (number, hash) in [70, 40, 10].into_iter().zip(tested) {
                timetable.saw_job(&job(number, *hash));
                timetable.saw_job(&job(number, *hash));
            }
            let now = at("21T11:00:00");
            let spec = timetable.spec(&hourly("skip", pick)[0], now, &farm()).unwrap();
            assert_eq!(spec.build.hash, BuildHash::new([expected; 32]), "{pick} {tested:?}");
            assert_eq!(spec.start_by, Some(at("21T11:01:00")));
        }
    }

    #[test]
    fn a_firing_without_a_build_says_so_and_the_next_one_tries_again() {
        let mut timetable = Timetable::default();
        let _ops = timetable.adopt(hourly("skip", "newest"), at("21T10:30:00")).unwrap();
        let due = timetable.due(at("21T11:00:00"), &Snapshot::default(), 0);
        let problem = due[0].what.clone().unwrap_err();
        assert_eq!(
            problem,
            "there is no build of branch trunk; upload one with `holdfast build upload --branch trunk`"
        );
        let _op = timetable.record(&due[0].schedule, due[0].firing, Err(problem.clone())).unwrap();
        assert_eq!(timetable.fired().values().next().unwrap().problem, Some(problem));
        assert!(timetable.due(at("21T12:00:00"), &farm(), 0)[0].what.is_ok());
        let full = timetable.due(at("21T13:00:00"), &farm(), JOBS_MAX);
        assert!(full[0].what.clone().unwrap_err().starts_with("1000000 jobs wait or run already"));
    }
}
