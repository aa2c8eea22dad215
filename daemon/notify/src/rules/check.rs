//! `notify.yaml` as written → [`Rules`], or every mistake in it with its path; the place in the file is found by whoever
//! read it.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Origin, OsStage, ReceiverName, address};
use crate::rate::{Limit, MESSAGES_MAX};

use super::model::{
    AlsoTicket, Digest, Filter, JiraApi, Mailbox, Matcher, OwnerRule, Person, PhoneRoute, Receiver, Rules,
    Setup, TicketRoute, Tracker, UrgentRoute,
};
use super::pattern::Pattern;
use super::raw::{Kind, Raw, RawFilter, RawMatcher, RawOwnerRule, RawPerson, RawReceiver, RawSecret, Tls};
use super::secret::SecretPlace;

/// Receivers, at most: each has its own queue.
pub const RECEIVERS_MAX: usize = 200;

/// A minute, in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// One mistake: the path in the document (`receivers[1].url`), what is wrong, and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub path: String,
    /// What, and the mend.
    pub what: String,
}

impl Raw {
    /// The rules.
    ///
    /// # Errors
    /// Every mistake that can be told at once.
    pub fn check(self) -> Result<Rules, Vec<Mistake>> {
        let mut check = Check::default();
        let rules = check.rules(self);
        if check.mistakes.is_empty() { Ok(rules) } else { Err(check.mistakes) }
    }
}

#[derive(Default)]
struct Check {
    mistakes: Vec<Mistake>,
    /// Receivers with mistakes of their own: that they are missed is none.
    broken: BTreeSet<ReceiverName>,
}

impl Check {
    fn say(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.mistakes.push(Mistake { path: path.into(), what: what.into() });
    }

    fn rules(&mut self, raw: Raw) -> Rules {
        let receivers = self.receivers(&raw.receivers);
        let people = self.people(&raw.people, &raw.receivers);
        let owners = raw.owners.iter().enumerate().map(|(i, rule)| self.owner(i, rule, &receivers)).collect();
        let only = raw.only.iter().enumerate();
        let only = only.map(|(i, matcher)| self.matcher(&format!("only[{i}]"), matcher)).collect();
        let filters = raw.hold_back.iter().enumerate();
        let hold_back = filters.map(|(i, filter)| self.filter(i, filter)).collect();
        let urgent = raw.urgent.map(|urgent| {
            let ticket = if urgent.ticket_too { AlsoTicket::Yes } else { AlsoTicket::No };
            if urgent.ticket_too && raw.tickets.is_none() {
                self.say("urgent.ticket_too", "there is no `tickets`; add it, or say false");
            }
            UrgentRoute { to: self.chats("urgent.to", &urgent.to, &receivers), ticket }
        });
        let tickets = raw.tickets.map(|tickets| {
            self.minutes("tickets.comment_every_minutes", tickets.comment_every_minutes);
            TicketRoute {
                tracker: self.tracker("tickets.tracker", &tickets.tracker, &receivers),
                comment_every_minutes: tickets.comment_every_minutes,
            }
        });
        let digest = raw.digest.map(|digest| {
            self.minutes("digest.every_minutes", digest.every_minutes);
            let to = self.chats("digest.to", &digest.to, &receivers);
            Digest { to, every_minutes: digest.every_minutes }
        });
        let phones =
            raw.phones.map(|phones| PhoneRoute { to: self.chats("phones.to", &phones.to, &receivers) });
        let flow = raw.main_flow.iter().enumerate();
        let main_flow =
            flow.filter_map(|(i, case)| self.name(&format!("main_flow[{i}]"), Some(case))).collect();
        if raw.farm_url.as_ref().is_some_and(|url| crate::text::safe_url(url).is_none()) {
            self.say("farm_url", "it begins with https:// or http:// and holds no blank; mend it");
        }
        let farm_url = raw.farm_url.map(|url| url.trim_end_matches('/').to_owned());
        let default_owner = raw.default_owner.map(|owner| address(&owner));
        Rules {
            receivers,
            people,
            owners,
            default_owner,
            only,
            hold_back,
            main_flow,
            farm_url,
            urgent,
            tickets,
            digest,
            phones,
        }
    }

    fn minutes(&mut self, path: &str, minutes: u32) {
        if !(1..=10_080).contains(&minutes) {
            self.say(path, format!("{minutes} is not between 1 minute and 10080 (a week); mend it"));
        }
    }

    fn receivers(&mut self, raw: &[RawReceiver]) -> BTreeMap<ReceiverName, Receiver> {
        if raw.len() > RECEIVERS_MAX {
            self.say("receivers", format!("there are {}, and at most {RECEIVERS_MAX} may be", raw.len()));
        }
        let mut receivers = BTreeMap::new();
        for (index, receiver) in raw.iter().enumerate() {
            let path = format!("receivers[{index}]");
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if receiver.name.is_empty() || receiver.name.len() > 64 || !receiver.name.chars().all(plain) {
                let mend = "a name has 1 to 64 letters, digits, '.', '_' and '-'; choose another";
                self.say(format!("{path}.name"), mend);
            }
            self.strangers(&path, receiver);
            let limits = self.limits(&path, receiver);
            let name = ReceiverName(receiver.name.clone());
            let Some(setup) = self.setup(&path, receiver) else {
                self.broken.insert(name);
                continue;
            };
            let checked = Receiver { name: name.clone(), setup, limits, plain_http: receiver.plain_http };
            if receivers.insert(name, checked).is_some() {
                self.say(format!("{path}.name"), "the name is taken by one above; choose another");
            }
        }
        receivers
    }

    /// Settings that this kind of receiver does not have.
    fn strangers(&mut self, path: &str, raw: &RawReceiver) {
        let known: &[&str] = match raw.kind {
            Kind::Feishu => &["url", "secret"],
            Kind::Dingtalk => &["url", "secret", "keyword"],
            Kind::Wecom | Kind::Slack | Kind::Teams => &["url"],
            Kind::Webhook | Kind::TicketWebhook => &["url", "secret"],
            Kind::Email => &["host", "port", "tls", "ca_file", "user", "token", "from", "to"],
            Kind::Github => &["base", "token", "project", "labels"],
            Kind::Gitlab => &["base", "token", "project", "labels", "confidential"],
            Kind::Jira => &["base", "token", "project", "labels", "user", "issue_type", "api"],
            Kind::Tapd => &["base", "token", "project", "labels", "user", "reporter", "states"],
        };
        let given = [
            ("url", raw.url.is_some()),
            ("secret", raw.secret.is_some()),
            ("keyword", raw.keyword.is_some()),
            ("base", raw.base.is_some()),
            ("token", raw.token.is_some()),
            ("user", raw.user.is_some()),
            ("project", raw.project.is_some()),
            ("labels", !raw.labels.is_empty()),
            ("issue_type", raw.issue_type.is_some()),
            ("api", raw.api.is_some()),
            ("confidential", raw.confidential.is_some()),
            ("reporter", raw.reporter.is_some()),
            ("states", raw.states.is_some()),
            ("host", raw.host.is_some()),
            ("port", raw.port.is_some()),
            ("tls", raw.tls.is_some()),
            ("ca_file", raw.ca_file.is_some()),
            ("from", raw.from.is_some()),
            ("to", !raw.to.is_empty()),
        ];
        for (field, _) in given.iter().filter(|(field, given)| *given && !known.contains(field)) {
            self.say(
                format!("{path}.{field}"),
                format!("a receiver of this kind knows {} only; take it out", known.join(", ")),
            );
        }
    }

    fn limits(&mut self, path: &str, raw: &RawReceiver) -> Vec<Limit> {
        // Documented: WeCom and DingTalk 20 a minute (DingTalk then locks a robot out for ten), Feishu 100 a minute and
        // 5 a second, Slack about one a second. A little less, because their clocks are others.
        let (minute, second) = match raw.kind {
            Kind::Wecom | Kind::Dingtalk => (18, None),
            Kind::Feishu => (90, Some(4)),
            Kind::Slack => (50, Some(1)),
            Kind::Teams => (30, Some(2)),
            Kind::Email => (30, None),
            Kind::Webhook | Kind::TicketWebhook => (120, None),
            // GitHub asks for a second between requests that create content.
            Kind::Github | Kind::Gitlab | Kind::Jira | Kind::Tapd => (30, Some(1)),
        };
        if raw.per_minute.is_some_and(|messages| !(1..=MESSAGES_MAX).contains(&messages)) {
            self.say(format!("{path}.per_minute"), format!("1 to {MESSAGES_MAX} are possible; mend it"));
        }
        let minute = Limit { messages: raw.per_minute.unwrap_or(minute), window_ms: MINUTE_MS };
        let second = second.map(|messages| Limit { messages, window_ms: 1_000 });
        std::iter::once(minute).chain(second).collect()
    }

    fn setup(&mut self, path: &str, raw: &RawReceiver) -> Option<Setup> {
        let secret = raw.secret.as_ref().map(|secret| self.secret(&format!("{path}.secret"), secret));
        let secret = match secret {
            Some(None) => return None,
            Some(Some(place)) => Some(place),
            None => None,
        };
        Some(match raw.kind {
            Kind::Feishu => Setup::Feishu { url: self.url(path, raw)?, secret },
            Kind::Dingtalk => {
                Setup::Dingtalk { url: self.url(path, raw)?, secret, keyword: raw.keyword.clone() }
            }
            Kind::Wecom => Setup::Wecom { url: self.url(path, raw)? },
            Kind::Slack => Setup::Slack { url: self.url(path, raw)? },
            Kind::Teams => Setup::Teams { url: self.url(path, raw)? },
            Kind::Email => Setup::Email(self.mailbox(path, raw)?),
            Kind::Webhook => {
                Setup::Webhook { url: self.url(path, raw)?, secret: self.needed(path, "secret", secret)? }
            }
            Kind::TicketWebhook => Setup::TicketWebhook {
                url: self.url(path, raw)?,
                secret: self.needed(path, "secret", secret)?,
            },
            Kind::Github => {
                let tracker = self.tracker_of(path, raw, Some("https://api.github.com"))?;
                if tracker.project.split('/').count() != 2 {
                    self.say(format!("{path}.project"), "a repository is written owner/name; mend it");
                }
                Setup::Github(tracker)
            }
            Kind::Gitlab => Setup::Gitlab {
                tracker: self.tracker_of(path, raw, Some("https://gitlab.com"))?,
                confidential: raw.confidential.unwrap_or(false),
            },
            Kind::Jira => Setup::Jira {
                tracker: self.tracker_of(path, raw, None)?,
                user: raw.user.clone(),
                issue_type: raw.issue_type.clone().unwrap_or_else(|| "Bug".to_owned()),
                api: match raw.api {
                    None | Some(3) => JiraApi::Three,
                    Some(2) => JiraApi::Two,
                    Some(other) => {
                        self.say(format!("{path}.api"), format!("{other} is unknown; say 2 or 3"));
                        return None;
                    }
                },
            },
            Kind::Tapd => Setup::Tapd {
                tracker: self.tracker_of(path, raw, Some("https://api.tapd.cn"))?,
                user: self.needed(path, "user", raw.user.clone())?,
                reporter: raw.reporter.clone(),
                closed: raw.states.as_ref().map_or("closed", |states| &states.closed).to_owned(),
                reopened: raw.states.as_ref().map_or("reopened", |states| &states.reopened).to_owned(),
            },
        })
    }

    fn needed<T>(&mut self, path: &str, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.say(path, format!("`{field}` is missing; add it"));
        }
        value
    }

    fn url(&mut self, path: &str, raw: &RawReceiver) -> Option<SecretPlace> {
        let url = self.needed(path, "url", raw.url.as_ref())?;
        self.secret(&format!("{path}.url"), url)
    }

    fn secret(&mut self, path: &str, raw: &RawSecret) -> Option<SecretPlace> {
        match (&raw.env, &raw.file) {
            (Some(env), None) => Some(SecretPlace::Env(env.clone())),
            (None, Some(file)) => Some(SecretPlace::File(file.clone())),
            (None, None) | (Some(_), Some(_)) => {
                self.say(path, "a secret lies in one place: say `env: NAME` or `file: PATH`");
                None
            }
        }
    }

    fn tracker_of(&mut self, path: &str, raw: &RawReceiver, base: Option<&str>) -> Option<Tracker> {
        let base = self.needed(path, "base", raw.base.clone().or_else(|| base.map(str::to_owned)))?;
        if !(base.starts_with("https://") || base.starts_with("http://")) || base.contains(['@', '?', '#']) {
            let what = "it begins with https:// and holds no user, query or fragment; mend it";
            self.say(format!("{path}.base"), what);
        }
        let token = self.needed(path, "token", raw.token.as_ref())?;
        let token = self.secret(&format!("{path}.token"), token)?;
        let project = self.needed(path, "project", raw.project.clone())?;
        if raw.labels.iter().any(|label| label.is_empty() || label.contains([',', '|', ' ', '"'])) {
            let what = "a label has no comma, bar, quote or blank: some tracker would split it; mend it";
            self.say(format!("{path}.labels"), what);
        }
        Some(Tracker {
            base: base.trim_end_matches('/').to_owned(),
            token,
            project,
            labels: raw.labels.clone(),
        })
    }

    fn mailbox(&mut self, path: &str, raw: &RawReceiver) -> Option<Mailbox> {
        let host = self.needed(path, "host", raw.host.clone())?;
        let from = self.needed(path, "from", raw.from.clone())?;
        let addresses = std::iter::once(("from", &from)).chain(raw.to.iter().map(|to| ("to", to)));
        for (field, address) in
            addresses.filter(|(_, text)| text.parse::<lettre::message::Mailbox>().is_err())
        {
            self.say(format!("{path}.{field}"), format!("{address:?} is no e-mail address; mend it"));
        }
        if raw.to.is_empty() {
            self.say(path, "`to` is missing; add who gets everything");
        }
        let tls = raw.tls.unwrap_or(Tls::Starttls);
        let port = raw.port.unwrap_or(match tls {
            Tls::Wrapped => 465,
            Tls::Starttls => 587,
            Tls::None => 25,
        });
        let login = match (&raw.user, &raw.token) {
            (Some(user), Some(token)) => Some((user.clone(), self.secret(&format!("{path}.token"), token)?)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.say(path, "`user` and `token` go together; add the other");
                None
            }
        };
        if raw.ca_file.is_some() && tls == Tls::None {
            self.say(
                format!("{path}.ca_file"),
                "nobody vouches for a server without TLS; take one of them out",
            );
        }
        let (ca_file, to) = (raw.ca_file.clone(), raw.to.clone());
        Some(Mailbox { host, port, tls, ca_file, login, from, to })
    }

    fn people(&mut self, raw: &[RawPerson], receivers: &[RawReceiver]) -> BTreeMap<String, Person> {
        let names: BTreeSet<&str> = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
        let mut people = BTreeMap::new();
        for (index, person) in raw.iter().enumerate() {
            for name in person.ids.keys().filter(|name| !names.contains(name.as_str())) {
                self.say(
                    format!("people[{index}].ids.{name}"),
                    format!("there is no receiver {name}; mend its spelling or take it out"),
                );
            }
            let ids = person.ids.iter().map(|(name, id)| (ReceiverName(name.clone()), id.clone())).collect();
            let name = person.name.clone().unwrap_or_else(|| person.email.clone());
            let checked = Person { name, ids };
            for email in std::iter::once(&person.email).chain(&person.also) {
                if people.insert(address(email), checked.clone()).is_some() {
                    let what = format!("{email} stands in the list twice; take one out");
                    self.say(format!("people[{index}].email"), what);
                }
            }
        }
        people
    }

    fn owner(
        &mut self,
        index: usize,
        raw: &RawOwnerRule,
        receivers: &BTreeMap<ReceiverName, Receiver>,
    ) -> OwnerRule {
        let path = format!("owners[{index}]");
        if raw.path.is_none() && raw.module.is_none() && raw.case.is_none() {
            self.say(&path, "it names no path, module or case, so it would own all; use default_owner");
        }
        let file = raw.path.as_ref().and_then(|text| self.kept(&format!("{path}.path"), Pattern::path(text)));
        let tracker =
            raw.tracker.as_ref().map(|name| self.tracker(&format!("{path}.tracker"), name, receivers));
        OwnerRule {
            path: file,
            module: self.name(&format!("{path}.module"), raw.module.as_ref()),
            case: self.name(&format!("{path}.case"), raw.case.as_ref()),
            owner: address(&raw.owner),
            tracker,
        }
    }

    fn filter(&mut self, index: usize, raw: &RawFilter) -> Filter {
        let path = format!("hold_back[{index}]");
        if raw.reason.trim().is_empty() {
            self.say(format!("{path}.reason"), "people read it; say why");
        }
        Filter { matcher: self.matcher(&format!("{path}.match"), &raw.matcher), reason: raw.reason.clone() }
    }

    fn matcher(&mut self, path: &str, raw: &RawMatcher) -> Matcher {
        let RawMatcher { process, bundle_id, kind, signature, branch, case, phone, os, os_beta, simulated } =
            raw;
        let texts = [process, bundle_id, kind, signature, branch, case, phone, os];
        if texts.iter().all(|text| text.is_none()) && os_beta.is_none() && simulated.is_none() {
            self.say(path, "it names nothing, so it would fit everything; say what it is about");
        }
        let regex =
            signature.as_ref().and_then(|text| self.kept(&format!("{path}.signature"), Pattern::regex(text)));
        let mut name =
            |field: &str, text: &Option<String>| self.name(&format!("{path}.{field}"), text.as_ref());
        Matcher {
            process: name("process", process),
            bundle_id: name("bundle_id", bundle_id),
            kind: name("kind", kind),
            branch: name("branch", branch),
            case: name("case", case),
            phone: name("phone", phone),
            os: name("os", os),
            signature: regex,
            os_stage: os_beta.map(|beta| if beta { OsStage::Beta } else { OsStage::Released }),
            origin: simulated.map(|pretend| if pretend { Origin::Simulated } else { Origin::Real }),
        }
    }

    fn name(&mut self, path: &str, text: Option<&String>) -> Option<Pattern> {
        text.and_then(|text| self.kept(path, Pattern::name(text)))
    }

    fn kept<T>(&mut self, path: &str, built: Result<T, String>) -> Option<T> {
        built.map_err(|what| self.say(path, what)).ok()
    }

    fn chats(
        &mut self,
        path: &str,
        names: &[String],
        receivers: &BTreeMap<ReceiverName, Receiver>,
    ) -> Vec<ReceiverName> {
        if names.is_empty() {
            self.say(path, "it names nobody; add a receiver, or take the route out");
        }
        for (index, name) in names.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let name = ReceiverName(name.clone());
            match receivers.get(&name) {
                None if self.broken.contains(&name) => {}
                None => self.say(path, format!("there is no receiver {name}; mend its spelling or add it")),
                Some(found) if found.setup.is_tracker() => {
                    self.say(path, format!("{name} keeps tickets; name a chat, a mailbox or a webhook"));
                }
                Some(_) => {}
            }
        }
        names.iter().cloned().map(ReceiverName).collect()
    }

    fn tracker(
        &mut self,
        path: &str,
        name: &str,
        receivers: &BTreeMap<ReceiverName, Receiver>,
    ) -> ReceiverName {
        let name = ReceiverName(name.to_owned());
        match receivers.get(&name) {
            None if self.broken.contains(&name) => {}
            None => self.say(path, format!("there is no receiver {name}; mend its spelling or add it")),
            Some(found) if !found.setup.is_tracker() => {
                self.say(path, format!("{name} keeps no tickets; name a tracker"));
            }
            Some(_) => {}
        }
        name
    }
}
