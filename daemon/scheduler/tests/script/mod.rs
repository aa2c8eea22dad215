//! The language of scenarios: its lines are in `lines`, its words for the operator's rules in `rules`, and what it needs
//! of the farm in `life`.

mod life;
mod lines;
mod rules;

pub(crate) use lines::check;
