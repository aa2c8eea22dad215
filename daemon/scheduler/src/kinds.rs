//! Kinds of phones: phones of which the same is true, as far as any waiting job or any rule has ever asked. Work is
//! proportional to kinds, of which there are few, and not to phones.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::requirement::{Atom, Place as Whereabouts, Term};

use crate::bits::Bits;

/// One kind, by number.
pub(crate) type KindId = usize;

/// One phone, by number: phones are never forgotten.
pub(crate) type PhoneId = usize;

/// What makes phones be of one kind: the pool, and which of the facts asked about hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KindKey {
    pub(crate) pool: Option<usize>,
    pub(crate) facts: Bits,
}

/// Which free phone is taken first: the one that has worked least, then the one that has rested longest.
pub(crate) type FreeKey = (u64, i64, PhoneId);

/// Which phone is taken from the work on it first: that of the lowest class, that which has been interrupted least,
/// that which has run for the shortest time.
pub(crate) type VictimKey = (std::cmp::Reverse<u8>, u32, std::cmp::Reverse<i64>, PhoneId);

/// Phones of one kind.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) key: KindKey,
    /// Lanes whose jobs its phones serve.
    pub(crate) native: Bits,
    /// Lanes whose jobs may use its phones for as long as nobody else wants them.
    pub(crate) lent: Bits,
    pub(crate) members: BTreeSet<PhoneId>,
    /// Those that may be given a lease now.
    pub(crate) free: BTreeSet<FreeKey>,
    /// Those that do or soon may work: ready, busy or being released.
    pub(crate) working: u32,
    /// Those that run an attempt that counts.
    pub(crate) busy: u32,
    /// Those that run work which gives way.
    pub(crate) victims: BTreeSet<VictimKey>,
    /// Those that run work to which they are only lent.
    pub(crate) lent_out: BTreeSet<VictimKey>,
    /// Those that have been told to give their phone up after the case that runs.
    pub(crate) yielding: BTreeSet<PhoneId>,
}

/// A term whose facts are numbers.
#[derive(Debug, Clone)]
pub(crate) enum Demand {
    All(Vec<Demand>),
    Any(Vec<Demand>),
    Not(Box<Demand>),
    Is(usize),
}

impl Demand {
    pub(crate) fn holds(&self, facts: &Bits) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(facts)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            Self::Not(part) => !part.holds(facts),
            Self::Is(fact) => facts.has(*fact),
        }
    }
}

/// Every kind, and every fact that was ever asked about.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    facts: Vec<Atom>,
    numbers: BTreeMap<Atom, usize>,
    /// Facts that change by themselves: charge, room.
    changing: Bits,
    ids: BTreeMap<KindKey, KindId>,
    pub(crate) list: Vec<Kind>,
    /// The kind of each phone, side by side: whoever looks at many phones for it need not look at each whole.
    of: Vec<KindId>,
    /// Kinds with a free phone.
    pub(crate) with_free: Bits,
    /// Kinds with a phone whose work gives way, or that is lent out.
    pub(crate) with_victims: Bits,
}

impl Kinds {
    /// The term with numbers for its facts, and whether one of them is new: then every phone has to be looked at.
    pub(crate) fn learn(&mut self, term: &Term) -> (Demand, bool) {
        let mut is_new = false;
        let demand = self.number(term, &mut is_new);
        (demand, is_new)
    }

    fn number(&mut self, term: &Term, is_new: &mut bool) -> Demand {
        match term {
            Term::All(parts) => Demand::All(parts.iter().map(|part| self.number(part, is_new)).collect()),
            Term::Any(parts) => Demand::Any(parts.iter().map(|part| self.number(part, is_new)).collect()),
            Term::Not(part) => Demand::Not(Box::new(self.number(part, is_new))),
            Term::Is(atom) => Demand::Is(match self.numbers.get(atom) {
                Some(number) => *number,
                None => {
                    *is_new = true;
                    let number = self.facts.len();
                    self.facts.push(atom.clone());
                    self.numbers.insert(atom.clone(), number);
                    self.changing.put(number, atom.is_dynamic());
                    number
                }
            }),
        }
    }

    /// How many facts were ever asked about.
    pub(crate) fn facts(&self) -> usize {
        self.facts.len()
    }

    /// What is true of a phone.
    pub(crate) fn truth(&self, phone: &Whereabouts<'_>) -> Bits {
        let mut truth = Bits::default();
        for (number, atom) in self.facts.iter().enumerate() {
            if atom.holds(phone) {
                truth.set(number);
            }
        }
        truth
    }

    /// What is true of a phone, when the facts up to a number have been looked at already.
    pub(crate) fn more_truth(&self, before: &Bits, known: usize, phone: &Whereabouts<'_>) -> Bits {
        let mut truth = before.clone();
        for (number, atom) in self.facts.iter().enumerate().skip(known) {
            if atom.holds(phone) {
                truth.set(number);
            }
        }
        truth
    }

    /// What is true of a phone of which only charge and room have changed.
    pub(crate) fn truth_after_change(&self, before: &Bits, phone: &Whereabouts<'_>) -> Bits {
        let mut truth = before.clone();
        for number in self.changing.iter() {
            truth.put(number, self.facts[number].holds(phone));
        }
        truth
    }

    /// The kind with this key; a new one has no lanes yet.
    pub(crate) fn find_or_add(&mut self, key: KindKey) -> (KindId, bool) {
        if let Some(id) = self.ids.get(&key) {
            return (*id, false);
        }
        let id = self.list.len();
        self.ids.insert(key.clone(), id);
        self.list.push(Kind {
            key,
            native: Bits::default(),
            lent: Bits::default(),
            members: BTreeSet::new(),
            free: BTreeSet::new(),
            working: 0,
            busy: 0,
            victims: BTreeSet::new(),
            lent_out: BTreeSet::new(),
            yielding: BTreeSet::new(),
        });
        (id, true)
    }

    /// The kind of a phone.
    pub(crate) fn of(&self, phone: PhoneId) -> Option<KindId> {
        self.of.get(phone).copied()
    }

    /// A phone is of this kind from now on.
    pub(crate) fn put(&mut self, phone: PhoneId, kind: KindId) {
        if self.of.len() <= phone {
            self.of.resize(phone + 1, KindId::MAX);
        }
        self.of[phone] = kind;
    }

    /// Notes which of the kinds have what is looked for, after one of them has changed.
    pub(crate) fn note(&mut self, id: KindId) {
        let kind = &self.list[id];
        self.with_free.put(id, !kind.free.is_empty());
        self.with_victims
            .put(id, !(kind.victims.is_empty() && kind.lent_out.is_empty() && kind.yielding.is_empty()));
    }
}
