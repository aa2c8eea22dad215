//! The life of a ticket, the same at every tracker: found before it is made, so that none is made twice; commented rather
//! than repeated; closed and opened again. How each tracker is asked is in its own file.

use super::dialogue::Turn;
use super::exchange::{Reply, Request};
use crate::message::{Message, Ticket, TicketAction};
use crate::outbox::Outcome;

/// A ticket at its tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the tracker calls it.
    pub reference: String,
    /// Where people see it.
    pub url: Option<String>,
}

/// Whether a ticket is to be closed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Closed.
    Close,
    /// Opened again.
    Reopen,
}

/// How a tracker is asked.
pub trait Api: std::fmt::Debug + Send {
    /// Asks for the ticket with a marker.
    fn find(&self, marker: &str) -> Request;
    /// What came of it: none when there is no such ticket.
    ///
    /// # Errors
    /// What it said instead.
    fn found(&self, reply: &Reply) -> Result<Option<Found>, Outcome>;
    /// Makes the ticket.
    fn create(&self, message: &Message, ticket: &Ticket) -> Request;
    /// The ticket that was made.
    ///
    /// # Errors
    /// What it said instead.
    fn created(&self, reply: &Reply) -> Result<Found, Outcome>;
    /// Adds a comment.
    fn comment(&self, reference: &str, message: &Message) -> Request;
    /// Asks how the state can be changed, where that has to be asked.
    fn ways(&self, _reference: &str) -> Option<Request> {
        None
    }
    /// Changes the state: none when it is so already. `ways` is the answer to [`Api::ways`].
    ///
    /// # Errors
    /// Why it cannot be changed.
    fn switch(&self, reference: &str, to: Switch, ways: Option<&Reply>) -> Result<Option<Request>, Outcome>;
    /// Whether a comment or a change was taken.
    ///
    /// # Errors
    /// What it said instead.
    fn taken(&self, reply: &Reply) -> Result<(), Outcome> {
        reply.good()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Finding,
    Creating,
    AskingWays,
    Switching,
    Commenting,
    Over,
}

/// One message's requests to a tracker.
#[derive(Debug)]
pub struct TicketTalk {
    api: Box<dyn Api>,
    message: Message,
    ticket: Ticket,
    known: Option<Found>,
    /// It was looked for already: what is gone twice is gone.
    looked: bool,
    step: Step,
}

impl TicketTalk {
    /// About a message; the ticket may be known from before.
    pub fn new(api: Box<dyn Api>, message: Message, ticket: Ticket, known: Option<String>) -> Self {
        let known = known.map(|reference| Found { reference, url: None });
        Self { api, message, ticket, known, looked: false, step: Step::Begin }
    }

    /// The next request, or the end.
    pub fn turn(&mut self, reply: Option<&Reply>) -> Turn {
        self.advance(reply).unwrap_or_else(|outcome| {
            self.step = Step::Over;
            Turn::Done(outcome)
        })
    }

    fn advance(&mut self, reply: Option<&Reply>) -> Result<Turn, Outcome> {
        let none = Reply::default();
        let reply = reply.unwrap_or(&none);
        match self.step {
            Step::Begin if self.known.is_some() && self.ticket.action != TicketAction::Open => {
                self.with_ticket()
            }
            Step::Begin => Ok(self.look()),
            Step::Finding => match self.api.found(reply)? {
                Some(found) => {
                    self.known = Some(found);
                    self.with_ticket()
                }
                None if self.ticket.action == TicketAction::Close => {
                    Ok(self.end("there is no ticket to close"))
                }
                None => {
                    self.step = Step::Creating;
                    Ok(Turn::Ask(self.api.create(&self.message, &self.ticket)))
                }
            },
            Step::Creating => {
                self.known = Some(self.api.created(reply)?);
                Ok(self.end("the ticket is made"))
            }
            Step::AskingWays => {
                if let Some(again) = self.gone(reply) {
                    return Ok(again);
                }
                reply.good()?;
                self.switch(Some(reply))
            }
            Step::Switching => {
                if let Some(again) = self.gone(reply) {
                    return Ok(again);
                }
                self.api.taken(reply)?;
                self.say()
            }
            Step::Commenting => {
                if let Some(again) = self.gone(reply) {
                    return Ok(again);
                }
                self.api.taken(reply)?;
                Ok(self.end("the ticket has it"))
            }
            Step::Over => Err(Outcome::Later { quiet: None, answer: "asked after its end".to_owned() }),
        }
    }

    fn look(&mut self) -> Turn {
        self.looked = true;
        self.step = Step::Finding;
        Turn::Ask(self.api.find(&self.ticket.marker))
    }

    /// A ticket that was deleted is looked for once more, and made anew when it is really gone.
    fn gone(&mut self, reply: &Reply) -> Option<Turn> {
        if matches!(reply.status, 404 | 410) && !self.looked {
            self.known = None;
            return Some(self.look());
        }
        None
    }

    fn with_ticket(&mut self) -> Result<Turn, Outcome> {
        match self.ticket.action {
            TicketAction::Open => Ok(self.end("the ticket is there already")),
            TicketAction::Comment => self.say(),
            TicketAction::Close | TicketAction::Reopen => match self.api.ways(self.reference()) {
                Some(request) => {
                    self.step = Step::AskingWays;
                    Ok(Turn::Ask(request))
                }
                None => self.switch(None),
            },
        }
    }

    fn switch(&mut self, ways: Option<&Reply>) -> Result<Turn, Outcome> {
        let to = match self.ticket.action {
            TicketAction::Close => Switch::Close,
            TicketAction::Open | TicketAction::Comment | TicketAction::Reopen => Switch::Reopen,
        };
        match self.api.switch(self.reference(), to, ways)? {
            Some(request) => {
                self.step = Step::Switching;
                Ok(Turn::Ask(request))
            }
            None => self.say(),
        }
    }

    fn say(&mut self) -> Result<Turn, Outcome> {
        self.step = Step::Commenting;
        Ok(Turn::Ask(self.api.comment(self.reference(), &self.message)))
    }

    fn reference(&self) -> &str {
        self.known.as_ref().map_or("", |found| &found.reference)
    }

    fn end(&mut self, answer: &str) -> Turn {
        self.step = Step::Over;
        let ticket = self.known.clone().map(|found| (found.reference, found.url));
        Turn::Done(Outcome::Accepted { ticket, answer: answer.to_owned() })
    }
}

/// An answer that should have held something and didn't.
pub(super) fn odd(reply: &Reply, missed: &str) -> Outcome {
    Outcome::Later {
        quiet: reply.quiet(),
        answer: reply.advised(&format!("the answer holds no {missed}; see that `base` is the tracker's API")),
    }
}
