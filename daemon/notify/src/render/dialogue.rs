//! One parcel's requests from first to last: most receivers take one, trackers several.

use holdfast_wire::time::Time;

use super::exchange::{Keys, Reply, Request};
use super::ticket::{Api, TicketTalk};
use super::{dingtalk, feishu, github, gitlab, jira, slack, tapd, teams, ticket_webhook, webhook, wecom};
use crate::outbox::{Outcome, Parcel};
use crate::rules::{Receiver, Setup};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// This request; its reply goes into the next turn.
    Ask(Request),
    /// It is over.
    Done(Outcome),
}

/// The requests of one parcel.
#[derive(Debug)]
pub struct Dialogue {
    talk: Talk,
}

#[derive(Debug)]
enum Talk {
    Once { request: Option<Request>, read: fn(&Reply) -> Outcome },
    Ticket(Box<TicketTalk>),
}

impl Dialogue {
    /// The requests of a parcel to a receiver that is spoken to over HTTP.
    ///
    /// # Errors
    /// Why it cannot be sent there, in words.
    pub fn begin(receiver: &Receiver, parcel: &Parcel, keys: &Keys, now: Time) -> Result<Self, String> {
        let message = &parcel.message;
        let once = |request, read| Ok(Self { talk: Talk::Once { request: Some(request), read } });
        match &receiver.setup {
            Setup::Feishu { .. } => once(feishu::request(message, keys, now), feishu::read),
            Setup::Dingtalk { keyword, .. } => {
                once(dingtalk::request(message, keys, keyword.as_deref(), now), dingtalk::read)
            }
            Setup::Wecom { .. } => once(wecom::request(message, keys), wecom::read),
            Setup::Slack { .. } => once(slack::request(message, keys), slack::read),
            Setup::Teams { .. } => once(teams::request(message, keys), teams::read),
            Setup::Webhook { .. } => once(webhook::request(parcel, keys, now)?, webhook::read),
            Setup::Email(_) => Err("a mailbox is not spoken to over HTTP".to_owned()),
            Setup::Github(tracker) => Self::ticket(parcel, Box::new(github::Github::new(tracker, keys))),
            Setup::Gitlab { tracker, confidential } => {
                Self::ticket(parcel, Box::new(gitlab::Gitlab::new(tracker, *confidential, keys)))
            }
            Setup::Jira { tracker, user, issue_type, api } => {
                let api = jira::Jira::new(tracker, user.as_deref(), issue_type, *api, keys);
                Self::ticket(parcel, Box::new(api))
            }
            Setup::Tapd { tracker, user, reporter, closed, reopened } => {
                let api = tapd::Tapd::new(tracker, user, reporter.as_deref(), (closed, reopened), keys);
                Self::ticket(parcel, Box::new(api))
            }
            Setup::TicketWebhook { .. } => {
                once(ticket_webhook::request(parcel, keys, now)?, ticket_webhook::read)
            }
        }
    }

    fn ticket(parcel: &Parcel, api: Box<dyn Api>) -> Result<Self, String> {
        let Some(ticket) = parcel.message.ticket.clone() else {
            return Err(
                "the message says nothing of a ticket, and the receiver keeps nothing else".to_owned()
            );
        };
        let talk = TicketTalk::new(api, parcel.message.clone(), ticket, parcel.ticket.clone());
        Ok(Self { talk: Talk::Ticket(Box::new(talk)) })
    }

    /// The next request, or the end; `reply` is none at the first turn.
    pub fn turn(&mut self, reply: Option<&Reply>) -> Turn {
        match &mut self.talk {
            Talk::Ticket(talk) => talk.turn(reply),
            Talk::Once { request, read } => match (request.take(), reply) {
                (Some(request), _) => Turn::Ask(request),
                (None, Some(reply)) => Turn::Done(read(reply)),
                (None, None) => {
                    Turn::Done(Outcome::Later { quiet: None, answer: "no reply came".to_owned() })
                }
            },
        }
    }
}
