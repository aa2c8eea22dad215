//! Which reports tell of the same defect: a class, and the app's own functions on top of the stack.
//!
//! | module | holds |
//! |---|---|
//! | [`sign`] | what a signature is made of, and the rules that may be configured |
//! | [`class`] | the class of an end |
//! | [`normalise`] | names of functions without what differs from build to build |
//! | [`skip`] | frames that say nothing about the defect |
//! | [`similar`] | how much two stacks have in common |
//!
//! Merging and splitting groups by hand is not here.

mod class;
mod normalise;
mod sign;
mod similar;
mod skip;

pub use sign::{Rules, SIGNATURE_VERSION, Signature, signature, stack};
pub use similar::similarity;
