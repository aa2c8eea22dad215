//! The state of the whole, what can happen in it, and the laws.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use holdfast_scheduler::Event;
use holdfast_wire::id::{AttemptId, JobId, LeaseNumber};
use holdfast_wire::job::{JobClass, JobOutcome, JobState};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::time::Time;
use stateright::{Model, Property};

use crate::agent::{Agent, How};
use crate::broken::Broken;
use crate::daemon::{Daemon, Disk};
use crate::network::{Answer, Request};
use crate::nouns::{SILENT_AFTER, rack, report, spec, udid};

/// What may go wrong, and how often each: the bounds of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Deaths of the daemon.
    pub daemon_deaths: u8,
    /// Deaths of agents.
    pub agent_deaths: u8,
    /// Requests and answers that are lost, or said again.
    pub network: u8,
    /// Times that a phone is carried to the other rack.
    pub moves: u8,
    /// Times that racks are silent for too long.
    pub silences: u8,
    /// Jobs that are taken back, and leases that an operator takes away.
    pub commands: u8,
}

/// The lease protocol with a phone, two racks and two jobs.
#[derive(Debug, Clone, Copy)]
pub struct Leases {
    /// How much may go wrong.
    pub faults: Faults,
    /// The bug that is planted.
    pub broken: Broken,
    /// Once faults have stopped, so many rounds must be enough for every job; 0: not looked at.
    pub rounds: u8,
    /// How it begins.
    pub begins: Begins,
}

/// How the model begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// The phone runs an idle job; another one that goes before it is yet to come.
    Running,
    /// Behind it another idle job is staged already, as such jobs are over as soon as they begin; the one that is yet
    /// to come has it taken back.
    Staged,
}

/// Everything.
#[derive(Debug, Clone)]
pub struct State {
    /// The daemon.
    pub daemon: Daemon,
    /// Both agents.
    pub agents: [Agent; 2],
    /// Requests under way.
    pub requests: Vec<Request>,
    /// Answers under way.
    pub answers: Vec<Answer>,
    /// What may yet go wrong.
    pub left: Faults,
    /// The time.
    pub now: Time,
    /// The second job has been submitted.
    pub is_second_submitted: bool,
    /// The newest lease under which work has begun on the phone.
    pub newest: LeaseNumber,
    /// Attempts that an agent saw pass.
    pub passed: BTreeSet<AttemptId>,
    /// Laws that a step has broken.
    pub wrong: Vec<&'static str>,
    digest: u64,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The second job, more urgent, is submitted.
    Submit,
    /// A job is taken back.
    Cancel(u64),
    /// An operator takes the phone's lease away.
    Revoke,
    /// What the daemon has decided is on its disk.
    Commit,
    /// An answer leaves before that; only a daemon with that bug does so.
    AnswerEarly,
    /// An agent says what it has to say.
    Ask(usize),
    /// An agent takes its last request for lost, and asks again.
    AskAgain(usize),
    /// A request arrives.
    Arrive(usize),
    /// A request arrives, and will arrive once more.
    ArriveTwice(usize),
    /// A request is lost.
    LoseRequest(usize),
    /// An answer arrives.
    Answer(usize),
    /// An answer is lost.
    LoseAnswer(usize),
    /// What an agent has to begin on the phone begins.
    Begin(usize),
    /// What runs on the phone ends, the given way of those that there are.
    Finish(usize, usize),
    /// An agent writes down that it is over.
    Note(usize),
    /// The daemon dies and starts again.
    DaemonDies,
    /// An agent dies and starts again.
    AgentDies(usize),
    /// The phone is carried to the other rack.
    Move,
    /// So much time passes that every rack has been silent for too long.
    Silence,
}

/// The phone.
const PHONE: usize = 0;

/// Requests or answers of one rack that are under way at once, at most.
const UNDER_WAY_MAX: usize = 2;

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for State {}

impl Leases {
    /// The phone is on the first rack and runs an idle job; everything is committed and known.
    fn begin(self) -> State {
        let now = Time::from_unix_ms(1_000_000);
        let mut state = State {
            daemon: Daemon::new(now),
            agents: [Agent::new(0, [PHONE]), Agent::new(1, [])],
            requests: Vec::new(),
            answers: Vec::new(),
            left: self.faults,
            now,
            is_second_submitted: false,
            newest: LeaseNumber::default(),
            passed: BTreeSet::new(),
            wrong: Vec::new(),
            digest: 0,
        };
        let submitted = Event::JobSubmitted { job: JobId(1), spec: Box::new(spec(JobClass::Idle)) };
        let told = Event::PhoneReported { rack: rack(0), report: Box::new(report(PHONE, true)) };
        let spoke = |number| Event::RackSynced { rack: rack(number), held: vec![], idle: vec![] };
        state.daemon.hear(now, vec![submitted, told, spoke(0), spoke(1)], Broken::Nothing);
        let _nobody_asked = state.daemon.commit();
        self.step(&mut state, &Step::Ask(0));
        self.step(&mut state, &Step::Arrive(0));
        state.answers.extend(state.daemon.commit());
        self.step(&mut state, &Step::Answer(0));
        self.step(&mut state, &Step::Begin(0));
        if self.begins == Begins::Staged {
            for number in 2..4 {
                let spec = Box::new(spec(JobClass::Idle));
                state.daemon.hear(
                    now,
                    vec![Event::JobSubmitted { job: JobId(number), spec }],
                    Broken::Nothing,
                );
                let _nobody_asked = state.daemon.commit();
            }
            self.finish(&mut state, 0, 0);
            self.step(&mut state, &Step::Note(0));
            self.step(&mut state, &Step::Ask(0));
            self.step(&mut state, &Step::Arrive(0));
            state.answers.extend(state.daemon.commit());
            self.step(&mut state, &Step::Answer(0));
            self.step(&mut state, &Step::Begin(0));
        }
        state
    }

    /// The state after a step, without its digest.
    fn step(self, state: &mut State, step: &Step) {
        let broken = self.broken;
        let before = state.daemon.disk.clone();
        match *step {
            Step::Submit => {
                state.is_second_submitted = true;
                let (job, class) = match self.begins {
                    Begins::Running => (JobId(2), JobClass::Custom),
                    Begins::Staged => (JobId(4), JobClass::Crash),
                };
                let spec = Box::new(spec(class));
                self.tell(state, Event::JobSubmitted { job, spec });
            }
            Step::Cancel(job) => self.tell(state, Event::JobCancelled { job: JobId(job) }),
            Step::Revoke => {
                let reason = "by hand".to_owned();
                self.tell(state, Event::LeaseRevoked { phone: udid(PHONE), reason });
            }
            Step::Commit => state.answers.extend(state.daemon.commit()),
            Step::AnswerEarly => state.answers.extend(state.daemon.answer_early()),
            Step::Ask(number) | Step::AskAgain(number) => {
                let request = state.agents[number].request();
                state.requests.push(request);
            }
            Step::Arrive(place) => {
                let request = state.requests.remove(place);
                state.daemon.take(state.now, &request, broken);
            }
            Step::ArriveTwice(place) => {
                let request = state.requests[place].clone();
                state.daemon.take(state.now, &request, broken);
            }
            Step::LoseRequest(place) => drop(state.requests.remove(place)),
            Step::Answer(place) => {
                let answer = state.answers.remove(place);
                state.agents[answer.rack].obey(answer, broken);
            }
            Step::LoseAnswer(place) => drop(state.answers.remove(place)),
            Step::Begin(number) => {
                if let Some(lease) = state.agents[number].begin(PHONE, broken) {
                    if lease <= state.newest {
                        state.wrong.push("no phone obeys an older lease after a newer one");
                    }
                    state.newest = state.newest.max(lease);
                }
            }
            Step::Finish(number, way) => self.finish(state, number, way),
            Step::Note(number) => state.agents[number].note(PHONE),
            Step::DaemonDies => {
                // Requests hang on the connection to the process that died.
                state.requests.clear();
                state.daemon.die(state.now);
            }
            Step::AgentDies(number) => {
                state.agents[number].die();
                state.answers.retain(|answer| answer.rack != number);
            }
            Step::Move => {
                for agent in &mut state.agents {
                    let is_here = agent.seats.get(&PHONE).is_some_and(|seat| seat.is_here);
                    agent.plug(PHONE, !is_here);
                }
            }
            Step::Silence => {
                state.now = state.now.after(SILENT_AFTER + Duration::from_secs(1));
                self.tell(state, Event::TimeReached);
            }
        }
        spend(&mut state.left, step);
        // When it comes to its disk makes a difference only to a daemon that may die before.
        if state.left.daemon_deaths == 0 && broken != Broken::OrderBeforeCommit {
            state.answers.extend(state.daemon.commit());
        }
        state.judge(&before);
    }

    fn tell(self, state: &mut State, event: Event) {
        state.daemon.hear(state.now, vec![event], self.broken);
    }

    fn finish(self, state: &mut State, number: usize, way: usize) {
        let seat = state.agents[number].seats.get(&PHONE);
        let Some(running) = seat.and_then(|seat| seat.running.as_ref()) else { return };
        let Some(end) = Agent::ends(running).into_iter().nth(way) else { return };
        if end == AttemptEnd::Passed {
            state.passed.insert(running.attempt);
        }
        state.agents[number].finish(PHONE, end);
    }

    /// Faults have stopped: everybody does in turn what is to be done, and every job must come to its end.
    fn comes_to_an_end(self, state: &State) -> bool {
        let mut state = state.clone();
        if !state.is_second_submitted {
            state.daemon.commit();
            self.step(&mut state, &Step::Submit);
        }
        for _ in 0..self.rounds {
            for number in 0..2 {
                state.answers.extend(state.daemon.commit());
                self.step(&mut state, &Step::Ask(number));
                let last = state.requests.len() - 1;
                self.step(&mut state, &Step::Arrive(last));
                state.answers.extend(state.daemon.commit());
                while !state.answers.is_empty() {
                    self.step(&mut state, &Step::Answer(0));
                }
                self.step(&mut state, &Step::Finish(number, 0));
                self.step(&mut state, &Step::Begin(number));
                self.step(&mut state, &Step::Note(number));
            }
            if state.all_ended() {
                return true;
            }
        }
        false
    }
}

fn spend(left: &mut Faults, step: &Step) {
    match step {
        Step::Cancel(_) | Step::Revoke => left.commands -= 1,
        Step::AskAgain(_) | Step::ArriveTwice(_) | Step::LoseRequest(_) | Step::LoseAnswer(_) => {
            left.network -= 1;
        }
        Step::DaemonDies => left.daemon_deaths -= 1,
        Step::AgentDies(_) => left.agent_deaths -= 1,
        Step::Move => left.moves -= 1,
        Step::Silence => left.silences -= 1,
        Step::Submit
        | Step::Commit
        | Step::AnswerEarly
        | Step::Ask(_)
        | Step::Arrive(_)
        | Step::Answer(_)
        | Step::Begin(_)
        | Step::Finish(..)
        | Step::Note(_) => {}
    }
}

impl State {
    /// Whether every job is over that was ever recorded.
    pub fn all_ended(&self) -> bool {
        self.daemon.disk.jobs.values().all(|job| matches!(job.state, JobState::Ended { .. }))
    }

    /// What works on the phone: its rack is where it is plugged in.
    fn at_work(&self) -> impl Iterator<Item = (AttemptId, LeaseNumber)> {
        let seats = self.agents.iter().filter_map(|agent| agent.seats.get(&PHONE));
        let running = seats.filter(|seat| seat.is_here).filter_map(|seat| seat.running.as_ref());
        let works = running.filter(|running| matches!(running.how, How::Works | How::Revoked | How::Yields));
        works.map(|running| (running.attempt, running.lease))
    }

    /// Laws about what a step has changed on the daemon's disk.
    fn judge(&mut self, before: &Disk) {
        for (id, job) in &self.daemon.disk.jobs {
            let Some(old) = before.jobs.get(id) else { continue };
            if matches!(old.state, JobState::Ended { .. }) && old.state != job.state {
                self.wrong.push("a job ends once");
            }
            let rewritten = old
                .attempts
                .iter()
                .zip(&job.attempts)
                .any(|(old, new)| old.ended.is_some() && old.ended != new.ended);
            if rewritten {
                self.wrong.push("an attempt that is over decides nothing more");
            }
        }
    }

    fn digested(mut self) -> Self {
        // Everything that can make a difference later, as text: records have no hash of their own.
        let mut text = String::new();
        let daemon = &self.daemon;
        let _always = write!(
            text,
            "{:?}|{:?}|{:?}|{daemon:?}|{:?}|{:?}|{:?}|{:?}|{:?}|{:?}",
            self.agents,
            self.requests,
            self.answers,
            self.left,
            self.now,
            self.is_second_submitted,
            self.newest,
            self.passed,
            self.wrong,
            daemon = daemon.text(),
        );
        let mut hasher = std::hash::DefaultHasher::new();
        text.hash(&mut hasher);
        self.digest = hasher.finish();
        self
    }
}

impl Model for Leases {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.begin().digested()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let (left, daemon) = (state.left, &state.daemon);
        if daemon.open.is_some() {
            steps.push(Step::Commit);
            if self.broken == Broken::OrderBeforeCommit && state.answers.is_empty() {
                steps.push(Step::AnswerEarly);
            }
        } else {
            if !state.is_second_submitted {
                steps.push(Step::Submit);
            }
            if left.commands > 0 {
                let open =
                    daemon.disk.jobs.values().filter(|job| !matches!(job.state, JobState::Ended { .. }));
                steps.extend(open.map(|job| Step::Cancel(job.id.0)));
                steps.extend(daemon.hold(PHONE).map(|_| Step::Revoke));
            }
            if left.silences > 0 {
                steps.push(Step::Silence);
            }
            for place in 0..state.requests.len() {
                steps.push(Step::Arrive(place));
                if left.network > 0 {
                    steps.push(Step::ArriveTwice(place));
                }
            }
        }
        if left.daemon_deaths > 0 {
            steps.push(Step::DaemonDies);
        }
        if left.network > 0 {
            steps.extend((0..state.requests.len()).map(Step::LoseRequest));
            steps.extend((0..state.answers.len()).map(Step::LoseAnswer));
        }
        steps.extend((0..state.answers.len()).map(Step::Answer));
        if left.moves > 0 {
            steps.push(Step::Move);
        }
        for (number, agent) in state.agents.iter().enumerate() {
            self.steps_of(state, number, agent, steps);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        self.step(&mut next, &step);
        let next = next.digested();
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            // A report of a phone that was carried back meanwhile may come so late that its rack was given up: then the
            // daemon looks for it where it is not, until the next report. Nothing begins there.
            Property::always("what works on a phone is what holds it", |model: &Self, state: &State| {
                let may_be_misled = model.faults.moves > 1 && model.faults.silences > 0;
                let is_its = |at_work| {
                    // What is staged may have begun already, until its rack has said that it did not.
                    let of_phone = [state.daemon.hold(PHONE), state.daemon.staged(PHONE)];
                    of_phone.contains(&Some(at_work))
                };
                may_be_misled || state.at_work().all(is_its)
            }),
            Property::always("one attempt works on a phone at a time", |_, state: &State| {
                state.at_work().count() <= 1
            }),
            Property::always("no phone obeys an older lease after a newer one", |_, state: &State| {
                !state.wrong.contains(&"no phone obeys an older lease after a newer one")
            }),
            Property::always("an attempt that is over decides nothing more", |_, state: &State| {
                !state.wrong.contains(&"an attempt that is over decides nothing more")
            }),
            Property::always("a job ends once", |_, state: &State| !state.wrong.contains(&"a job ends once")),
            Property::always("what is recorded as passed did pass", |_, state: &State| {
                state.daemon.disk.jobs.values().all(|job| {
                    let passed = job.attempts.iter().zip(1..).filter(|(attempt, _)| {
                        attempt.ended.as_ref().is_some_and(|ended| ended.end == AttemptEnd::Passed)
                    });
                    let mut passed = passed.map(|(_, number)| AttemptId { job: job.id, number }).peekable();
                    let has_passed = matches!(job.state, JobState::Ended { outcome: JobOutcome::Passed, .. });
                    (!has_passed || passed.peek().is_some())
                        && passed.all(|attempt| state.passed.contains(&attempt))
                })
            }),
            Property::always("once faults stop every job comes to its end", |model: &Self, state: &State| {
                model.rounds == 0 || model.comes_to_an_end(state)
            }),
            Property::sometimes("what was staged begins by itself", |_, state: &State| {
                let seat = state.agents[0].seats.get(&PHONE).and_then(|seat| seat.running.as_ref());
                let is_known = |job: &JobId| state.daemon.disk.jobs[job].state != JobState::Queued;
                seat.is_some_and(|running| running.attempt.job == JobId(3) && !is_known(&JobId(3)))
            }),
            Property::sometimes("what was staged is taken back and begun later", |_, state: &State| {
                let next = state.daemon.disk.jobs.get(&JobId(3));
                next.is_some_and(|job| {
                    let first = job.attempts.first();
                    first.is_some_and(|attempt| attempt.lease > LeaseNumber(3))
                })
            }),
            Property::sometimes("both jobs pass", |_, state: &State| {
                let is_passed = |job: &_| matches!(job, JobState::Ended { outcome: JobOutcome::Passed, .. });
                let jobs = &state.daemon.disk.jobs;
                jobs.len() == 2 && jobs.values().all(|job| is_passed(&job.state))
            }),
            Property::sometimes("work gives way and is begun again", |_, state: &State| {
                state
                    .daemon
                    .disk
                    .jobs
                    .get(&JobId(1))
                    .is_some_and(|job| job.yielded > 0 && job.attempts.len() > 1)
            }),
        ]
    }
}

impl Leases {
    fn steps_of(&self, state: &State, number: usize, agent: &Agent, steps: &mut Vec<Step>) {
        let under_way = state.requests.iter().filter(|request| request.rack == number).count()
            + state.answers.iter().filter(|answer| answer.rack == number).count();
        if !agent.seats.is_empty() {
            match under_way {
                0 => steps.push(Step::Ask(number)),
                _ if under_way < UNDER_WAY_MAX && state.left.network > 0 => {
                    steps.push(Step::AskAgain(number))
                }
                _ => {}
            }
        }
        if state.left.agent_deaths > 0 && !agent.seats.is_empty() {
            steps.push(Step::AgentDies(number));
        }
        let Some(seat) = agent.seats.get(&PHONE) else { return };
        match (&seat.running, &seat.pending) {
            (Some(running), _) => {
                steps.extend((0..Agent::ends(running).len()).map(|way| Step::Finish(number, way)));
            }
            (None, Some(_)) => steps.push(Step::Begin(number)),
            (None, None) if seat.disk.1.is_some() => steps.push(Step::Note(number)),
            (None, None) => {}
        }
    }
}
