//! What happens to a farm: phones, rules, and a list of strokes of fortune, all from one seed. A stroke can be left out
//! without changing the others, so that failures shrink.

use crate::chance::Chance;
use crate::nouns::{LABELS, OWNERS, wants};
use crate::policies::POLICIES;

/// A farm and its fortunes.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where it came from; chance on the way (delays, losses) follows from it too.
    pub seed: u64,
    /// How many racks there are.
    pub racks: usize,
    /// The phones; phone `n` begins on rack `n % racks`.
    pub phones: Vec<PhoneMake>,
    /// The rules at the beginning, by number.
    pub policy: usize,
    /// What happens when, milliseconds after the beginning, in order.
    pub strokes: Vec<(u64, Stroke)>,
}

/// What a phone is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneMake {
    /// Which model.
    pub model: usize,
    /// Which system.
    pub system: usize,
    /// Which labels.
    pub labels: Vec<usize>,
    /// Its charge.
    pub battery_percent: u8,
}

/// A job that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobWish {
    /// Which class.
    pub class: usize,
    /// Whose.
    pub owner: Option<usize>,
    /// Inside the class.
    pub priority: i32,
    /// Expires after so many seconds.
    pub start_within_s: Option<u64>,
    /// Which requirements.
    pub wants: usize,
    /// How many phones at once.
    pub phones: u16,
    /// Which comparison.
    pub compare: Option<usize>,
    /// Which build.
    pub build: u8,
    /// What is run.
    pub cases: Vec<CaseWish>,
}

/// One case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseWish {
    /// Launches.
    pub launches: u32,
    /// How long each stays.
    pub stay_ms: u64,
}

/// A stroke of fortune. Numbers choose among what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stroke {
    /// Left out, to make a failure small.
    Nothing,
    /// Somebody submits a job.
    Submit(Box<JobWish>),
    /// Somebody takes the job of a wish back.
    Cancel(usize),
    /// A person borrows a phone, for so many seconds or until it is given back.
    Take(usize, Option<u64>),
    /// A phone is given back and let out of quarantine.
    Release(usize),
    /// An operator keeps a phone from work, for so many seconds or until it is released.
    Quarantine(usize, Option<u64>),
    /// An operator takes a lease away.
    Revoke(usize),
    /// An operator chooses other rules.
    Policy(usize),
    /// A phone is carried to a rack, and is on its way for so many seconds.
    Move(usize, usize, u64),
    /// A phone leaves the bus for so many seconds.
    Unplug(usize, u64),
    /// A phone becomes another: system, charge, labels.
    Change(usize, PhoneMake),
    /// The next so many operations on a phone go wrong in one of the ways of [`Trouble`].
    Trouble(usize, Trouble),
    /// The daemon dies and comes back after so many seconds.
    DaemonDies(u64),
    /// An agent dies and comes back after so many seconds.
    AgentDies(usize, u64),
    /// Nothing passes between a rack and the daemon for so many seconds.
    Cut(usize, u64),
    /// The network from now on.
    Network(Network),
    /// The daemon's wall clock jumps by so many seconds.
    ClockJumps(i64),
    /// A commit takes so many milliseconds from now on.
    SlowDisk(u64),
}

/// How the next operation on a phone goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It never answers.
    Hangs,
    /// The install fails, and the phone is to blame.
    InstallFails,
    /// The app crashes in the launch, and leaves a report.
    AppCrashes,
    /// The build cannot be fetched.
    FetchFails,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Out of a hundred messages, so many are lost.
    pub drops_percent: u64,
    /// Out of a hundred requests, so many arrive twice.
    pub repeats_percent: u64,
    /// The longest way, milliseconds.
    pub delay_max_ms: u64,
}

impl Network {
    /// Nothing is lost.
    pub const GOOD: Self = Self { drops_percent: 0, repeats_percent: 0, delay_max_ms: 20 };
}

/// What kind of fortune a farm has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fortune {
    /// Nothing but jobs.
    Work,
    /// Jobs and operators, but nothing breaks.
    Calm,
    /// Everything that can break does.
    Stormy,
}

impl Scenario {
    /// The farm of a seed: one in four is calm.
    pub fn of(seed: u64) -> Self {
        let fortune = if seed % 4 == 3 { Fortune::Calm } else { Fortune::Stormy };
        Self::with(seed, fortune)
    }

    /// The farm of a seed with this kind of fortune.
    pub fn with(seed: u64, fortune: Fortune) -> Self {
        let mut chance = Chance::new(seed);
        let racks = usize::try_from(chance.between(1, 3)).unwrap_or(1);
        let phones = chance.between(1, 7);
        let phones: Vec<PhoneMake> = (0..phones).map(|_| make(&mut chance)).collect();
        let policy = chance.place(POLICIES);
        let strokes = chance.between(8, 110);
        let span_ms = chance.between(300_000, 7_200_000);
        let crowded = chance.happens(50);
        let mut times: Vec<u64> = (0..strokes).map(|_| chance.below(span_ms)).collect();
        if crowded {
            // Most come in the first tenth: the queue is long, and much happens at once.
            times.iter_mut().step_by(2).for_each(|at| *at /= 10);
        }
        times.sort_unstable();
        let mut made = Self { seed, racks, phones, policy, strokes: Vec::new() };
        for at in times {
            let stroke = made.stroke(&mut chance, fortune);
            made.strokes.push((at, stroke));
        }
        made
    }

    fn stroke(&self, chance: &mut Chance, fortune: Fortune) -> Stroke {
        let stormy = u64::from(fortune == Fortune::Stormy);
        if fortune == Fortune::Work {
            return Stroke::Submit(Box::new(wish(chance, self.phones.len())));
        }
        let phone = chance.place(self.phones.len());
        let rack = chance.place(self.racks);
        let kinds = [
            (55, 0),
            (4, 1),
            (2, 2),
            (3, 3),
            (1, 4),
            (2, 5),
            (2, 6),
            (2, 7),
            (4 * stormy, 8),
            (3, 9),
            (6 * stormy, 10),
            (3 * stormy, 11),
            (4 * stormy, 12),
            (3 * stormy, 13),
            (2 * stormy, 14),
            (2 * stormy, 15),
            (stormy, 16),
        ];
        let seconds = |chance: &mut Chance, most| chance.between(1, most);
        let maybe = |chance: &mut Chance| chance.happens(60).then(|| chance.between(20, 1_200));
        match chance.weighted(&kinds).unwrap_or(0) {
            1 => Stroke::Cancel(chance.place(self.strokes.len().max(1))),
            2 => Stroke::Take(phone, maybe(chance)),
            3 => Stroke::Release(phone),
            4 => Stroke::Quarantine(phone, maybe(chance)),
            5 => Stroke::Revoke(phone),
            6 => Stroke::Policy(chance.place(POLICIES)),
            7 => Stroke::Move(phone, rack, seconds(chance, 90)),
            8 => Stroke::Unplug(phone, seconds(chance, 60)),
            9 => Stroke::Change(phone, make(chance)),
            10 => {
                let ways = [Trouble::Hangs, Trouble::InstallFails, Trouble::AppCrashes, Trouble::FetchFails];
                Stroke::Trouble(phone, ways[chance.place(ways.len())])
            }
            11 => Stroke::DaemonDies(seconds(chance, 100)),
            12 => Stroke::AgentDies(rack, seconds(chance, 240)),
            13 => Stroke::Cut(rack, seconds(chance, 300)),
            14 => Stroke::Network(Network {
                drops_percent: chance.below(30),
                repeats_percent: chance.below(30),
                delay_max_ms: chance.between(5, 5_000),
            }),
            15 => Stroke::ClockJumps(i64::try_from(chance.below(1_200)).unwrap_or(0) - 600),
            16 => Stroke::SlowDisk(chance.between(1, 2_000)),
            _ => Stroke::Submit(Box::new(wish(chance, self.phones.len()))),
        }
    }
}

fn make(chance: &mut Chance) -> PhoneMake {
    let labels = (0..LABELS.len()).filter(|_| chance.happens(30)).collect();
    PhoneMake {
        model: chance.place(3),
        system: chance.place(3),
        labels,
        battery_percent: u8::try_from(chance.between(25, 100)).unwrap_or(100),
    }
}

fn wish(chance: &mut Chance, phones: usize) -> JobWish {
    let class = [(15, 0), (25, 1), (20, 2), (15, 3), (25, 4)];
    let gang = phones > 1 && chance.happens(10);
    let cases = chance.between(1, 4);
    let short = chance.happens(40);
    JobWish {
        class: chance.weighted(&class).unwrap_or(0),
        owner: chance.happens(75).then(|| chance.place(OWNERS.len())),
        priority: if chance.happens(20) { i32::try_from(chance.below(5)).unwrap_or(0) - 2 } else { 0 },
        start_within_s: chance.happens(12).then(|| chance.between(30, 3_600)),
        wants: if chance.happens(60) { 0 } else { chance.place(wants()) },
        phones: if gang { u16::try_from(chance.between(2, 3)).unwrap_or(2) } else { 1 },
        compare: chance.happens(12).then(|| chance.place(3)),
        build: u8::try_from(chance.below(6)).unwrap_or(0),
        cases: (0..cases)
            .map(|_| CaseWish {
                launches: u32::try_from(chance.between(1, 3)).unwrap_or(1),
                stay_ms: if short { 2_000 } else { chance.between(1, 6) * 20_000 },
            })
            .collect(),
    }
}
