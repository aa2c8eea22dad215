//! The HTML document around a page: head, header, the stripe that shows when the picture is old, footer.

use holdfast_wire::time::Time;
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE, version};
use super::part::{Part, all, digest};
use super::words::{absolute, ago};

/// What a page needs beside its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// The title of the window.
    pub(crate) title: &'a str,
    /// The class of the main element.
    pub(crate) class: &'a str,
    /// When the picture was made.
    pub(crate) now: Time,
    /// Whether what it shows comes from simulated phones.
    pub(crate) simulated: bool,
}

/// A page that stays as it is.
pub(crate) fn still(frame: Frame<'_>, content: Markup) -> Markup {
    document(frame, None, content)
}

/// A page that follows the stream at `events`; `resting` are the same parts as they look at the moment at which
/// parts are compared.
pub(crate) fn live(frame: Frame<'_>, events: &str, parts: &[Part], resting: &[Part]) -> Markup {
    document(frame, Some((events, digest(resting))), all(parts))
}

fn document(frame: Frame<'_>, stream: Option<(&str, String)>, content: Markup) -> Markup {
    let (events, seen) = match &stream {
        Some((events, seen)) => (Some(*events), Some(seen.as_str())),
        None => (None, None),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · Holdfast" }
                link rel="icon" type="image/svg+xml" href=(ICON.address());
                link rel="stylesheet" href=(STYLE.address());
                script src=(SCRIPT.address()) defer {}
            }
            body data-now=(frame.now) data-events=[events] data-seen=[seen] data-assets=(version()) {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" {
                        img src=(ICON.address()) alt="" width="28" height="28";
                        "Holdfast"
                    }
                    nav.pages aria-label="Pages" {
                        @for (address, name) in [("/", "Farm"), ("/queue", "Queue"), ("/groups", "Crashes"), ("/notices", "Notices")] {
                            a href=(address) aria-current=[(frame.title == name).then_some("page")] { (name) }
                        }
                    }
                    @if frame.simulated {
                        span.simulated title="Phones of this farm are simulated; no real phone runs these jobs" {
                            "simulated phones"
                        }
                    }
                    @if stream.is_some() {
                        p.stamp { "updated " span #stamp { (ago(frame.now, frame.now)) } }
                    } @else {
                        p.stamp { "as of " (absolute(frame.now)) }
                    }
                }
                p #stale role="status" aria-live="polite" hidden {}
                p #news .unseen role="status" aria-live="polite" {}
                main #main class=(frame.class) { (content) }
            }
        }
    }
}
