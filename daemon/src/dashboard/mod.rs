//! Pages for people: one live page of the farm, one of its queue, and one each for a job, a phone and a
//! crash.
//!
//! Everything is rendered here on the server from the same views that the API gives; a short script of our own
//! replaces the parts that changed. Pages decide nothing and change nothing.
//!
//! | module | holds |
//! |---|---|
//! | [`picture`] | what pages are made of, and the trait through which they get it |
//! | [`farm_page`], [`queue_page`], [`job_page`], [`phone_page`], [`crash_page`], [`crash_list_page`], [`group_page`], [`notices_page`] | pure: views → HTML |
//! | `axis` | bars on an axis of time |
//! | [`part`] | pieces of a page with stable element ids, and which of them changed |
//! | `of_farm` | where the daemon's own pages get what they show |
//! | [`events`] | the stream of changed parts |
//! | [`routes`] | addresses, headers, answers |

pub mod assets;
mod axis;
pub mod crash_list_page;
pub mod crash_page;
pub mod events;
pub mod farm_page;
pub mod group_page;
pub mod job_page;
pub mod notices_page;
mod of_farm;
pub mod part;
pub mod phone_page;
pub mod picture;
pub mod queue_page;
pub mod routes;
mod rows;
mod shapes;
mod shell;
pub mod words;

pub use farm_page::render_page;
pub use picture::{
    CrashPage, CrashesPage, GroupPage, GroupsPage, JobPage, NoticesPage, PhonePage, Picture, Pictures,
    QueuePage, Span, Told, Unreadable,
};
pub use routes::routes;
