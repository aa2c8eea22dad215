//! `notify.yaml` as it is written. What it means is in [`super::model`]; what may not stand together is told in
//! [`super::check`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Who is told what about crashes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "notify.yaml of Holdfast")]
pub struct Raw {
    /// Chats, mailboxes and trackers.
    #[serde(default)]
    pub receivers: Vec<RawReceiver>,
    /// Whom to call: e-mail addresses of authors and owners, and their ids at receivers.
    #[serde(default)]
    pub people: Vec<RawPerson>,
    /// Who owns what: the first rule that fits decides.
    #[serde(default)]
    pub owners: Vec<RawOwnerRule>,
    /// The address that owns what no rule names.
    pub default_owner: Option<String>,
    /// When there are any, only crashes that fit one of these are told.
    #[serde(default)]
    pub only: Vec<RawMatcher>,
    /// What is held back: the first that fits gives the reason.
    #[serde(default)]
    pub hold_back: Vec<RawFilter>,
    /// Patterns of the cases of the main flow, which every branch runs.
    #[serde(default)]
    pub main_flow: Vec<String>,
    /// Where people reach this daemon: messages link to its pages.
    pub farm_url: Option<String>,
    /// Crashes at launch and in the main flow.
    pub urgent: Option<RawUrgent>,
    /// All others.
    pub tickets: Option<RawTickets>,
    /// What is collected and told now and then.
    pub digest: Option<RawDigest>,
    /// Phones that are near the limit of waiting crash files, or wrote reports no more.
    pub phones: Option<RawPhones>,
}

/// A chat, mailbox or tracker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReceiver {
    /// Its name: what the routes say.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Chats and webhooks: where to post. The address is a secret.
    pub url: Option<RawSecret>,
    /// feishu, dingtalk: the signing secret. webhook, ticket_webhook: the Standard Webhooks secret (`whsec_…`).
    pub secret: Option<RawSecret>,
    /// dingtalk: a word that the robot demands in every message.
    pub keyword: Option<String>,
    /// Trackers: where its API is, like `https://gitlab.example.com`.
    pub base: Option<String>,
    /// Trackers: the access token, or the password that goes with `user`.
    pub token: Option<RawSecret>,
    /// jira, tapd, email: the user that signs in.
    pub user: Option<String>,
    /// github: `owner/name`; gitlab: id or path; jira: the key; tapd: the workspace id.
    pub project: Option<String>,
    /// Trackers: labels of every ticket.
    #[serde(default)]
    pub labels: Vec<String>,
    /// jira: the type of the issue (`Bug` when it is left out).
    pub issue_type: Option<String>,
    /// jira: `3` for the cloud, `2` for a data center.
    pub api: Option<u8>,
    /// gitlab: whether only members see the issues.
    pub confidential: Option<bool>,
    /// tapd: who reports.
    pub reporter: Option<String>,
    /// tapd: the state that closes a bug (`closed`), and the one that opens it again (`reopened`).
    pub states: Option<RawStates>,
    /// email: the server, like `mail.example.com`.
    pub host: Option<String>,
    /// email: its port.
    pub port: Option<u16>,
    /// email: how the way to it is kept secret.
    pub tls: Option<Tls>,
    /// email: a file of PEM certificates, the only authorities that the server may be vouched for by; those of this machine
    /// when it is left out.
    pub ca_file: Option<PathBuf>,
    /// email: the sender's address.
    pub from: Option<String>,
    /// email: the addresses that get everything; who is called gets it too.
    #[serde(default)]
    pub to: Vec<String>,
    /// Messages in any minute, at most; what the receiver is known to bear when it is left out.
    #[schemars(range(min = 1, max = 1000))]
    pub per_minute: Option<u32>,
    /// Whether http is good enough beyond this machine.
    #[serde(default)]
    pub plain_http: bool,
}

/// What a receiver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A robot of a Feishu or Lark group.
    Feishu,
    /// A robot of a DingTalk group.
    Dingtalk,
    /// A robot of a WeCom group.
    Wecom,
    /// An incoming webhook of Slack.
    Slack,
    /// A Workflows webhook of Teams.
    Teams,
    /// E-mail.
    Email,
    /// Any program that takes Standard Webhooks.
    Webhook,
    /// Issues of GitHub.
    Github,
    /// Issues of GitLab.
    Gitlab,
    /// Issues of Jira.
    Jira,
    /// Bugs of TAPD.
    Tapd,
    /// Tickets of any program that takes Standard Webhooks and answers with the ticket's id.
    TicketWebhook,
}

/// How the way to a mail server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// From the first byte (port 465).
    Wrapped,
    /// After STARTTLS, which is demanded (port 587).
    Starttls,
    /// Not at all (port 25): for a server on this machine.
    None,
}

/// The names of states at a tracker.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStates {
    /// The state that closes a bug.
    pub closed: String,
    /// The state that opens it again.
    pub reopened: String,
}

/// Where a secret lies: an environment variable of the daemon, or a file that only it may read. Never the secret itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSecret {
    /// The name of an environment variable.
    pub env: Option<String>,
    /// A file; the newline at its end does not count.
    pub file: Option<PathBuf>,
}

/// Someone who can be called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPerson {
    /// The e-mail address in commits.
    pub email: String,
    /// Further addresses of the same person.
    #[serde(default)]
    pub also: Vec<String>,
    /// The name that chats show.
    pub name: Option<String>,
    /// Receiver → the id that calls or assigns: open id (feishu), mobile number (dingtalk), user id (wecom, slack),
    /// sign-in address (teams), address (email), login (github), number (gitlab), account id (jira), nick (tapd).
    #[serde(default)]
    pub ids: BTreeMap<String, String>,
}

/// Who owns what. Everything that is named must fit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOwnerRule {
    /// A pattern of the file of the topmost frame of the app: `src/login/**`.
    pub path: Option<String>,
    /// A pattern of that frame's module: `libchat*`.
    pub module: Option<String>,
    /// A pattern of the case that was running: `video-*`.
    pub case: Option<String>,
    /// The owner's address.
    pub owner: String,
    /// The tracker that gets their tickets, when it is another than that of `tickets`.
    pub tracker: Option<String>,
}

/// A description of crashes. Everything that is named must fit; patterns know `*`, `**` and `?`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMatcher {
    /// A pattern of the process.
    pub process: Option<String>,
    /// A pattern of the app.
    pub bundle_id: Option<String>,
    /// The kind of report: `crash`, `jetsam`, …
    pub kind: Option<String>,
    /// A regular expression that is looked for in the signature's words.
    pub signature: Option<String>,
    /// A pattern of the branch.
    pub branch: Option<String>,
    /// A pattern of the case.
    pub case: Option<String>,
    /// A pattern of the phone: it fits when every phone that saw the crash does.
    pub phone: Option<String>,
    /// A pattern of the system: `iPhone OS 18.*`.
    pub os: Option<String>,
    /// Whether the system is a beta.
    pub os_beta: Option<bool>,
    /// Whether pretend phones saw it.
    pub simulated: Option<bool>,
}

/// What is held back, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFilter {
    /// Which crashes.
    #[serde(rename = "match")]
    pub matcher: RawMatcher,
    /// Why: people read it.
    pub reason: String,
}

/// Crashes at launch and in the main flow: told at once, with a call to the author, once per group and build.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUrgent {
    /// The chats that are told.
    pub to: Vec<String>,
    /// Whether the owner gets a ticket as well.
    #[serde(default)]
    pub ticket_too: bool,
}

/// Tickets: one per group, commented rather than repeated, closed when the group is fixed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTickets {
    /// The tracker.
    pub tracker: String,
    /// Minutes between two comments on one ticket, at least.
    #[serde(default = "an_hour")]
    #[schemars(range(min = 1, max = 10080))]
    pub comment_every_minutes: u32,
}

fn an_hour() -> u32 {
    60
}

/// What is collected and told now and then: every other change, in one message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDigest {
    /// The chats or mailboxes.
    pub to: Vec<String>,
    /// How often.
    #[serde(default = "a_day")]
    #[schemars(range(min = 1, max = 10080))]
    pub every_minutes: u32,
}

/// Phones that are near the limit of waiting crash files, or wrote reports no more: for those who look after racks, once
/// a day for each phone and kind of report.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPhones {
    /// The chats or mailboxes.
    pub to: Vec<String>,
}

fn a_day() -> u32 {
    1_440
}
