//! Expressions: a [`Term`] as its author wrote it. Here the text is read; what a term means is in `term`.
//!
//! ```text
//! expression = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation   = "not" negation | "(" expression ")" | "any" | "none" | comparison
//! comparison = fact ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
//!            | fact [ "not" ] "in" "(" value { "," value } ")"
//! fact       = "model" | "chip" | "os" | "region" | "storage" | "battery"
//!            | "slot" | "rack" | "pool" | "label" | "phone"
//! ```
//!
//! Words of the language and names of facts may be in capitals. A value is a word of letters, digits, `.`, `_`, `-`,
//! `/` and `%`, or any text in double quotes, in which `\"` and `\\` stand for themselves; after `model` a product
//! type (`iPhone14,5`) needs no quotes either. Only `os`, `storage` and `battery` have an order. A size has a unit: `B`, `KB`,
//! `MB`, `GB` or `TB`, decimal; a charge may have its `%`. `any` holds for every phone, `none` for no phone.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::term::{Atom, Compare, Fact, Term, UNITS, is_plain};
use crate::id::NAME_BYTES_MAX;

/// Bytes of an expression, at most: it is stored with every job that has it.
pub const EXPRESSION_BYTES_MAX: usize = 2_000;

/// Comparisons in an expression, at most: each costs time for every phone.
pub const ATOMS_MAX: usize = 64;

/// Brackets and `not`s inside each other, at most: the reader calls itself for each.
pub const NESTING_MAX: usize = 16;

/// Characters of a strange word that a message repeats.
const FOUND_CHARS_MAX: usize = 40;

/// An expression as its author wrote it, and what it means. Two that mean the same term are equal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: String,
    term: Term,
}

impl Expression {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it means.
    pub fn term(&self) -> &Term {
        &self.term
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.term == other.term
    }
}

impl Eq for Expression {}

impl Ord for Expression {
    fn cmp(&self, other: &Self) -> Ordering {
        self.term.cmp(&other.term)
    }
}

impl PartialOrd for Expression {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.term.hash(state);
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;
    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Expression {
    type Error = ExpressionError;
    fn try_from(text: String) -> Result<Self, ExpressionError> {
        let term = read(&text)?;
        Ok(Self { text, term })
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Expression {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Expression {}

/// Why a text is no expression. Columns count characters, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The text is too long.
    #[error("an expression has at most {EXPRESSION_BYTES_MAX} bytes, not {length}; shorten it")]
    Length {
        /// Bytes that it has.
        length: usize,
    },
    /// There are too many comparisons.
    #[error(
        "column {column}: this is one comparison more than the {ATOMS_MAX} that an expression may have; label the \
         phones and ask for the label"
    )]
    Comparisons {
        /// Where the first one too many begins.
        column: usize,
    },
    /// Too many brackets and `not`s inside each other.
    #[error("column {column}: brackets and \"not\" go at most {NESTING_MAX} deep; write it flatter")]
    Nesting {
        /// Where the first one too many begins.
        column: usize,
    },
    /// Something else belongs here.
    #[error("column {column}: found {found}, expected {expected}; for example: {example}")]
    Unexpected {
        /// Where it begins.
        column: usize,
        /// What stands there, in quotes, or `the end`.
        found: String,
        /// What should.
        expected: String,
        /// A good expression.
        example: &'static str,
    },
}

fn read(text: &str) -> Result<Term, ExpressionError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(ExpressionError::Length { length: text.len() });
    }
    let mut reader = Reader { text, at: 0, atoms: 0, depth: 0 };
    let term = reader.disjunction()?;
    let next = reader.peek();
    match next.token {
        Token::End => Ok(term),
        // Two words in a row: most likely a value with a space in it.
        Token::Word(_) | Token::Quoted(_) | Token::Unclosed | Token::Symbol(_) => Err(reader.wrong(
            &next,
            "\"and\", \"or\" or the end (a value with spaces stands in double quotes)",
            Fact::Model.example(),
        )),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    /// Letters, digits and what else [`is_plain`].
    Word(&'a str),
    /// What stood between double quotes.
    Quoted(String),
    /// A double quote without its other.
    Unclosed,
    /// Anything else, a comparison sign as a whole.
    Symbol(&'a str),
    End,
}

#[derive(Debug, Clone)]
struct Found<'a> {
    token: Token<'a>,
    start: usize,
    end: usize,
}

/// How a fact is held against values, as it is written.
enum Operator {
    One { compare: Compare, negated: Negated },
    List { negated: Negated },
}

#[derive(Clone, Copy)]
enum Negated {
    Yes,
    No,
}

impl Negated {
    fn of(self, term: Term) -> Term {
        match self {
            Self::Yes => Term::Not(Box::new(term)),
            Self::No => term,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    atoms: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn disjunction(&mut self) -> Result<Term, ExpressionError> {
        let mut terms = vec![self.conjunction()?];
        while self.take_keyword("or") {
            terms.push(self.conjunction()?);
        }
        Ok(Term::any(terms))
    }

    fn conjunction(&mut self) -> Result<Term, ExpressionError> {
        let mut terms = vec![self.negation()?];
        while self.take_keyword("and") {
            terms.push(self.negation()?);
        }
        Ok(Term::all(terms))
    }

    fn negation(&mut self) -> Result<Term, ExpressionError> {
        let next = self.peek();
        let Token::Word(word) = next.token else {
            if next.token != Token::Symbol("(") {
                return Err(self.no_fact(&next));
            }
            let inner = self.deeper(&next, Self::disjunction)?;
            self.expect(")", "\")\", \"and\" or \"or\"", "(os = 16 or os = 17) and rack = rack-1")?;
            return Ok(inner);
        };
        match word.to_ascii_lowercase().as_str() {
            "not" => self.deeper(&next, Self::negation).map(|term| Term::Not(Box::new(term))),
            "any" => {
                self.at = next.end;
                Ok(Term::All(Vec::new()))
            }
            "none" => {
                self.at = next.end;
                Ok(Term::Any(Vec::new()))
            }
            name => {
                let fact = Fact::ALL.into_iter().find(|fact| fact.as_str() == name);
                let fact = fact.ok_or_else(|| self.no_fact(&next))?;
                self.at = next.end;
                self.comparison(fact)
            }
        }
    }

    fn deeper(
        &mut self,
        opening: &Found<'a>,
        inner: fn(&mut Self) -> Result<Term, ExpressionError>,
    ) -> Result<Term, ExpressionError> {
        if self.depth == NESTING_MAX {
            return Err(ExpressionError::Nesting { column: self.column(opening.start) });
        }
        self.at = opening.end;
        self.depth += 1;
        let term = inner(self)?;
        self.depth -= 1;
        Ok(term)
    }

    fn comparison(&mut self, fact: Fact) -> Result<Term, ExpressionError> {
        match self.operator(fact)? {
            Operator::One { compare, negated } => {
                let atom = self.atom(fact, compare)?;
                Ok(negated.of(Term::Is(atom)))
            }
            Operator::List { negated } => {
                self.expect("(", "\"(\" and a list of values", Fact::Rack.example())?;
                let mut terms = vec![Term::Is(self.atom(fact, Compare::Equal)?)];
                while self.peek().token == Token::Symbol(",") {
                    self.at = self.peek().end;
                    terms.push(Term::Is(self.atom(fact, Compare::Equal)?));
                }
                self.expect(")", "\",\" or \")\"", Fact::Rack.example())?;
                Ok(negated.of(Term::any(terms)))
            }
        }
    }

    fn operator(&mut self, fact: Fact) -> Result<Operator, ExpressionError> {
        let next = self.peek();
        let one = |compare| Some(Operator::One { compare, negated: Negated::No });
        let operator = match &next.token {
            Token::Symbol("=") => one(Compare::Equal),
            Token::Symbol("!=") => Some(Operator::One { compare: Compare::Equal, negated: Negated::Yes }),
            Token::Symbol("<") if fact.is_ordered() => one(Compare::Below),
            Token::Symbol("<=") if fact.is_ordered() => one(Compare::AtMost),
            Token::Symbol(">=") if fact.is_ordered() => one(Compare::AtLeast),
            Token::Symbol(">") if fact.is_ordered() => one(Compare::Above),
            Token::Word(word) if word.eq_ignore_ascii_case("in") => {
                Some(Operator::List { negated: Negated::No })
            }
            Token::Word(word) if word.eq_ignore_ascii_case("not") => {
                self.at = next.end;
                let after = self.peek();
                if !matches!(after.token, Token::Word(word) if word.eq_ignore_ascii_case("in")) {
                    return Err(self.wrong(&after, "\"in\"", "rack not in (rack-1, rack-2)"));
                }
                self.at = after.end;
                return Ok(Operator::List { negated: Negated::Yes });
            }
            Token::Word(_) | Token::Quoted(_) | Token::Unclosed | Token::Symbol(_) | Token::End => None,
        };
        let expected = match fact.is_ordered() {
            true => "a comparison (=, !=, <, <=, >, >=, in)",
            false => "a comparison (=, !=, in)",
        };
        let operator = operator.ok_or_else(|| self.wrong(&next, expected, fact.example()))?;
        self.at = next.end;
        Ok(operator)
    }

    fn atom(&mut self, fact: Fact, compare: Compare) -> Result<Atom, ExpressionError> {
        let mut value = self.peek();
        let text = match &value.token {
            Token::Word(word) => {
                value.end += self.rest_of_value(fact, word, value.end);
                // Between a number and its unit may be a space, which is no part of the value.
                self.text[value.start..value.end].replace(' ', "")
            }
            Token::Quoted(text) => text.clone(),
            Token::Unclosed => {
                return Err(self.wrong(&value, "a closing double quote", Fact::Model.example()));
            }
            Token::Symbol(_) | Token::End => return Err(self.wrong(&value, "a value", fact.example())),
        };
        if self.atoms == ATOMS_MAX {
            return Err(ExpressionError::Comparisons { column: self.column(value.start) });
        }
        self.atoms += 1;
        let atom =
            atom_of(fact, compare, text).map_err(|expected| self.wrong(&value, &expected, fact.example()))?;
        self.at = value.end;
        Ok(atom)
    }

    /// Bytes after a word that still belong to the value: the second number of a product type, or a unit.
    fn rest_of_value(&self, fact: Fact, word: &str, end: usize) -> usize {
        let rest = self.text.get(end..).unwrap_or_default();
        if fact == Fact::Model && word.ends_with(|c: char| c.is_ascii_digit()) {
            let digits =
                rest.strip_prefix(',').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
            return if digits > 0 { 1 + digits } else { 0 };
        }
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let spaces = rest.len() - rest.trim_start_matches(' ').len();
        let unit: String = rest.chars().skip(spaces).take_while(|c| is_plain(*c)).collect();
        let is_unit = match fact {
            Fact::Storage => UNITS.iter().any(|(known, _)| known.eq_ignore_ascii_case(&unit)),
            Fact::Battery => unit == "%",
            _ => false,
        };
        if is_number && is_unit { spaces + unit.len() } else { 0 }
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let next = self.peek();
        let found = matches!(next.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        if found {
            self.at = next.end;
        }
        found
    }

    fn expect(&mut self, symbol: &str, expected: &str, example: &'static str) -> Result<(), ExpressionError> {
        let next = self.peek();
        if next.token != Token::Symbol(symbol) {
            return Err(self.wrong(&next, expected, example));
        }
        self.at = next.end;
        Ok(())
    }

    fn peek(&self) -> Found<'a> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let start = self.text.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let found = |token, length: usize| Found { token, start, end: start + length };
        let Some(first) = rest.chars().next() else { return found(Token::End, 0) };
        if first == '"' {
            return match unquoted(rest) {
                Some((text, length)) => found(Token::Quoted(text), length),
                None => found(Token::Unclosed, rest.len()),
            };
        }
        if is_plain(first) {
            let length = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
            return found(Token::Word(&rest[..length]), length);
        }
        let sign = ["!=", "<=", ">="].into_iter().find(|sign| rest.starts_with(sign));
        let length = sign.map_or(first.len_utf8(), str::len);
        found(Token::Symbol(&rest[..length]), length)
    }

    fn no_fact(&self, found: &Found<'_>) -> ExpressionError {
        let names: Vec<&str> = Fact::ALL.into_iter().map(Fact::as_str).collect();
        let expected = format!("\"not\", \"(\", \"any\" or a fact ({})", names.join(", "));
        let example = "model = \"iPhone 13\" and os >= 16";
        self.wrong(found, &expected, example)
    }

    fn wrong(&self, found: &Found<'_>, expected: &str, example: &'static str) -> ExpressionError {
        let text = self.text.get(found.start..found.end).unwrap_or_default();
        let shown: String = text.chars().take(FOUND_CHARS_MAX).collect();
        ExpressionError::Unexpected {
            column: self.column(found.start),
            found: match found.token {
                Token::End => "the end".to_owned(),
                Token::Word(_) | Token::Unclosed | Token::Symbol(_) => format!("{shown:?}"),
                Token::Quoted(_) => shown,
            },
            expected: expected.to_owned(),
            example,
        }
    }

    fn column(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or_default().chars().count() + 1
    }
}

/// The text between the first double quote and its other, and the bytes of both with it.
fn unquoted(text: &str) -> Option<(String, usize)> {
    let mut inside = String::new();
    let mut rest = text.char_indices().skip(1);
    while let Some((place, c)) = rest.next() {
        match c {
            '"' => return Some((inside, place + 1)),
            '\\' => inside.push(rest.next()?.1),
            c => inside.push(c),
        }
    }
    None
}

/// The comparison, or what the value should have been.
fn atom_of(fact: Fact, compare: Compare, text: String) -> Result<Atom, String> {
    Ok(match fact {
        Fact::Model => Atom::Model(short(text)?),
        Fact::Chip => Atom::Chip(short(text)?),
        Fact::Region => Atom::Region(short(text)?),
        Fact::Os => {
            let version = text.parse().map_err(|_odd| "a version of one to three numbers".to_owned())?;
            Atom::Os { compare, version }
        }
        Fact::Storage => {
            let bytes =
                bytes(&text).ok_or_else(|| "a size with its unit (B, KB, MB, GB or TB)".to_owned())?;
            Atom::StorageFree { compare, bytes }
        }
        Fact::Battery => {
            let percent = text.strip_suffix('%').unwrap_or(&text).parse().ok();
            let percent = percent.filter(|percent| *percent <= 100);
            Atom::Battery { compare, percent: percent.ok_or_else(|| "a charge of 0% to 100%".to_owned())? }
        }
        Fact::Slot => Atom::Slot(text.parse().map_err(|error| name("slot", &error))?),
        Fact::Rack => Atom::Rack(text.parse().map_err(|error| name("rack", &error))?),
        Fact::Pool => Atom::Pool(text.parse().map_err(|error| name("pool", &error))?),
        Fact::Label => Atom::Label(text.parse().map_err(|error| name("label", &error))?),
        Fact::Phone => Atom::Phone(text.parse().map_err(|error| name("phone", &error))?),
    })
}

fn name(what: &str, error: &crate::id::IdError) -> String {
    format!("the name of a {what} ({error})")
}

fn short(text: String) -> Result<String, String> {
    match text.len() {
        1..=NAME_BYTES_MAX => Ok(text),
        _ => Err(format!("a text of 1 to {NAME_BYTES_MAX} bytes")),
    }
}

/// `1.5GB` in bytes; none when it is no size, has no unit, or is no whole number of bytes.
fn bytes(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let (_, zeros) = UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let left = zeros.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(10_u64.pow(*zeros))?.checked_add(fraction * 10_u64.pow(left))
}
