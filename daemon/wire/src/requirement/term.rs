//! What may be asked about a phone and where it is: comparisons of single facts, and terms made of them. Reading one
//! from text is in `expression`.

use std::fmt;

use crate::id::{Label, PoolName, RackId, Slot, Udid};
use crate::phone::{OsVersion, PhoneFacts};

use super::Mismatch;

/// A phone with where it is: all that a term may ask about.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// What the phone tells of itself.
    pub facts: &'a PhoneFacts,
    /// The rack that it is in.
    pub rack: &'a RackId,
    /// The pool that it belongs to, if any.
    pub pool: Option<&'a PoolName>,
}

/// How a fact that has an order is held against a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compare {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

impl Compare {
    /// As it is written in an expression.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Above => ">",
        }
    }

    fn allows(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::AtLeast => order.is_ge(),
            Self::Above => order.is_gt(),
        }
    }
}

/// One comparison. About a fact that the phone does not tell, none holds; so its `not` does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// The product type (`iPhone14,5`) or the name (`iPhone 13`), in capitals or not.
    Model(String),
    /// The chip, `A15`, in capitals or not.
    Chip(String),
    /// The OS, compared in as many numbers as the version has: `= 16` is any 16, `> 16` is 17 or newer.
    Os {
        /// How.
        compare: Compare,
        /// With which version.
        version: OsVersion,
    },
    /// Where it was sold, `LL/A`, in capitals or not.
    Region(String),
    /// What an app may still use.
    StorageFree {
        /// How.
        compare: Compare,
        /// With how many bytes.
        bytes: u64,
    },
    /// Its charge.
    Battery {
        /// How.
        compare: Compare,
        /// With how many percent, 0 to 100.
        percent: u8,
    },
    /// The USB position.
    Slot(Slot),
    /// The rack.
    Rack(RackId),
    /// The pool.
    Pool(PoolName),
    /// A label that an operator gave it.
    Label(Label),
    /// This very phone.
    Phone(Udid),
}

impl Atom {
    /// Whether the phone is so.
    pub fn holds(&self, place: &Place<'_>) -> bool {
        let facts = place.facts;
        let told = |fact: &Option<String>, wanted: &str| {
            fact.as_deref().is_some_and(|fact| fact.eq_ignore_ascii_case(wanted))
        };
        match self {
            Self::Model(wanted) => {
                facts.product_type.eq_ignore_ascii_case(wanted) || facts.model.eq_ignore_ascii_case(wanted)
            }
            Self::Chip(wanted) => told(&facts.chip, wanted),
            Self::Os { compare, version } => compare.allows(facts.os_version.cmp_within(version)),
            Self::Region(wanted) => told(&facts.region, wanted),
            Self::StorageFree { compare, bytes } => {
                facts.storage.is_some_and(|storage| compare.allows(storage.free_bytes.cmp(bytes)))
            }
            Self::Battery { compare, percent } => facts
                .battery
                .as_ref()
                .is_some_and(|battery| compare.allows(battery.level_percent.cmp(percent))),
            Self::Slot(wanted) => facts.slot == *wanted,
            Self::Rack(wanted) => place.rack == wanted,
            Self::Pool(wanted) => place.pool == Some(wanted),
            Self::Label(wanted) => facts.labels.contains(wanted),
            Self::Phone(wanted) => facts.udid == *wanted,
        }
    }

    /// Whether the fact changes by itself, without anybody's hand: battery and storage do.
    pub fn is_dynamic(&self) -> bool {
        matches!(self.fact(), Fact::Battery | Fact::Storage)
    }

    pub(super) fn fact(&self) -> Fact {
        match self {
            Self::Model(_) => Fact::Model,
            Self::Chip(_) => Fact::Chip,
            Self::Os { .. } => Fact::Os,
            Self::Region(_) => Fact::Region,
            Self::StorageFree { .. } => Fact::Storage,
            Self::Battery { .. } => Fact::Battery,
            Self::Slot(_) => Fact::Slot,
            Self::Rack(_) => Fact::Rack,
            Self::Pool(_) => Fact::Pool,
            Self::Label(_) => Fact::Label,
            Self::Phone(_) => Fact::Phone,
        }
    }

    fn compare(&self) -> Compare {
        match self {
            Self::Os { compare, .. } | Self::StorageFree { compare, .. } | Self::Battery { compare, .. } => {
                *compare
            }
            Self::Model(_)
            | Self::Chip(_)
            | Self::Region(_)
            | Self::Slot(_)
            | Self::Rack(_)
            | Self::Pool(_)
            | Self::Label(_)
            | Self::Phone(_) => Compare::Equal,
        }
    }

    /// The value as it is written in an expression.
    fn value(&self) -> String {
        match self {
            Self::Model(text) | Self::Chip(text) | Self::Region(text) => quoted(text),
            Self::Os { version, .. } => version.to_string(),
            Self::StorageFree { bytes, .. } => size(*bytes),
            Self::Battery { percent, .. } => format!("{percent}%"),
            Self::Slot(name) => quoted(name.as_str()),
            Self::Rack(name) => quoted(name.as_str()),
            Self::Pool(name) => quoted(name.as_str()),
            Self::Label(name) => quoted(name.as_str()),
            Self::Phone(name) => quoted(name.as_str()),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.fact().as_str(), self.compare().as_str(), self.value())
    }
}

/// A demand made of comparisons. Its display is an expression that reads back as the same term, if the term was made
/// with [`Term::all`] and [`Term::any`] and stays within the limits of an expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// Every one of them; with none, any phone will do.
    All(Vec<Term>),
    /// At least one of them; with none, no phone will do.
    Any(Vec<Term>),
    /// Not so.
    Not(Box<Term>),
    /// So.
    Is(Atom),
}

impl Term {
    /// Every one of them, without needless nesting.
    pub fn all(terms: Vec<Term>) -> Self {
        let opened = |term| match term {
            Self::All(inner) => inner,
            Self::Any(_) | Self::Not(_) | Self::Is(_) => vec![term],
        };
        alone_or(terms.into_iter().flat_map(opened).collect(), Self::All)
    }

    /// At least one of them, without needless nesting.
    pub fn any(terms: Vec<Term>) -> Self {
        let opened = |term| match term {
            Self::Any(inner) => inner,
            Self::All(_) | Self::Not(_) | Self::Is(_) => vec![term],
        };
        alone_or(terms.into_iter().flat_map(opened).collect(), Self::Any)
    }

    /// Whether the phone will do.
    pub fn holds(&self, place: &Place<'_>) -> bool {
        match self {
            Self::All(terms) => terms.iter().all(|term| term.holds(place)),
            Self::Any(terms) => terms.iter().any(|term| term.holds(place)),
            Self::Not(term) => !term.holds(place),
            Self::Is(atom) => atom.holds(place),
        }
    }

    /// Every comparison, from left to right.
    pub fn atoms(&self) -> impl Iterator<Item = &Atom> {
        let mut rest = vec![self];
        std::iter::from_fn(move || {
            while let Some(term) = rest.pop() {
                match term {
                    Self::All(terms) | Self::Any(terms) => rest.extend(terms.iter().rev()),
                    Self::Not(term) => rest.push(term),
                    Self::Is(atom) => return Some(atom),
                }
            }
            None
        })
    }

    /// The first demand that the phone does not meet; none exactly when [`Self::holds`].
    pub fn mismatch(&self, place: &Place<'_>) -> Option<Mismatch> {
        if let Self::All(terms) = self {
            return terms.iter().find_map(|term| term.mismatch(place));
        }
        if self.holds(place) {
            return None;
        }
        Some(self.plain_mismatch().unwrap_or_else(|| Mismatch::expression(self, place)))
    }

    /// The mismatch for what has a variant of its own, which older clients know.
    fn plain_mismatch(&self) -> Option<Mismatch> {
        match self {
            Self::Is(Atom::Phone(wanted)) => Some(Mismatch::Phone { wanted: wanted.clone() }),
            Self::Is(Atom::Rack(wanted)) => Some(Mismatch::Rack { wanted: wanted.clone() }),
            Self::Is(Atom::Label(wanted)) => Some(Mismatch::Label { wanted: wanted.clone() }),
            Self::Is(Atom::Os { compare: Compare::AtLeast, version }) => {
                Some(Mismatch::OsTooOld { minimum: version.clone() })
            }
            Self::Is(Atom::Os { compare: Compare::AtMost, version }) => {
                Some(Mismatch::OsTooNew { maximum: version.clone() })
            }
            Self::Is(Atom::Model(wanted)) => Some(Mismatch::Model { wanted: vec![wanted.clone()] }),
            Self::Any(terms) if !terms.is_empty() => {
                let models = terms.iter().map(|term| match term {
                    Self::Is(Atom::Model(wanted)) => Some(wanted.clone()),
                    Self::Is(_) | Self::All(_) | Self::Any(_) | Self::Not(_) => None,
                });
                models.collect::<Option<_>>().map(|wanted| Mismatch::Model { wanted })
            }
            Self::Is(_) | Self::All(_) | Self::Any(_) | Self::Not(_) => None,
        }
    }

    /// The atoms, if `fact in (..)` says it all.
    fn listed(&self) -> Option<(Fact, Vec<&Atom>)> {
        let Self::Any(terms) = self else { return None };
        let atoms = terms.iter().map(|term| match term {
            Self::Is(atom) if atom.compare() == Compare::Equal => Some(atom),
            Self::Is(_) | Self::All(_) | Self::Any(_) | Self::Not(_) => None,
        });
        let atoms: Vec<&Atom> = atoms.collect::<Option<_>>()?;
        let fact = atoms.first()?.fact();
        (atoms.len() > 1 && atoms.iter().all(|atom| atom.fact() == fact)).then_some((fact, atoms))
    }

    fn binding(&self) -> Binding {
        match self {
            Self::Any(terms) if terms.len() > 1 && self.listed().is_none() => Binding::Or,
            Self::All(terms) if terms.len() > 1 => Binding::And,
            Self::Any(_) | Self::All(_) | Self::Not(_) | Self::Is(_) => Binding::Whole,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, around: Binding) -> fmt::Result {
        if self.binding() < around {
            f.write_str("(")?;
            self.write(f, Binding::Or)?;
            return f.write_str(")");
        }
        if let Some((fact, atoms)) = self.listed() {
            let values: Vec<String> = atoms.into_iter().map(Atom::value).collect();
            return write!(f, "{} in ({})", fact.as_str(), values.join(", "));
        }
        match self {
            Self::All(terms) if terms.is_empty() => f.write_str("any"),
            Self::Any(terms) if terms.is_empty() => f.write_str("none"),
            Self::All(terms) => joined(f, terms, " and "),
            Self::Any(terms) => joined(f, terms, " or "),
            Self::Not(term) => match term.as_ref() {
                Self::Is(atom) if atom.compare() == Compare::Equal => {
                    write!(f, "{} != {}", atom.fact().as_str(), atom.value())
                }
                inner => {
                    f.write_str("not ")?;
                    inner.write(f, Binding::Whole)
                }
            },
            Self::Is(atom) => write!(f, "{atom}"),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Binding::Or)
    }
}

/// A single term as it is, several joined.
fn alone_or(terms: Vec<Term>, join: fn(Vec<Term>) -> Term) -> Term {
    match <[Term; 1]>::try_from(terms) {
        Ok([only]) => only,
        Err(terms) => join(terms),
    }
}

/// How strongly the parts of a written term hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Whole,
}

fn joined(f: &mut fmt::Formatter<'_>, terms: &[Term], word: &str) -> fmt::Result {
    let around = match (terms.len(), word) {
        (1, _) => Binding::Whole,
        (_, " or ") => Binding::And,
        (_, _) => Binding::Whole,
    };
    for (place, term) in terms.iter().enumerate() {
        if place > 0 {
            f.write_str(word)?;
        }
        term.write(f, around)?;
    }
    Ok(())
}

/// What a comparison is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    Model,
    Chip,
    Os,
    Region,
    Storage,
    Battery,
    Slot,
    Rack,
    Pool,
    Label,
    Phone,
}

impl Fact {
    pub(super) const ALL: [Self; 11] = [
        Self::Model,
        Self::Chip,
        Self::Os,
        Self::Region,
        Self::Storage,
        Self::Battery,
        Self::Slot,
        Self::Rack,
        Self::Pool,
        Self::Label,
        Self::Phone,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Chip => "chip",
            Self::Os => "os",
            Self::Region => "region",
            Self::Storage => "storage",
            Self::Battery => "battery",
            Self::Slot => "slot",
            Self::Rack => "rack",
            Self::Pool => "pool",
            Self::Label => "label",
            Self::Phone => "phone",
        }
    }

    /// A good comparison, for messages.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Model => "model = \"iPhone 13\"",
            Self::Chip => "chip = A15",
            Self::Os => "os >= 16.4",
            Self::Region => "region = LL/A",
            Self::Storage => "storage >= 10GB",
            Self::Battery => "battery >= 50%",
            Self::Slot => "slot = 1-1.4",
            Self::Rack => "rack in (rack-1, rack-2)",
            Self::Pool => "pool != crash",
            Self::Label => "label = lab-a",
            Self::Phone => "phone = 00008110-000A2D8E3C41801E",
        }
    }

    /// Whether `<` and its kin make sense.
    pub(super) fn is_ordered(self) -> bool {
        matches!(self, Self::Os | Self::Storage | Self::Battery)
    }

    /// What the phone has of it, for people.
    pub(super) fn words(self, place: &Place<'_>) -> String {
        let facts = place.facts;
        let value = match self {
            Self::Model if facts.model == facts.product_type => Some(facts.model.clone()),
            Self::Model => Some(format!("{} ({})", facts.model, facts.product_type)),
            Self::Chip => facts.chip.clone(),
            Self::Os => Some(facts.os_version.to_string()),
            Self::Region => facts.region.clone(),
            Self::Storage => facts.storage.map(|storage| format!("{} MB", storage.free_bytes / 1_000_000)),
            Self::Battery => facts.battery.as_ref().map(|battery| format!("{}%", battery.level_percent)),
            Self::Slot => Some(facts.slot.to_string()),
            Self::Rack => Some(place.rack.to_string()),
            Self::Pool => {
                return place.pool.map_or_else(|| "no pool".to_owned(), |pool| format!("pool {pool}"));
            }
            Self::Label if facts.labels.is_empty() => return "no labels".to_owned(),
            Self::Label => {
                let labels: Vec<&str> = facts.labels.iter().map(Label::as_str).collect();
                return format!("labels {}", labels.join(", "));
            }
            Self::Phone => Some(facts.udid.to_string()),
        };
        format!("{} {}", self.as_str(), value.unwrap_or_else(|| "unknown".to_owned()))
    }
}

/// Words of the language, which as values stand in quotes.
const KEYWORDS: [&str; 6] = ["and", "or", "not", "in", "any", "none"];

/// Whether a value may hold the character without quotes.
pub(super) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '%')
}

fn quoted(text: &str) -> String {
    let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(text));
    if !text.is_empty() && text.chars().all(is_plain) && !is_keyword {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Units of storage, with how many zeros each stands for: decimal, as phones are sold.
pub(super) const UNITS: [(&str, u32); 5] = [("TB", 12), ("GB", 9), ("MB", 6), ("KB", 3), ("B", 0)];

/// In the largest unit that needs no fraction.
fn size(bytes: u64) -> String {
    let whole = UNITS.iter().find(|(_, zeros)| bytes > 0 && bytes.is_multiple_of(10_u64.pow(*zeros)));
    whole.map_or_else(|| format!("{bytes}B"), |(unit, zeros)| format!("{}{unit}", bytes / 10_u64.pow(*zeros)))
}
