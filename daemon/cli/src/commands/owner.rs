//! `holdfast owner …`: list, quota.

use holdfast_wire::api::Page;
use holdfast_wire::id::Owner;
use holdfast_wire::views::{LimitsFrom, OwnerLimits, OwnerView};
use reqwest::Method;

use super::{Context, asking};
use crate::args::OwnerCommand;
use crate::exit::{Exit, Failure};
use crate::output::table;

pub(super) async fn run(context: &Context, command: OwnerCommand) -> Result<Exit, Failure> {
    match command {
        OwnerCommand::List => {
            let page: Page<OwnerView> = owners(context).await?;
            context.show(&page, list)
        }
        OwnerCommand::Quota { owner, from_file: true, who, .. } => {
            let path = limits_path(&owner);
            let view: OwnerView = context.client.order(Method::DELETE, &path, &asking(who)).await?;
            context.show(&view, one)
        }
        OwnerCommand::Quota { owner, weight, running_max, minutes_per_day, from_file: false, who } => {
            // What is put is the whole: what was not said stays as it is.
            let before =
                owners(context).await?.items.into_iter().find(|view| view.owner.as_ref() == Some(&owner));
            let before =
                before.map_or(OwnerLimits { weight: 1, running_max: None, minutes_per_day: None }, |view| {
                    OwnerLimits {
                        weight: view.weight,
                        running_max: view.running_max,
                        minutes_per_day: view.minutes_per_day,
                    }
                });
            let limits = OwnerLimits {
                weight: weight.unwrap_or(before.weight),
                running_max: running_max.map_or(before.running_max, |limit| limit.0),
                minutes_per_day: minutes_per_day.map_or(before.minutes_per_day, |limit| limit.0),
            };
            let path = limits_path(&owner);
            let view: OwnerView = context.client.put(&path, &asking(who), &limits).await?;
            context.show(&view, one)
        }
    }
}

async fn owners(context: &Context) -> Result<Page<OwnerView>, Failure> {
    context.client.page("/api/v1/owners", &[]).await
}

fn limits_path(owner: &Owner) -> String {
    format!("/api/v1/owners/{owner}/limits")
}

fn list(page: &Page<OwnerView>) -> String {
    if page.items.is_empty() {
        return "no owners yet: a job names its owner with holdfast job submit --owner NAME".to_owned();
    }
    let rows = page.items.iter().map(|view| {
        vec![
            view.owner.as_ref().map_or_else(|| "(nobody)".to_owned(), ToString::to_string),
            view.weight.to_string(),
            of(view.running as u64, view.running_max),
            view.waiting.to_string(),
            today(view),
            from(view.limits_from).to_owned(),
        ]
    });
    table(&["owner", "weight", "running", "waiting", "minutes today", "limits from"], &["limits from"], rows)
}

fn one(view: &OwnerView) -> String {
    list(&Page { items: vec![view.clone()], next_cursor: None })
}

fn today(view: &OwnerView) -> String {
    let used = view.minutes_used_today.unwrap_or(0);
    match view.minutes_per_day {
        None => "no quota".to_owned(),
        quota @ Some(_) if view.over_quota => format!("{}: used up, others go first", of(used, quota)),
        quota @ Some(_) => of(used, quota),
    }
}

fn of(used: u64, limit: Option<u32>) -> String {
    limit.map_or_else(|| used.to_string(), |limit| format!("{used} of {limit}"))
}

fn from(limits_from: LimitsFrom) -> &'static str {
    match limits_from {
        LimitsFrom::Hand => "by hand",
        LimitsFrom::File => "pools file",
        LimitsFrom::Default => "default",
    }
}
