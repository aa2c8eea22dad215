//! The whole farm in one thread: the daemon, its agents, the phones and the network between them, moved from one moment of
//! virtual time to the next. What must hold meanwhile is in `laws`.

use std::hash::{DefaultHasher, Hash, Hasher};

use holdfast_scheduler::Event;
use holdfast_wire::id::{JobId, Owner};
use holdfast_wire::job::JobState;
use holdfast_wire::time::Time;

use crate::agenda::{Around, Happening};
use crate::agent::Agent;
use crate::book::Book;
use crate::broken::{Broken, Verdict, holds};
use crate::daemon::{Answer, Ask, Clock, Connection, Daemon, Disk, Rules, Turn};
use crate::foretold::Foretold;
use crate::laws;
use crate::nouns::{BEGINNING_MS, key_of, owner, spec, udid};
use crate::phone::PretendPhone;
use crate::scenario::{Network, Scenario, Stroke};

/// How long a client waits for an answer to its submission before it sends it again.
const RESUBMIT_MS: u64 = 8_000;

/// How long a farm without faults may take to finish everything: far more than all of the work one after the other.
const FINISH_MS: u64 = 48 * 3_600_000;

/// Things that happen in one farm, at most: far more than any needs, so more means that it runs in circles.
const HAPPENINGS_MAX: u64 = 2_000_000;

/// What a run is asked to do beside holding the laws.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// Keep the story, line by line.
    pub story: bool,
    /// Work out a hash of all decisions.
    pub hash: bool,
    /// Ask when jobs will start, and hold it against the truth.
    pub foretell: bool,
}

/// What a run was like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events that the brain took in.
    pub events: u64,
    /// Jobs that were taken in.
    pub jobs: usize,
    /// Jobs that were staged on a phone which was soon to be free.
    pub staged: u64,
    /// Those of them that began there.
    pub went_on: u64,
    /// Virtual time, milliseconds.
    pub span_ms: u64,
    /// The hash of all decisions, if it was asked for.
    pub hash: u64,
}

/// A farm on its way.
pub struct World {
    scenario: Scenario,
    wish: Wish,
    around: Around,
    agents: Vec<Agent>,
    disk: Disk,
    daemon: Option<Daemon>,
    life: u64,
    rules: Rules,
    wall_offset_ms: i64,
    commit_ms: u64,
    book: Book,
    specs: std::collections::BTreeMap<usize, Box<holdfast_wire::job::JobSpec>>,
    events: u64,
    staged: u64,
    went_on: u64,
    happenings: u64,
    /// Guesses about starts, if they were asked for.
    pub foretold: Option<Foretold>,
    hasher: DefaultHasher,
    wake_timer: Option<u64>,
}

impl World {
    /// At the beginning of a scenario.
    pub fn new(scenario: Scenario, wish: Wish) -> Self {
        let racks = scenario.racks.max(1);
        let phones = scenario.phones.iter().cloned().enumerate();
        let phones = phones.map(|(number, make)| PretendPhone::new(number, make, number % racks)).collect();
        let rules = Rules::Chosen(scenario.policy);
        Self {
            around: Around::new(scenario.seed, phones, wish.story.then(Vec::new)),
            agents: (0..racks).map(Agent::new).collect(),
            disk: Disk::default(),
            daemon: None,
            life: 0,
            rules,
            wall_offset_ms: 0,
            commit_ms: 5,
            book: Book::new(rules.policy()),
            specs: std::collections::BTreeMap::new(),
            events: 0,
            staged: 0,
            went_on: 0,
            happenings: 0,
            foretold: wish.foretell.then(|| Foretold::new(scenario.seed)),
            hasher: DefaultHasher::new(),
            wake_timer: None,
            scenario,
            wish,
        }
    }

    /// What happened so far, line by line.
    pub fn story(&self) -> &[String] {
        self.around.story.as_deref().unwrap_or_default()
    }

    /// How long attempts of each owner have held phones until a moment of true time, milliseconds.
    pub fn served_ms(&self, until_ms: u64) -> std::collections::BTreeMap<Owner, u64> {
        let until = Time::from_unix_ms(BEGINNING_MS + i64::try_from(until_ms).unwrap_or(i64::MAX));
        let mut served = std::collections::BTreeMap::new();
        for job in self.disk.jobs.values() {
            let Some(owner) = &job.spec.owner else { continue };
            let held = job.attempts.iter().map(|attempt| {
                let end = attempt.ended.as_ref().map_or(until, |ended| ended.at.min(until));
                u64::try_from(end.since(attempt.leased_at).as_millis()).unwrap_or(u64::MAX)
            });
            *served.entry(owner.clone()).or_insert(0) += held.sum::<u64>();
        }
        served
    }

    /// Plays the scenario, then lets faults stop and waits until everything has come to its end.
    ///
    /// # Errors
    /// The first law that is broken.
    pub fn play(&mut self) -> Result<Figures, Broken> {
        self.start_daemon()?;
        for rack in 0..self.agents.len() {
            self.agents[rack].start(&mut self.around);
        }
        for (number, (at_ms, _)) in self.scenario.strokes.iter().enumerate() {
            self.around.after(*at_ms, Happening::Stroke(number));
        }
        let last_ms = self.scenario.strokes.last().map_or(0, |(at_ms, _)| *at_ms) + 1_000;
        self.go_on_until(last_ms)?;
        self.calm_down()?;
        let finish_ms = self.around.now_ms + FINISH_MS;
        let mut step_ms = self.around.now_ms;
        while !self.is_finished() {
            step_ms += 60_000;
            if step_ms > finish_ms {
                return Err(self.unfinished());
            }
            self.take_back_what_cannot_run();
            self.go_on_until(step_ms)?;
        }
        Ok(Figures {
            events: self.events,
            jobs: self.disk.jobs.len(),
            staged: self.staged,
            went_on: self.went_on,
            span_ms: self.around.now_ms,
            hash: self.hasher.finish(),
        })
    }

    fn go_on_until(&mut self, until_ms: u64) -> Verdict {
        while let Some(what) = self.around.next(until_ms) {
            self.happen(what)?;
            if let Some(broken) = self.around.broken.take() {
                return Err(broken);
            }
        }
        self.around.now_ms = until_ms;
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Verdict {
        self.happenings += 1;
        let seen = || "more happens than could".to_owned();
        holds("nothing_runs_in_circles", self.happenings <= HAPPENINGS_MAX, seen)?;
        match what {
            Happening::Stroke(number) => self.strike(number),
            Happening::Turn(life) if life == self.life => self.turn(),
            Happening::Committed(life) if life == self.life => self.committed(),
            Happening::Wake(life) if life == self.life => {
                self.wake_timer = None;
                self.turn()
            }
            Happening::Impatience(life) if life == self.life => {
                self.let_go();
                Ok(())
            }
            Happening::Turn(_) | Happening::Committed(_) | Happening::Wake(_) | Happening::Impatience(_) => {
                Ok(())
            }
            Happening::DaemonStarts => self.start_daemon(),
            Happening::Resubmit(number) => {
                self.submit(number);
                Ok(())
            }
            Happening::Request(from, request) => {
                self.arrive(from, request);
                Ok(())
            }
            Happening::Answer(to, reply) => {
                let agent = &mut self.agents[to.rack];
                if agent.is_alive && agent.life == to.life {
                    agent.answered(to.number, reply.map(|reply| *reply), &mut self.around);
                }
                Ok(())
            }
            Happening::AgentStarts(rack) => {
                if !self.agents[rack].is_alive {
                    self.around.tell(|| format!("agent {rack} starts"));
                    self.agents[rack].start(&mut self.around);
                }
                Ok(())
            }
            Happening::Plugged(phone, rack, time) => {
                self.plug(phone, rack, time);
                Ok(())
            }
            Happening::Inside(rack, life, what) => {
                let agent = &mut self.agents[rack];
                if agent.is_alive && agent.life == life {
                    agent.inside(what, &mut self.around);
                }
                Ok(())
            }
        }
    }

    // ---- the daemon ----

    fn wall(&self) -> Time {
        let passed = i64::try_from(self.around.now_ms).unwrap_or(i64::MAX);
        Time::from_unix_ms(BEGINNING_MS + passed + self.wall_offset_ms)
    }

    fn start_daemon(&mut self) -> Verdict {
        if self.daemon.is_some() {
            return Ok(());
        }
        self.life += 1;
        self.wake_timer = None;
        let clock = Clock::new(self.wall(), self.around.now_ms);
        let (daemon, _) = Daemon::start(&self.disk, self.rules, self.life, clock)
            .map_err(|error| Broken { law: "what_is_durable_makes_a_farm", seen: error.to_string() })?;
        self.around.tell(|| format!("the daemon starts, life {}", self.life));
        self.book.restart(&self.disk, &daemon.brain);
        self.daemon = Some(daemon);
        self.after_turn();
        Ok(())
    }

    fn kill_daemon(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        self.around.tell(|| "the daemon dies".to_owned());
        self.life += 1;
        if let Some(turn) = daemon.committing.take()
            && self.around.chance.happens(50)
        {
            // It reached the disk, and nobody was told.
            turn.commit(&mut self.disk);
        }
        let asked = daemon.inbox.into_iter().filter_map(|ask| match ask {
            Ask::Agent(from, _) => Some(from),
            Ask::Submit(..) | Ask::Tell(_) => None,
        });
        for from in asked.chain(daemon.held.iter().map(|held| held.to)) {
            self.answer(from, None);
        }
    }

    fn ask(&mut self, ask: Ask) {
        let Some(daemon) = &mut self.daemon else { return };
        daemon.inbox.push_back(ask);
        if daemon.committing.is_none() {
            self.around.after(0, Happening::Turn(self.life));
        }
    }

    fn arrive(&mut self, from: Connection, request: Box<holdfast_wire::sync::SyncRequest>) {
        if self.around.now_ms < self.agents[from.rack].cut_until_ms {
            return;
        }
        let Some(daemon) = &mut self.daemon else { return self.answer(from, None) };
        // What was overtaken is refused; its agent asks for something newer already.
        if daemon.note(&request, self.around.now_ms) {
            self.ask(Ask::Agent(from, request));
        }
    }

    fn turn(&mut self) -> Verdict {
        let wall = self.wall();
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        if daemon.committing.is_some() {
            return Ok(());
        }
        let now = daemon.clock.now(wall, self.around.now_ms);
        let mut turn = Turn::default();
        if daemon.wake_at.is_some_and(|at| at <= now) {
            daemon.wake_at = None;
            self.apply(&mut turn, Event::TimeReached)?;
        }
        let waiting = self.daemon.as_ref().map_or(0, |daemon| daemon.inbox.len());
        let all = self.around.chance.happens(80);
        let taken = if all { waiting } else { self.around.chance.place(waiting + 1) };
        for _ in 0..taken {
            let ask = self.daemon.as_mut().and_then(|daemon| daemon.inbox.pop_front());
            if let Some(ask) = ask {
                self.decide(&mut turn, ask)?;
            }
        }
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        let is_light = turn.is_empty();
        daemon.committing = Some(turn);
        if is_light {
            return self.committed();
        }
        let span = self.around.chance.between(1, self.commit_ms);
        self.around.after(span, Happening::Committed(self.life));
        Ok(())
    }

    fn decide(&mut self, turn: &mut Turn, ask: Ask) -> Verdict {
        match ask {
            Ask::Submit(number, spec) => {
                let Some(daemon) = &mut self.daemon else { return Ok(()) };
                let key = key_of(number);
                if let Some(job) = daemon.keys.get(&key) {
                    turn.answer(Answer::Submitted(number, *job));
                    return Ok(());
                }
                let job = daemon.brain.next_job().max(daemon.next_job);
                daemon.keys.insert(key, job);
                turn.submitted(key, job);
                turn.answer(Answer::Submitted(number, job));
                self.apply(turn, Event::JobSubmitted { job, spec })
            }
            Ask::Tell(event) => self.apply(turn, event),
            Ask::Agent(from, request) => {
                let (events, confirmed, crashes) = Daemon::events_of(&request);
                for event in events {
                    self.apply(turn, event)?;
                }
                turn.crashed(crashes);
                turn.answer(Answer::Agent(from, request, confirmed));
                Ok(())
            }
        }
    }

    fn apply(&mut self, turn: &mut Turn, event: Event) -> Verdict {
        let wall = self.wall();
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        let now = daemon.clock.now(wall, self.around.now_ms);
        self.events += 1;
        let decisions = daemon.brain.apply(now, event.clone());
        self.around.tell(|| crate::words::event(now, &event, &decisions));
        if self.wish.hash {
            format!("{decisions:?}").hash(&mut self.hasher);
        }
        turn.decided(&decisions);
        self.book.take(&event, &decisions, &daemon.brain);
        let last = &self.book.last;
        self.staged += last.stagings().count() as u64;
        self.went_on += (last.grants().count() - last.choices().count()) as u64;
        if let Some(foretold) = &mut self.foretold {
            foretold.look(&self.book, &daemon.brain, now);
        }
        laws::hold(&self.book, &daemon.brain, now, Some(&event))
    }

    fn committed(&mut self) -> Verdict {
        let Some(turn) = self.daemon.as_mut().and_then(|daemon| daemon.committing.take()) else {
            return Ok(());
        };
        let (decisions, answers) = turn.commit(&mut self.disk);
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        daemon.act(&decisions);
        for answer in answers {
            match answer {
                Answer::Submitted(number, job) => drop(self.book.promised.insert(key_of(number), job)),
                Answer::Agent(from, request, confirmed) => {
                    let Some(daemon) = &mut self.daemon else { continue };
                    let reply = daemon.take_in(from, &request, confirmed, self.around.now_ms);
                    match reply {
                        Some(reply) => self.answer(from, Some(Box::new(reply))),
                        None => self.around.after(request.wait_ms, Happening::Impatience(self.life)),
                    }
                }
            }
        }
        self.let_go();
        self.after_turn();
        Ok(())
    }

    /// Sends the answers that have waited long enough, or have something to say.
    fn let_go(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        let now_ms = self.around.now_ms;
        let held = std::mem::take(&mut daemon.held);
        let (due, rest): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|held| held.until_ms <= now_ms || daemon.has_news(held));
        daemon.held = rest;
        let replies: Vec<_> = due.iter().map(|held| (held.to, daemon.reply(held, Vec::new()))).collect();
        for (to, reply) in replies {
            self.answer(to, Some(Box::new(reply)));
        }
    }

    fn answer(&mut self, to: Connection, reply: Option<Box<holdfast_wire::sync::SyncReply>>) {
        let network = self.around.network;
        let lost = self.around.chance.happens(network.drops_percent);
        let cut = self.around.now_ms < self.agents[to.rack].cut_until_ms;
        if !lost && !cut {
            let way = self.around.chance.between(1, network.delay_max_ms);
            self.around.after(way, Happening::Answer(to, reply));
        }
    }

    fn after_turn(&mut self) {
        let wall = self.wall();
        let Some(daemon) = &mut self.daemon else { return };
        let now = daemon.clock.now(wall, self.around.now_ms);
        if !daemon.inbox.is_empty() {
            self.around.after(0, Happening::Turn(self.life));
        }
        let Some(at) = daemon.wake_at else { return };
        let span = u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX);
        let due_ms = self.around.now_ms.saturating_add(span);
        if self.wake_timer.is_none_or(|timer| due_ms < timer) {
            self.wake_timer = Some(due_ms);
            self.around.after(span, Happening::Wake(self.life));
        }
    }

    // ---- fortunes ----

    fn strike(&mut self, number: usize) -> Verdict {
        let Some((_, stroke)) = self.scenario.strokes.get(number).cloned() else { return Ok(()) };
        self.around.tell(|| format!("stroke {number}: {stroke:?}"));
        let phones = self.around.phones.len();
        let which = |phone: usize| udid(phone % phones);
        let seconds =
            |span: Option<u64>, now: Time| span.map(|s| now.after(std::time::Duration::from_secs(s)));
        let wall = self.wall();
        match stroke {
            Stroke::Nothing => {}
            Stroke::Submit(_) => self.submit(number),
            Stroke::Cancel(wish) => {
                let job = self.book.promised.get(&key_of(wish)).copied();
                if let Some(job) = job {
                    self.ask(Ask::Tell(Event::JobCancelled { job }));
                }
            }
            Stroke::Take(phone, span) => self.ask(Ask::Tell(Event::PhoneTaken {
                phone: which(phone),
                by: owner(3),
                reason: "to look at it".to_owned(),
                until: seconds(span, wall),
            })),
            Stroke::Release(phone) => self.ask(Ask::Tell(Event::PhoneReleased { phone: which(phone) })),
            Stroke::Quarantine(phone, span) => self.ask(Ask::Tell(Event::PhoneQuarantined {
                phone: which(phone),
                reason: "by hand".to_owned(),
                until: seconds(span, wall),
            })),
            Stroke::Revoke(phone) => {
                let reason = "by hand".to_owned();
                self.ask(Ask::Tell(Event::LeaseRevoked { phone: which(phone), reason }));
            }
            Stroke::Policy(number) => self.rule(Rules::Chosen(number)),
            Stroke::Move(phone, rack, span) => self.unplug(phone % phones, rack, span),
            Stroke::Unplug(phone, span) => {
                if let Some(rack) = self.around.phones[phone % phones].rack {
                    self.unplug(phone % phones, rack, span);
                }
            }
            Stroke::Change(phone, make) => self.around.phones[phone % phones].make = make,
            Stroke::Trouble(phone, trouble) => self.around.phones[phone % phones].trouble(trouble),
            Stroke::DaemonDies(span) => {
                self.kill_daemon();
                self.around.after(span * 1_000, Happening::DaemonStarts);
            }
            Stroke::AgentDies(rack, span) => {
                let rack = rack % self.agents.len();
                self.agents[rack].die();
                self.around.after(span * 1_000, Happening::AgentStarts(rack));
            }
            Stroke::Cut(rack, span) => {
                let rack = rack % self.agents.len();
                self.agents[rack].cut_until_ms = self.around.now_ms + span * 1_000;
            }
            Stroke::Network(network) => self.around.network = network,
            Stroke::ClockJumps(span) => self.wall_offset_ms += span * 1_000,
            Stroke::SlowDisk(span) => self.commit_ms = span.max(1),
        }
        Ok(())
    }

    fn rule(&mut self, rules: Rules) {
        self.rules = rules;
        self.ask(Ask::Tell(Event::PolicyChanged { policy: Box::new(rules.policy()) }));
    }

    fn submit(&mut self, number: usize) {
        if self.book.promised.contains_key(&key_of(number)) {
            return;
        }
        let Some((_, Stroke::Submit(wish))) = self.scenario.strokes.get(number) else { return };
        let now = self.around.time();
        let spec = self.specs.entry(number).or_insert_with(|| Box::new(spec(number, wish, now))).clone();
        self.ask(Ask::Submit(number, spec));
        self.around.after(RESUBMIT_MS, Happening::Resubmit(number));
    }

    fn unplug(&mut self, phone: usize, to: usize, span: u64) {
        let pretend = &mut self.around.phones[phone];
        pretend.plugged += 1;
        let time = pretend.plugged;
        if let Some(rack) = pretend.rack.take()
            && self.agents[rack].is_alive
        {
            self.agents[rack].detached(phone, &mut self.around);
        }
        self.around.after(span * 1_000, Happening::Plugged(phone, to % self.agents.len(), time));
    }

    fn plug(&mut self, phone: usize, rack: usize, time: u64) {
        let pretend = &mut self.around.phones[phone];
        if pretend.plugged != time {
            return;
        }
        pretend.rack = Some(rack);
        self.around.tell(|| format!("phone {phone} is plugged into rack {rack}"));
        if self.agents[rack].is_alive {
            self.agents[rack].attached(phone, &mut self.around);
        }
    }

    // ---- the end ----

    /// Faults stop: everybody is there, nothing is lost, phones are given back, and the rules let everything run. What
    /// nothing here can ever run is taken back.
    fn calm_down(&mut self) -> Verdict {
        self.around.tell(|| "faults stop".to_owned());
        self.around.network = Network::GOOD;
        self.commit_ms = 5;
        for rack in 0..self.agents.len() {
            self.agents[rack].cut_until_ms = 0;
            if !self.agents[rack].is_alive {
                self.agents[rack].start(&mut self.around);
            }
        }
        for phone in 0..self.around.phones.len() {
            self.around.phones[phone].heal();
            if self.around.phones[phone].rack.is_none() {
                self.around.phones[phone].plugged += 1;
                let time = self.around.phones[phone].plugged;
                self.plug(phone, phone % self.agents.len(), time);
            }
        }
        self.start_daemon()?;
        self.rule(Rules::Last);
        for phone in 0..self.around.phones.len() {
            self.ask(Ask::Tell(Event::PhoneReleased { phone: udid(phone) }));
        }
        let settled_ms = self.around.now_ms + 700_000;
        self.go_on_until(settled_ms)
    }

    fn take_back_what_cannot_run(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        let policy = daemon.brain.policy();
        let mut hopeless: Vec<JobId> = Vec::new();
        for (id, steps) in &self.book.waiting {
            let Some(job) = self.book.jobs.get(id) else { continue };
            let fitting = daemon.brain.phones().filter(|phone| {
                let term = steps.last().map(|(_, term)| term);
                crate::fit::fit(policy, &job.spec, term, phone.rack, phone.facts) != crate::fit::Fit::No
            });
            if fitting.count() < usize::from(job.spec.phones) {
                hopeless.push(*id);
            }
        }
        for job in hopeless {
            self.ask(Ask::Tell(Event::JobCancelled { job }));
        }
    }

    fn is_finished(&self) -> bool {
        let jobs = self.book.waiting.is_empty() && self.book.running.is_empty();
        let idle =
            self.daemon.as_ref().is_some_and(|daemon| daemon.committing.is_none() && daemon.inbox.is_empty());
        jobs && idle
            && self.specs.keys().all(|number| self.book.promised.contains_key(&key_of(*number)))
            && self.book.phones.values().all(|phone| phone.hold.is_none() && phone.next.is_none())
            && self.agents.iter().all(Agent::rests)
    }

    fn unfinished(&self) -> Broken {
        let open = self.book.jobs.values().filter(|job| !matches!(job.state, JobState::Ended { .. }));
        let open: Vec<String> = open
            .take(3)
            .map(|job| {
                let why = self.daemon.as_ref().and_then(|daemon| daemon.brain.waiting(job.id));
                format!("{} {} {:?} {why:?}", job.id, job.spec.class, job.state)
            })
            .collect();
        let held: Vec<String> = self
            .book
            .phones
            .values()
            .filter_map(|phone| Some(format!("{} {:?}", phone.facts.udid, phone.hold.as_ref()?)))
            .collect();
        let restless: Vec<usize> =
            self.agents.iter().filter(|agent| !agent.rests()).map(|agent| agent.rack).collect();
        let phones: Vec<String> = self
            .daemon
            .iter()
            .flat_map(|daemon| daemon.brain.phones().map(|phone| format!("{} {:?}", phone.udid, phone.state)))
            .collect();
        let seen = format!(
            "jobs {open:?}; phones {phones:?}, held {held:?}; agents with something left {restless:?}"
        );
        Broken { law: "everything_finishes_when_faults_stop", seen }
    }
}
