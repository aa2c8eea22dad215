//! What the daemon wants of a phone next, as its orders say: the lease that is to begin, and the one staged behind
//! what runs. It decides by lease numbers alone and touches nothing; orders are carried out by the phone's task.
//!
//! An order is a state, not a message: it may be repeated, and an older one may come late. Lease numbers only grow.

use holdfast_attempt::Event;
use holdfast_wire::id::{AttemptId, LeaseNumber};
use holdfast_wire::sync::{HeldLease, Order, PhoneOrder, Staged, Work};

/// What is to be done on a phone when nothing runs there.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pending: Option<(LeaseNumber, Begin)>,
    staged: Option<Staged>,
    /// Staged attempts up to this lease were taken back.
    withdrawn: LeaseNumber,
}

/// How a lease begins.
#[derive(Debug)]
pub(super) enum Begin {
    /// With its work.
    Run(Box<Work>),
    /// It was given up before it had begun: it ends at once.
    Yielded(AttemptId),
}

/// How the attempt before left things, for the one staged behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The phone can take work at once.
    Fit,
    /// The phone, the rack or the farm is in trouble: the daemon is to say what comes next.
    Unfit,
}

impl Wanted {
    /// Takes in an order. `obeyed` is the last lease that was obeyed or is known to be over, `running` the one held
    /// now. Gives what the order means for the attempt that runs.
    pub(super) fn take(
        &mut self,
        order: PhoneOrder,
        obeyed: &mut LeaseNumber,
        running: Option<LeaseNumber>,
    ) -> Option<Event> {
        let PhoneOrder { phone: _, order, next, withdrawn } = order;
        let event = match order {
            Order::Rest { through } => {
                *obeyed = through.max(*obeyed);
                self.pending.take_if(|(lease, _)| *lease <= through);
                running.filter(|lease| *lease <= through).map(|_over| Event::Revoked)
            }
            Order::Run { lease, work } => self.want(lease, Begin::Run(work), *obeyed, running),
            Order::Yield { lease, when, .. } if running == Some(lease) => Some(Event::ToldToYield(when)),
            Order::Yield { lease, attempt, .. } => {
                // What waits under this lease has not begun, and now never will.
                self.pending.take_if(|(waiting, _)| *waiting == lease);
                self.want(lease, Begin::Yielded(attempt), *obeyed, running)
            }
        };
        let newest = self.pending.as_ref().map_or(*obeyed, |(lease, _)| *lease).max(*obeyed);
        // With nothing before it, it waits for an order of its own: only the end of an attempt begins it.
        self.withdrawn = withdrawn.unwrap_or_default().max(self.withdrawn);
        self.staged = next.filter(|next| next.lease > newest && next.lease > self.withdrawn);
        event
    }

    /// A lease that is newer than all before it ends the one that runs.
    fn want(
        &mut self,
        lease: LeaseNumber,
        begin: Begin,
        obeyed: LeaseNumber,
        running: Option<LeaseNumber>,
    ) -> Option<Event> {
        let newest = self.pending.as_ref().map_or(obeyed, |(waiting, _)| obeyed.max(*waiting));
        if lease <= newest {
            return None;
        }
        self.pending = Some((lease, begin));
        running.map(|_older| Event::Revoked)
    }

    /// Whether a lease is to begin as soon as nothing runs.
    pub(super) fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// The lease that is to begin now.
    pub(super) fn begin(&mut self) -> Option<(LeaseNumber, Begin)> {
        self.pending.take()
    }

    /// The lease that is held, with what was taken back behind it: what is said so will not begin.
    pub(super) fn told_of(&self, held: HeldLease) -> HeldLease {
        let withdrawn = Some(self.withdrawn).filter(|withdrawn| *withdrawn > held.lease);
        HeldLease { withdrawn, ..held }
    }

    /// What comes behind the attempt that runs.
    pub(super) fn staged(&self) -> Option<&Staged> {
        self.staged.as_ref()
    }

    /// The attempt that ran is over and its report is on disk: what is staged behind it is next, unless an order
    /// has put another lease between them.
    pub(super) fn attempt_over(&mut self, obeyed: LeaseNumber, left: Left) {
        if self.pending.is_some() {
            return;
        }
        match (self.staged.take(), left) {
            (Some(staged), Left::Fit) if staged.lease > obeyed => {
                self.pending = Some((staged.lease, Begin::Run(staged.work)));
            }
            (Some(_) | None, Left::Fit | Left::Unfit) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use std::sync::Arc;

    use holdfast_wire::build::BuildIdentity;
    use holdfast_wire::id::BuildHash;
    use holdfast_wire::job::JobClass;
    use holdfast_wire::sync::YieldWhen;
    use proptest::prelude::*;

    use super::*;

    fn work(lease: u64) -> Box<Work> {
        let build = BuildIdentity {
            hash: BuildHash::new([7; 32]),
            size_bytes: 1,
            bundle_id: "org.example.app".parse().unwrap(),
            executable: "App".to_owned(),
            version: "1".to_owned(),
            build_number: "1".to_owned(),
            uuids: Vec::new(),
            minimum_os: None,
        };
        Box::new(Work {
            attempt: format!("J{lease}.1").parse().unwrap(),
            class: JobClass::Crash,
            build: Arc::new(build),
            cases: Arc::default(),
            limit_ms: 1,
            with: Vec::new(),
        })
    }

    fn yields(lease: u64, when: YieldWhen) -> Order {
        Order::Yield { lease: LeaseNumber(lease), attempt: format!("J{lease}.1").parse().unwrap(), when }
    }

    /// `rest 3`, `run 4`, `yield 4`, `at-once 4`; each may be followed by `next 5` and by `without 5`.
    fn order_of(text: &str) -> PhoneOrder {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |place: usize| words.get(place).unwrap().parse::<u64>().unwrap();
        let lease = LeaseNumber(number(1));
        let order = match *words.first().unwrap() {
            "rest" => Order::Rest { through: lease },
            "run" => Order::Run { lease, work: work(lease.0) },
            "yield" => yields(lease.0, YieldWhen::CaseDone),
            _ => yields(lease.0, YieldWhen::AtOnce),
        };
        let behind = |word: &str| {
            let place = words.iter().position(|known| *known == word)?;
            Some(number(place + 1))
        };
        let next = behind("next").map(|lease| Staged { lease: LeaseNumber(lease), work: work(lease) });
        let withdrawn = behind("without").map(LeaseNumber);
        PhoneOrder { phone: "A".parse().unwrap(), order, next, withdrawn }
    }

    /// A phone's task in words: it begins what is wanted and tells what its attempts are told.
    #[derive(Default)]
    struct Play {
        wanted: Wanted,
        obeyed: LeaseNumber,
        running: Option<LeaseNumber>,
    }

    impl Play {
        fn order(&mut self, order: PhoneOrder) -> Option<Event> {
            self.wanted.take(order, &mut self.obeyed, self.running)
        }

        /// Begins what is to begin, until an attempt runs or nothing is left; gives what was done.
        fn go_on(&mut self) -> Vec<String> {
            let mut done = Vec::new();
            while self.running.is_none()
                && let Some((lease, begin)) = self.wanted.begin()
            {
                assert!(lease > self.obeyed, "{lease} is not newer than {}", self.obeyed);
                self.obeyed = lease;
                match begin {
                    Begin::Run(_) => {
                        self.running = Some(lease);
                        done.push(format!("runs {lease}"));
                    }
                    Begin::Yielded(_) => {
                        done.push(format!("yields {lease}"));
                        self.wanted.attempt_over(self.obeyed, Left::Fit);
                    }
                }
            }
            done
        }

        fn end(&mut self, left: Left) {
            self.running = None;
            self.wanted.attempt_over(self.obeyed, left);
        }
    }

    /// Each line: orders and ends, then what the phone does.
    #[test]
    fn orders_by_example() {
        let cases = [
            ("run 4, end", "runs 4"),
            ("run 4, run 4, end, run 4, run 3", "runs 4"),
            ("run 4, rest 4, end, run 4", "runs 4, revoked"),
            ("rest 4, run 4", ""),
            ("run 4, run 5, end", "runs 4, revoked, runs 5"),
            ("run 4, run 6, run 5, end", "runs 4, revoked, runs 6"),
            ("run 4, yield 4, yield 4, at-once 4, end, yield 4", "runs 4, yields, yields, yields at once"),
            ("yield 4, yield 4, run 4", "yields 4"),
            ("run 4, yield 5, run 5, end", "runs 4, revoked, yields 5"),
            ("run 4, run 5, yield 5, end", "runs 4, revoked, revoked, yields 5"),
            ("run 4, run 6, yield 5, end", "runs 4, revoked, runs 6"),
            ("run 4, yield 3, end", "runs 4"),
            ("run 4 next 5, end", "runs 4, runs 5"),
            ("run 4, run 4 next 5, run 4 next 5, end, run 4 next 5, run 5, end", "runs 4, runs 5"),
            ("run 4 next 5, run 4, end", "runs 4"),
            ("run 4 next 5, end, run 4, rest 4", "runs 4, runs 5"),
            ("run 4 next 5, end, rest 5", "runs 4, runs 5, revoked"),
            ("run 4 next 5, end, yield 5", "runs 4, runs 5, yields"),
            ("run 4 next 5, rest 5, end", "runs 4, revoked"),
            ("run 4 next 5, yield 4 next 6, end", "runs 4, yields, runs 6"),
            ("run 4 next 5, run 5 next 6, end, end", "runs 4, revoked, runs 5, runs 6"),
            ("run 4 next 5, badly", "runs 4"),
            ("run 4 next 5, badly, run 5", "runs 4, runs 5"),
            ("run 4, end, run 4 next 5", "runs 4"),
            ("rest 4 next 5", ""),
            ("run 4 next 4, end", "runs 4"),
            ("run 4 next 3, end", "runs 4"),
            ("yield 4 next 5, end", "yields 4, runs 5"),
            ("run 4 next 5, run 4 without 5, run 4 next 5, end", "runs 4"),
            ("run 4 next 5, run 4 without 5, run 4 next 6 without 5, end", "runs 4, runs 6"),
            ("run 4 next 5, end, run 4 without 5, end", "runs 4, runs 5"),
            ("run 4 next 6 without 5, run 4 next 5, end", "runs 4"),
        ];
        for (orders, expected) in cases {
            let mut play = Play::default();
            let mut done = Vec::new();
            for text in orders.split(", ") {
                match text {
                    "end" => play.end(Left::Fit),
                    "badly" => play.end(Left::Unfit),
                    order => done.extend(play.order(order_of(order)).map(|event| match event {
                        Event::Revoked => "revoked".to_owned(),
                        Event::ToldToYield(YieldWhen::CaseDone) => "yields".to_owned(),
                        other => {
                            assert_eq!(other, Event::ToldToYield(YieldWhen::AtOnce));
                            "yields at once".to_owned()
                        }
                    })),
                }
                done.extend(play.go_on());
            }
            assert_eq!(done.join(", "), expected, "{orders}");
        }
    }

    fn word() -> impl Strategy<Value = Option<String>> {
        let kinds = proptest::sample::select(vec!["rest", "run", "yield", "at-once"]);
        let order = (kinds, 1u64..9, proptest::option::of(1u64..9), proptest::option::weighted(0.2, 1u64..9));
        let order = order.prop_map(|(kind, lease, next, without)| {
            let next = next.map_or_else(String::new, |next| format!(" next {next}"));
            let without = without.map_or_else(String::new, |without| format!(" without {without}"));
            Some(format!("{kind} {lease}{next}{without}"))
        });
        prop_oneof![4 => order, 1 => Just(None)]
    }

    proptest! {
        /// Orders in any order, each as often as one likes, and ends in between: every lease begins at most once
        /// and in rising order (which `go_on` asserts), none after it is over, and only an attempt that runs is
        /// told anything.
        #[test]
        fn orders_in_any_order(words in proptest::collection::vec((word(), 1usize..3), 0..40), fit in any::<bool>()) {
            let mut play = Play::default();
            for (word, times) in words {
                let Some(word) = word else {
                    play.end(if fit { Left::Fit } else { Left::Unfit });
                    play.go_on();
                    continue;
                };
                let order = order_of(&word);
                let (running, obeyed) = (play.running, play.obeyed);
                for turn in 0..times {
                    let event = play.order(order.clone());
                    prop_assert!(event.is_none() || running.is_some());
                    let newest = match &order.order {
                        Order::Rest { through } => *through,
                        Order::Run { lease, .. } | Order::Yield { lease, .. } => *lease,
                    };
                    if event == Some(Event::Revoked) {
                        prop_assert!(running.is_some_and(|running| newest >= running), "{running:?}");
                    }
                    if matches!(event, Some(Event::ToldToYield(_))) {
                        prop_assert_eq!(Some(newest), running);
                    }
                    let staged = play.wanted.staged().map(|staged| staged.lease);
                    prop_assert!(staged.is_none_or(|staged| staged > play.obeyed && Some(staged) > running));
                    // What was said to be taken back does not begin, whatever order comes late.
                    prop_assert!(staged.is_none_or(|staged| staged > play.wanted.withdrawn));
                    // A repeat changes nothing more than to say the same again.
                    if turn > 0 {
                        prop_assert!(play.go_on().is_empty() || running.is_some());
                    } else {
                        play.go_on();
                    }
                    prop_assert!(play.obeyed >= obeyed);
                    prop_assert!(running.is_none() || play.running == running);
                }
            }
        }
    }
}
