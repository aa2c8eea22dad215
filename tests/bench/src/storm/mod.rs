//! A farm with a past, and a storm of crash files over it. What is measured of it is `measure::storm`'s.
//!
//! | module | holds |
//! |---|---|
//! | [`builds`] | small archives that the daemon takes for builds, each with a UUID of its own |
//! | [`reports`] | crash files made from our fixtures, any number of them, of some hundred defects |
//! | [`rack`] | an agent that ends attempts at once and carries crash files, losing confirmations on the way |
//! | [`readers`] | people with the dashboard open |

pub mod builds;
pub mod rack;
pub mod readers;
pub mod reports;
