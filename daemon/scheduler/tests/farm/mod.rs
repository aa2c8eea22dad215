//! A small farm to try the brain on: the values that it is made of are in `values`, the brain with a clock and what was
//! recorded in `world`. The language of scenarios is beside it, in `script`.

mod values;
mod world;

pub(crate) use values::{end_of, ended, phone, policy, spec};
pub(crate) use world::World;
