//! `holdfast doctor`: looks whether what is needed works, one line each, with the mend of what does not.

use std::path::Path;
use std::time::Duration;

use holdfast_wire::api::{Page, PhoneView, RackView};
use holdfast_wire::time::Time;
use holdfast_wire::views::{MirrorView, SourcesView, SymbolServerView};
use serde::Serialize;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{now, table};

/// The daemon's clock and ours may differ by so much before ages in tables mislead.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(5);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// Worth knowing; work goes on.
    Note,
    Bad,
}

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let mut findings = vec![daemon(context).await];
    if findings.iter().all(|finding| finding.state == State::Good) {
        findings.push(clock(context).await);
        findings.push(racks(context).await);
        findings.push(phones(context).await);
        findings.extend(sources(context).await);
    }
    findings.push(usbmuxd());
    let bad = findings.iter().any(|finding| finding.state == State::Bad);
    context.show(&findings, |findings| {
        let rows = findings.iter().map(|finding| {
            let mark = match finding.state {
                State::Good => "ok",
                State::Note => "note",
                State::Bad => "BAD",
            };
            vec![mark.to_owned(), finding.what.to_owned(), finding.words.clone()]
        });
        table(&["", "what", "found"], &[], rows)
    })?;
    Ok(if bad { Exit::Error } else { Exit::Done })
}

async fn daemon(context: &Context) -> Finding {
    let what = "daemon";
    match context.client.bytes("/readyz").await {
        Ok(_) => {
            Finding { what, state: State::Good, words: format!("answers at {}", context.client.server()) }
        }
        Err(failure) => Finding { what, state: State::Bad, words: failure.to_string() },
    }
}

async fn clock(context: &Context) -> Finding {
    let what = "clock";
    let answer: Result<serde_json::Value, Failure> = context.client.get("/version", &[]).await;
    let theirs = answer.ok().and_then(|answer| Time::try_from(answer.get("now")?.as_str()?.to_owned()).ok());
    match theirs {
        None => Finding { what, state: State::Note, words: "the daemon does not tell its time".to_owned() },
        Some(theirs) => {
            let ours = now();
            let difference = ours.since(theirs).max(theirs.since(ours));
            let words = format!("differs from the daemon's by {} ms", difference.as_millis());
            if difference > CLOCK_DIFFERENCE_MAX {
                Finding {
                    what,
                    state: State::Note,
                    words: format!("{words}; ages in tables will mislead: set both by NTP"),
                }
            } else {
                Finding { what, state: State::Good, words }
            }
        }
    }
}

async fn racks(context: &Context) -> Finding {
    let what = "racks";
    match context.client.page::<RackView>("/api/v1/racks", &[]).await {
        Err(failure) => Finding { what, state: State::Bad, words: failure.to_string() },
        Ok(page) if page.items.is_empty() => Finding {
            what,
            state: State::Bad,
            words: "none has spoken yet; start holdfast-agent on a rack".to_owned(),
        },
        Ok(page) => {
            let silent: Vec<String> =
                page.items.iter().filter(|rack| !rack.online).map(|rack| rack.id.to_string()).collect();
            if silent.is_empty() {
                Finding { what, state: State::Good, words: format!("{} online", page.items.len()) }
            } else {
                let words =
                    format!("silent: {}; look at holdfast-agent and the network there", silent.join(", "));
                Finding { what, state: State::Bad, words }
            }
        }
    }
}

async fn phones(context: &Context) -> Finding {
    let what = "phones";
    let page: Page<PhoneView> = match context.client.page("/api/v1/phones", &[]).await {
        Ok(page) => page,
        Err(failure) => return Finding { what, state: State::Bad, words: failure.to_string() },
    };
    let idle = |phone: &&PhoneView| !matches!(phone.state.as_str(), "ready" | "busy" | "releasing");
    let troubled: Vec<String> = page
        .items
        .iter()
        .filter(idle)
        .map(|phone| format!("{} is {}: {}", phone.facts.udid, phone.state.as_str(), phone.reason))
        .collect();
    let working = page.items.len() - troubled.len();
    let state = match (working, troubled.is_empty()) {
        (0, _) => State::Bad,
        (_, true) => State::Good,
        (_, false) => State::Note,
    };
    let mut words = format!("{working} of {} can work", page.items.len());
    for trouble in troubled {
        words.push_str(&format!("; {trouble}"));
    }
    Finding { what, state, words }
}

/// What the daemon looks up elsewhere; a farm that looks nothing up has nothing to find here.
async fn sources(context: &Context) -> Vec<Finding> {
    let sources: SourcesView = match context.client.get("/api/v1/sources", &[]).await {
        Ok(sources) => sources,
        Err(failure) => {
            return vec![Finding { what: "sources", state: State::Note, words: failure.to_string() }];
        }
    };
    sources.mirrors.iter().map(mirror).chain(sources.symbol_server.iter().map(symbol_server)).collect()
}

fn symbol_server(of: &SymbolServerView) -> Finding {
    let what = "symbol server";
    let SymbolServerView { server, found, missing, trouble } = of;
    match trouble {
        Some(trouble) => Finding { what, state: State::Bad, words: format!("{server}: {trouble}") },
        None => {
            let words =
                format!("{server}: gave {found} dSYMs since the daemon's start, and has {missing} not");
            Finding { what, state: State::Good, words }
        }
    }
}

fn mirror(of: &MirrorView) -> Finding {
    let what = "mirror";
    let app = &of.app;
    if let Some(trouble) = &of.trouble {
        return Finding { what, state: State::Bad, words: format!("of {app}: {trouble}") };
    }
    if of.missing.is_empty() {
        return Finding { what, state: State::Good, words: format!("of {app}: {} commits", of.commits) };
    }
    let words = format!("of {app}: has no {}; fetch: git -C {} fetch", of.missing.join(", "), of.mirror);
    Finding { what, state: State::Note, words }
}

/// Whether phones could be seen from this very machine, which need not be a rack.
fn usbmuxd() -> Finding {
    let what = "usbmuxd here";
    let socket = Path::new("/var/run/usbmuxd");
    let words = if socket.exists() {
        "its socket is there".to_owned()
    } else {
        "its socket /var/run/usbmuxd is not there; only a rack needs it (Debian: apt install usbmuxd)"
            .to_owned()
    };
    Finding { what, state: if socket.exists() { State::Good } else { State::Note }, words }
}
