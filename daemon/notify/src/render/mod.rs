//! Message → requests of one receiver, and what its answers mean. Nothing here has a network: a [`Dialogue`] names one
//! request after the other and is told the replies.
//!
//! | module | holds |
//! |---|---|
//! | [`exchange`] | requests, replies, and what a status alone says |
//! | [`dialogue`] | one parcel's requests from first to last |
//! | [`layout`] | a message as text within a limit, in each receiver's markup |
//! | `feishu`, `dingtalk`, `wecom`, `slack`, `teams`, `webhook` | chats |
//! | `ticket` | the life of a ticket, the same at every tracker |
//! | `github`, `gitlab`, `jira`, `tapd`, `ticket_webhook` | trackers |
//! | [`mail`] | a message as a letter |

pub mod dialogue;
pub mod dingtalk;
pub mod exchange;
pub mod feishu;
pub mod github;
pub mod gitlab;
pub mod jira;
pub mod layout;
pub mod mail;
pub mod slack;
pub mod tapd;
pub mod teams;
pub mod ticket;
pub mod ticket_webhook;
pub mod webhook;
pub mod wecom;

pub use dialogue::{Dialogue, Turn};
pub use exchange::{Keys, Method, Reply, Request};
