//! How fast the farm is. Real daemons are started and talked to over HTTP as agents and clients do; the brain is also
//! measured alone, and a peer's queue side by side. What a good figure is, is [`report`]'s.
//!
//! | module | holds |
//! |---|---|
//! | [`allocated`] | how much memory something takes |
//! | [`figures`] | what a measurement returns, medians over runs |
//! | [`http`] | an HTTP/1.1 client so light that it does not take the machine from what is measured |
//! | [`phones`] | simulated phones and the mix of requirements that jobs have |
//! | [`agent`] | a light agent: the real protocol, no phone behind it |
//! | [`farm`] | a real daemon with light agents |
//! | [`clients`] | many clients that submit at once |
//! | [`backlog`] | a store with any number of waiting jobs |
//! | [`rig`] | the brain alone, in virtual time |
//! | [`random`] | numbers from a seed |
//! | [`measure`] | one module per measurement |
//! | [`trace`] | a day of work, recorded or made from a seed |
//! | [`bound`] | how early jobs can start at all |
//! | [`storm`] | a farm with a past, and the crash files that come over it |
//! | [`report`] | targets, peers, table and JSON |

pub mod agent;
pub mod allocated;
pub mod backlog;
pub mod bound;
pub mod clients;
pub mod farm;
pub mod figures;
pub mod http;
pub mod measure;
pub mod phones;
pub mod random;
pub mod report;
pub mod rig;
pub mod storm;
pub mod trace;
