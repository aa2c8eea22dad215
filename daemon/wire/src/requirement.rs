//! Requirements: which phones will do for a job, from when on, and what a phone lacks. How an expression is read and
//! what it may ask is in the modules below; which pool a phone is in is decided elsewhere.

mod expression;
mod term;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::expression::{ATOMS_MAX, EXPRESSION_BYTES_MAX, Expression, ExpressionError, NESTING_MAX};
pub use self::term::{Atom, Compare, Place, Term};
use crate::id::{Label, NAME_BYTES_MAX, PoolName, RackId, Udid};
use crate::phone::OsVersion;

/// Fallbacks of one job, at most: each is one more set of phones that the scheduler keeps for it.
pub const FALLBACKS_MAX: usize = 8;

/// The latest a fallback may begin to count, seconds: 30 days. A job that waits longer is forgotten by people.
pub const FALLBACK_AFTER_S_MAX: u64 = 30 * 24 * 3_600;

/// Characters of a demand that a [`Mismatch`] repeats: it is said once for every phone.
const WORDS_CHARS_MAX: usize = 300;

/// Which phones will do. Everything left out is no demand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requirements {
    /// Any of these: product types (`iPhone14,5`) or names (`iPhone 13`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The oldest OS that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_min: Option<OsVersion>,
    /// The newest OS that will do; `16` means any 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_max: Option<OsVersion>,
    /// All of these labels must be on the phone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// This pool instead of the ones that serve the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// This rack only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<RackId>,
    /// This very phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Udid>,
    /// What else is demanded, like `model = "iPhone 13" and os >= 16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
    /// What will do instead of the expression when the job has waited for some time, soonest first. What did before
    /// still does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
}

/// What will do instead of the expression once the job has waited long enough.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fallback {
    /// Seconds after submission, 1 to [`FALLBACK_AFTER_S_MAX`].
    pub after_s: u64,
    /// What will do from then on; `any` for any phone that the other fields allow.
    pub expression: Expression,
}

impl Requirements {
    /// What is demanded from when on, after submission, the first at 0. Each later one accepts all that the one before
    /// accepts. The pool is not in it: it selects pools, which is done elsewhere.
    pub fn steps(&self) -> Vec<(Duration, Term)> {
        let fields = self.fields();
        let Some(expression) = &self.expression else { return vec![(Duration::ZERO, Term::all(fields))] };
        let mut accepted = vec![expression.term().clone()];
        let demanded = |accepted: &[Term]| {
            let mut terms = fields.clone();
            terms.push(Term::any(accepted.to_vec()));
            Term::all(terms)
        };
        let mut steps = vec![(Duration::ZERO, demanded(&accepted))];
        let mut after = Duration::ZERO;
        for fallback in &self.fallbacks {
            after = after.max(Duration::from_secs(fallback.after_s));
            accepted.push(fallback.expression.term().clone());
            steps.push((after, demanded(&accepted)));
        }
        steps
    }

    /// The first demand that the phone does not meet when the job is submitted; none when it will do. The pool of the
    /// requirements is not looked at here.
    pub fn mismatch(&self, place: &Place<'_>) -> Option<Mismatch> {
        let expression = self.expression.as_ref().map(Expression::term);
        self.fields().iter().chain(expression).find_map(|term| term.mismatch(place))
    }

    /// Every mistake: the field, and what is wrong with it; empty when they are good.
    pub fn mistakes(&self) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        let mut wrong = |place: String, what: String| mistakes.push((place, what));
        for (place, model) in self.models.iter().enumerate() {
            if !(1..=NAME_BYTES_MAX).contains(&model.len()) {
                let what = format!("a model has 1 to {NAME_BYTES_MAX} bytes, not {}", model.len());
                wrong(format!("models[{place}]"), what);
            }
        }
        if let (Some(minimum), Some(maximum)) = (&self.os_min, &self.os_max)
            && !minimum.is_at_most(maximum)
        {
            let what = format!("{minimum} is above os_max {maximum}; no phone can be both");
            wrong("os_min".to_owned(), what);
        }
        if self.expression.is_none() && !self.fallbacks.is_empty() {
            let what = "there is no expression that they could loosen; write one, or leave them out";
            wrong("fallbacks".to_owned(), what.to_owned());
        }
        if self.fallbacks.len() > FALLBACKS_MAX {
            let what = format!("a job has at most {FALLBACKS_MAX}, not {}; join some", self.fallbacks.len());
            wrong("fallbacks".to_owned(), what);
        }
        let mut before_s = 0;
        for (place, fallback) in self.fallbacks.iter().enumerate() {
            let after_s = fallback.after_s;
            let what = if !(1..=FALLBACK_AFTER_S_MAX).contains(&after_s) {
                Some(format!("{after_s} is outside 1 to {FALLBACK_AFTER_S_MAX} seconds"))
            } else if after_s <= before_s {
                Some(format!("{after_s} is not after the {before_s} of the fallback before it; sort them"))
            } else {
                None
            };
            if let Some(what) = what {
                wrong(format!("fallbacks[{place}].after_s"), what);
            }
            before_s = after_s;
        }
        mistakes
    }

    /// The demands of all fields but the expression and the pool, in the order in which they are checked.
    fn fields(&self) -> Vec<Term> {
        let os = |compare, version: &OsVersion| Atom::Os { compare, version: version.clone() };
        let phone = self.phone.iter().cloned().map(Atom::Phone).map(Term::Is);
        let rack = self.rack.iter().cloned().map(Atom::Rack).map(Term::Is);
        let models = self.models.iter().cloned().map(Atom::Model).map(Term::Is).collect();
        let models = (!self.models.is_empty()).then(|| Term::any(models));
        let os_min = self.os_min.iter().map(|version| Term::Is(os(Compare::AtLeast, version)));
        let os_max = self.os_max.iter().map(|version| Term::Is(os(Compare::AtMost, version)));
        let labels = self.labels.iter().cloned().map(Atom::Label).map(Term::Is);
        phone.chain(rack).chain(models).chain(os_min).chain(os_max).chain(labels).collect()
    }
}

/// A demand that a phone does not meet, in the order in which they are checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "demand", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Mismatch {
    /// Another phone was asked for.
    Phone {
        /// The one asked for.
        wanted: Udid,
    },
    /// Another rack was asked for.
    Rack {
        /// The one asked for.
        wanted: RackId,
    },
    /// The phone's model is not in the list.
    Model {
        /// The models asked for.
        wanted: Vec<String>,
    },
    /// The OS is too old.
    OsTooOld {
        /// The oldest that will do.
        minimum: OsVersion,
    },
    /// The OS is too new.
    OsTooNew {
        /// The newest that will do.
        maximum: OsVersion,
    },
    /// A label is missing.
    Label {
        /// The missing one.
        wanted: Label,
    },
    /// A part of an expression does not hold, and no other variant says so.
    Expression {
        /// That part, as an expression; a long one is cut.
        wanted: String,
        /// What the phone has of what the part asks about, in words: `chip A13, battery unknown`.
        has: String,
    },
}

impl Mismatch {
    fn expression(term: &Term, place: &Place<'_>) -> Self {
        let facts: std::collections::BTreeSet<_> = term.atoms().map(Atom::fact).collect();
        let has: Vec<String> = facts.into_iter().map(|fact| fact.words(place)).collect();
        Self::Expression { wanted: cut(&term.to_string()), has: cut(&has.join(", ")) }
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Phone { wanted } => write!(f, "the job wants phone {wanted}"),
            Self::Rack { wanted } => write!(f, "the job wants rack {wanted}"),
            Self::Model { wanted } => write!(f, "the job wants model {}", wanted.join(" or ")),
            Self::OsTooOld { minimum } => write!(f, "the job wants iOS {minimum} or newer"),
            Self::OsTooNew { maximum } => write!(f, "the job wants iOS {maximum} or older"),
            Self::Label { wanted } => write!(f, "the job wants the label {wanted}"),
            Self::Expression { wanted, has } if has.is_empty() => write!(f, "the job wants {wanted}"),
            Self::Expression { wanted, has } => write!(f, "the job wants {wanted}; this phone has {has}"),
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
