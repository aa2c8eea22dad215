//! The page of all crashes, newest first. One of them is `crash_page`'s, what they have in common `group_page`'s.

use holdfast_wire::time::Time;
use maud::{Markup, html};

use super::part::all;
use super::picture::CrashesPage;
use super::rows::{by_udid, crash, ways};
use super::shell::{Frame, still};
use super::words::count;

/// The page.
pub fn render(page: &CrashesPage, now: Time) -> Markup {
    let phones = by_udid(&page.phones);
    let rows: Vec<_> = page.crashes.iter().map(|one| crash(one, &phones, now)).collect();
    let frame = Frame { title: "All crashes", class: "one", now, simulated: page.simulated };
    still(
        frame,
        html! {
            section.head #head {
                h1 { "All crashes" }
                p.lead { (count(page.total, "crash")) " in this farm, the one that was collected last first." }
                p.links { a href="/groups" { "by group" } a href="/api/v1/crashes" { "as JSON" } }
            }
            section.list #crashes aria-label="Crashes" {
                @if rows.is_empty() { p.empty { "No crash has been collected." } }
                ol.rows { (all(&rows)) }
                (ways("/crashes", page.begins.as_ref(), page.goes_on.as_ref()))
            }
        },
    )
}
