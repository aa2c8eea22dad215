//! The rules, checked: what is wrong with them was told in [`super::check`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::event::{Event, Flow, Origin, OsStage, ReceiverName, address};
use crate::message::Mention;
use crate::rate::Limit;

use super::pattern::Pattern;
use super::raw::Tls;
use super::secret::SecretPlace;

/// Who is told what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Receivers by name.
    pub receivers: BTreeMap<ReceiverName, Receiver>,
    /// People by each of their addresses, in small letters.
    pub people: BTreeMap<String, Person>,
    /// Who owns what; the first that fits decides.
    pub owners: Vec<OwnerRule>,
    /// Who owns what no rule names.
    pub default_owner: Option<String>,
    /// When there are any, only these are told.
    pub only: Vec<Matcher>,
    /// What is held back.
    pub hold_back: Vec<Filter>,
    /// The cases of the main flow.
    pub main_flow: Vec<Pattern>,
    /// Where people reach the daemon, without a slash at the end.
    pub farm_url: Option<String>,
    /// Crashes at launch and in the main flow.
    pub urgent: Option<UrgentRoute>,
    /// Tickets.
    pub tickets: Option<TicketRoute>,
    /// What is collected.
    pub digest: Option<Digest>,
    /// Who hears of phones that lose crash reports.
    pub phones: Option<PhoneRoute>,
}

/// A chat, mailbox or tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: ReceiverName,
    /// What it is, and what that kind needs.
    pub setup: Setup,
    /// How often it may be spoken to.
    pub limits: Vec<Limit>,
    /// Whether http is good enough beyond this machine.
    pub plain_http: bool,
}

/// What each kind of receiver needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setup {
    /// Feishu or Lark.
    Feishu {
        /// Where to post.
        url: SecretPlace,
        /// The signing secret, when the robot demands one.
        secret: Option<SecretPlace>,
    },
    /// DingTalk.
    Dingtalk {
        /// Where to post.
        url: SecretPlace,
        /// The signing secret, when the robot demands one.
        secret: Option<SecretPlace>,
        /// The word that the robot demands.
        keyword: Option<String>,
    },
    /// WeCom.
    Wecom {
        /// Where to post.
        url: SecretPlace,
    },
    /// Slack.
    Slack {
        /// Where to post.
        url: SecretPlace,
    },
    /// Teams.
    Teams {
        /// Where to post.
        url: SecretPlace,
    },
    /// E-mail.
    Email(Mailbox),
    /// Standard Webhooks.
    Webhook {
        /// Where to post.
        url: SecretPlace,
        /// What to sign with.
        secret: SecretPlace,
    },
    /// Issues of GitHub.
    Github(Tracker),
    /// Issues of GitLab.
    Gitlab {
        /// The tracker.
        tracker: Tracker,
        /// Whether only members see the issues.
        confidential: bool,
    },
    /// Issues of Jira.
    Jira {
        /// The tracker.
        tracker: Tracker,
        /// Who signs in with the token; without, the token is enough.
        user: Option<String>,
        /// The type of the issue.
        issue_type: String,
        /// Which form texts have.
        api: JiraApi,
    },
    /// Bugs of TAPD.
    Tapd {
        /// The tracker.
        tracker: Tracker,
        /// Who signs in.
        user: String,
        /// Who reports.
        reporter: Option<String>,
        /// The state that closes.
        closed: String,
        /// The state that opens again.
        reopened: String,
    },
    /// Tickets of any program.
    TicketWebhook {
        /// Where to post.
        url: SecretPlace,
        /// What to sign with.
        secret: SecretPlace,
    },
}

/// A mail server and its letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way is kept secret.
    pub tls: Tls,
    /// The authorities that may vouch for it; those of this machine when there is none.
    pub ca_file: Option<PathBuf>,
    /// Who signs in, and the password.
    pub login: Option<(String, SecretPlace)>,
    /// The sender's address.
    pub from: String,
    /// Who gets everything.
    pub to: Vec<String>,
}

/// What all trackers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracker {
    /// Where its API is, without a slash at the end.
    pub base: String,
    /// The access token.
    pub token: SecretPlace,
    /// The project.
    pub project: String,
    /// Labels of every ticket.
    pub labels: Vec<String>,
}

/// Which form texts have at Jira.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JiraApi {
    /// Version 2, wiki text: a data center.
    Two,
    /// Version 3, documents: the cloud.
    Three,
}

/// Someone who can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name that chats show.
    pub name: String,
    /// Their ids.
    pub ids: BTreeMap<ReceiverName, String>,
}

/// Who owns what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRule {
    /// The file of the topmost frame of the app.
    pub path: Option<Pattern>,
    /// That frame's module.
    pub module: Option<Pattern>,
    /// The case.
    pub case: Option<Pattern>,
    /// The owner's address.
    pub owner: String,
    /// The tracker, when it is a special one.
    pub tracker: Option<ReceiverName>,
}

/// A description of crashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    /// The process.
    pub process: Option<Pattern>,
    /// The app.
    pub bundle_id: Option<Pattern>,
    /// The kind of report.
    pub kind: Option<Pattern>,
    /// The signature's words.
    pub signature: Option<Pattern>,
    /// The branch.
    pub branch: Option<Pattern>,
    /// The case.
    pub case: Option<Pattern>,
    /// Every phone.
    pub phone: Option<Pattern>,
    /// The system.
    pub os: Option<Pattern>,
    /// Whether the system is a beta.
    pub os_stage: Option<OsStage>,
    /// Who saw it.
    pub origin: Option<Origin>,
}

/// What is held back, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Which crashes.
    pub matcher: Matcher,
    /// Why.
    pub reason: String,
}

/// Where crashes at launch and in the main flow go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrgentRoute {
    /// The chats.
    pub to: Vec<ReceiverName>,
    /// Whether the owner gets a ticket as well.
    pub ticket: AlsoTicket,
}

/// Whether an urgent crash gets a ticket as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlsoTicket {
    /// It does.
    Yes,
    /// The chat is enough.
    No,
}

/// Where tickets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRoute {
    /// The tracker.
    pub tracker: ReceiverName,
    /// Minutes between two comments.
    pub comment_every_minutes: u32,
}

/// Where digests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// To whom.
    pub to: Vec<ReceiverName>,
    /// How often.
    pub every_minutes: u32,
}

/// Who hears of phones that lose crash reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneRoute {
    /// The chats or mailboxes.
    pub to: Vec<ReceiverName>,
}

impl Setup {
    /// What it is, in the word of the rules.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Feishu { .. } => "feishu",
            Self::Dingtalk { .. } => "dingtalk",
            Self::Wecom { .. } => "wecom",
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Email(_) => "email",
            Self::Webhook { .. } => "webhook",
            Self::Github(_) => "github",
            Self::Gitlab { .. } => "gitlab",
            Self::Jira { .. } => "jira",
            Self::Tapd { .. } => "tapd",
            Self::TicketWebhook { .. } => "ticket_webhook",
        }
    }

    /// Whether it keeps tickets.
    pub fn is_tracker(&self) -> bool {
        match self {
            Self::Github(_)
            | Self::Gitlab { .. }
            | Self::Jira { .. }
            | Self::Tapd { .. }
            | Self::TicketWebhook { .. } => true,
            Self::Feishu { .. }
            | Self::Dingtalk { .. }
            | Self::Wecom { .. }
            | Self::Slack { .. }
            | Self::Teams { .. }
            | Self::Email(_)
            | Self::Webhook { .. } => false,
        }
    }
}

impl Rules {
    /// The limits of every receiver, for the queue.
    pub fn limits(&self) -> BTreeMap<ReceiverName, Vec<Limit>> {
        self.receivers.iter().map(|(name, receiver)| (name.clone(), receiver.limits.clone())).collect()
    }

    /// Whether a case is one of the main flow.
    pub fn flow(&self, case: Option<&str>) -> Flow {
        let is_main = case.is_some_and(|case| self.main_flow.iter().any(|pattern| pattern.fits(case)));
        if is_main { Flow::Main } else { Flow::Side }
    }

    /// How a receiver calls someone: none when it does not know them.
    pub fn mention(&self, receiver: &ReceiverName, author: &str) -> Option<Mention> {
        let person = self.people.get(&address(author))?;
        Some(Mention { id: person.ids.get(receiver)?.clone(), name: person.name.clone() })
    }

    /// The owner of a crash: the address, the tracker that is theirs, and why.
    pub fn owner(&self, event: &Event) -> Option<(&str, Option<&ReceiverName>, String)> {
        let rule = self.owners.iter().find(|rule| rule.fits(event));
        match rule {
            Some(rule) => Some((&rule.owner, rule.tracker.as_ref(), rule.why())),
            None => self
                .default_owner
                .as_deref()
                .map(|owner| (owner, None, "no owner rule fits, so it goes to the default owner".to_owned())),
        }
    }
}

impl OwnerRule {
    fn fits(&self, event: &Event) -> bool {
        let top = event.top_frame();
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.fits(text)))
        };
        fits(&self.path, top.and_then(|frame| frame.file.as_deref()))
            && fits(&self.module, top.map(|frame| frame.module.as_str()))
            && fits(&self.case, event.case.as_deref())
    }

    fn why(&self) -> String {
        let parts = [("path", &self.path), ("module", &self.module), ("case", &self.case)];
        let named: Vec<String> = parts
            .iter()
            .filter_map(|(word, pattern)| Some(format!("{word} {}", pattern.as_ref()?.as_str())))
            .collect();
        format!("owner rule {}", named.join(", "))
    }
}

impl Matcher {
    /// Whether it fits.
    pub fn fits(&self, event: &Event) -> bool {
        let fits = |pattern: &Option<Pattern>, text: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| pattern.fits(text)))
        };
        let branch = event.build.as_ref().and_then(|build| build.branch.as_deref());
        let phones = self.phone.as_ref().is_none_or(|pattern| {
            !event.phones.is_empty() && event.phones.iter().all(|phone| pattern.fits(phone))
        });
        fits(&self.process, Some(&event.process))
            && fits(&self.bundle_id, event.bundle_id.as_deref())
            && fits(&self.kind, Some(&event.kind))
            && fits(&self.signature, Some(&event.title))
            && fits(&self.branch, branch)
            && fits(&self.case, event.case.as_deref())
            && phones
            && fits(&self.os, event.os.as_deref())
            && self.os_stage.is_none_or(|stage| stage == event.os_stage)
            && self.origin.is_none_or(|origin| origin == event.origin)
    }

    /// Whether it fits a phone alone: one that says anything of crashes does not.
    pub fn fits_phone(&self, phone: &str, origin: Origin) -> bool {
        let Self {
            process,
            bundle_id,
            kind,
            signature,
            branch,
            case,
            phone: named,
            os,
            os_stage,
            origin: of,
        } = self;
        let of_crashes = [process, bundle_id, kind, signature, branch, case, os];
        of_crashes.iter().all(|pattern| pattern.is_none())
            && os_stage.is_none()
            && named.as_ref().is_none_or(|pattern| pattern.fits(phone))
            && of.is_none_or(|of| of == origin)
    }
}
