//! The API: one file per resource, each parse → request to the loop or look at the picture → answer.
//!
//! | module | serves |
//! |---|---|
//! | [`agents`] | `/agent/v1/…`: what agents say and fetch |
//! | [`builds`], [`jobs`], [`plan`], [`queue`], [`phones`], [`racks`], [`crashes`], [`cases`] | `/api/v1/…` |
//! | [`pools`], [`owners`], [`schedules`], [`config`] | the rules, as operators see and change them |
//! | [`changes`] | the change stream |
//! | [`health`] | whether the daemon is well, and its metrics |
//! | [`sources`] | whether what it looks up elsewhere can be had |
//! | [`answer`] | how an answer is written where there are thousands a second |
//! | [`problem`] | how a refusal looks |
//! | [`lists`] | lists that do not shift |
//! | [`router`] | all of it together, with limits and headers |

pub mod agents;
pub mod answer;
pub mod audit;
pub mod builds;
pub mod cases;
pub mod changes;
pub mod config;
pub mod crashes;
pub mod groups;
pub mod health;
pub mod job_list;
pub mod jobs;
pub mod lists;
pub mod notices;
pub mod owners;
pub mod phones;
pub mod plan;
pub mod pools;
pub mod problem;
pub mod queue;
pub mod racks;
pub mod router;
pub mod schedules;
pub mod sources;
pub mod state;
pub mod who;
