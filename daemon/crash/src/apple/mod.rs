//! Reports in the text form that Apple's own tools make of them, for tools and people who expect it.
//!
//! | module | holds |
//! |---|---|
//! | [`convert`] | which report has such a form, and the sections in their order |
//! | [`heads`] | the sections above the threads, of phones and of Macs |
//! | [`stacks`] | threads and frames |
//! | [`states`] | registers and the instructions around the crash |
//! | [`tails`] | images and what follows them |
//!
//! The order of sections and the names of fields on phones are those of the template in OSAnalytics (iOS 26); widths and
//! the form of Macs are those of public pairs of a report and its translation.

mod convert;
mod heads;
mod stacks;
mod states;
mod tails;

pub use convert::apple_text;
