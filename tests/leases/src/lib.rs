//! The lease protocol, model-checked: two lives of the daemon, two agents, a phone that moves between their racks, and a
//! network that loses, repeats and delays. Every interleaving up to a bound is walked through, and laws hold in each
//! state.
//!
//! What decides is the real thing: the brain of the daemon (`holdfast_scheduler`) and the agent's rule of leases
//! (`agent/src/phone/wanted.rs`, compiled in). What stands around them here is as small as it can be: a disk that has what
//! was committed, an outbox, orders as a state by phone. How an attempt works is not here, nor is time, beyond one step
//! that makes a rack silent.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | the state, what can happen, and the laws |
//! | [`daemon`] | the brain between its disk and its orders |
//! | [`agent`] | a rack's leases: one phone's seat, outbox, memory |
//! | [`network`] | requests and answers under way |
//! | [`broken`] | known bugs, to be planted: each must be found |

pub mod agent;
pub mod broken;
pub mod daemon;
pub mod model;
pub mod network;
pub mod nouns;

// The agent's own rule, from its source: which lease is next.
#[path = "../../../agent/src/phone/wanted.rs"]
#[expect(dead_code, reason = "nothing is fetched ahead here")]
mod wanted;
