//! How fast the farm is. Real daemons are started and talked to over HTTP as agents and clients do; the brain is also
//! measured alone, and a peer's queue side by side. What a good figure is, is [`report`]'s.
//!
//! | module | holds |
//! |---|---|
//! | [`figures`] | what a measurement returns, medians over runs |
//! | [`http`] | an HTTP/1.1 client so light that it does not take the machine from what is measured |
//! | [`phones`] | simulated phones and the mix of requirements that jobs have |
//! | [`agent`] | a light agent: the real protocol, no phone behind it |
//! | [`farm`] | a real daemon with light agents |
//! | [`clients`] | many clients that submit at once |
//! | [`backlog`] | a store with any number of waiting jobs |
//! | [`random`] | numbers from a seed |
//! | [`measure`] | one module per measurement |
//! | [`report`] | targets, peers, table and JSON |

pub mod agent;
pub mod backlog;
pub mod clients;
pub mod farm;
pub mod figures;
pub mod http;
pub mod measure;
pub mod phones;
pub mod random;
pub mod report;
