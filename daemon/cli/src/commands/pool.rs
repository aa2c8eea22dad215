//! `holdfast pool …`: list, set.

use holdfast_wire::api::Page;
use holdfast_wire::id::Owner;
use holdfast_wire::job::JobClass;
use holdfast_wire::views::{PoolChoice, PoolChoiceView, PoolView};
use reqwest::Method;

use super::{Context, asking};
use crate::args::PoolCommand;
use crate::exit::{Exit, Failure};
use crate::output::{fields, table};

pub(super) async fn run(context: &Context, command: PoolCommand) -> Result<Exit, Failure> {
    match command {
        PoolCommand::List => {
            let page: Page<PoolView> = context.client.page("/api/v1/pools", &[]).await?;
            context.show(&page, list)
        }
        PoolCommand::Set { udid, pool, from_file: _, who } => {
            let path = format!("/api/v1/phones/{udid}/pool");
            let choice: PoolChoiceView = match pool {
                Some(pool) => context.client.put(&path, &asking(who), &PoolChoice { pool }).await?,
                None => context.client.order(Method::DELETE, &path, &asking(who)).await?,
            };
            context.show(&choice, chosen)
        }
    }
}

fn list(page: &Page<PoolView>) -> String {
    if page.items.is_empty() {
        return "no pools: name them in the file that `pools` names in holdfastd.yaml, then holdfast config reload"
            .to_owned();
    }
    let rows = page.items.iter().map(|pool| {
        vec![
            pool.name.to_string(),
            pool.phones.len().to_string(),
            classes(&pool.serves),
            classes(&pool.lends),
            owners(&pool.only),
        ]
    });
    let mut text = table(&["pool", "phones", "serves", "lends to", "only for"], &[], rows);
    let by_hand: Vec<Vec<String>> = page
        .items
        .iter()
        .flat_map(|pool| pool.phones.iter().filter(|phone| phone.by_hand).map(move |phone| (pool, phone)))
        .map(|(pool, phone)| {
            vec![phone.udid.to_string(), format!("{}/{}", phone.rack, phone.slot), pool.name.to_string()]
        })
        .collect();
    if !by_hand.is_empty() {
        text.push_str("\n\nput there by hand (back: holdfast pool set UDID --from-file):\n");
        text.push_str(&table(&["phone", "rack/slot", "pool"], &[], by_hand));
    }
    text
}

fn chosen(choice: &PoolChoiceView) -> String {
    let none = "none: it gets no work";
    let name = |pool: Option<&holdfast_wire::id::PoolName>| pool.map_or(none.to_owned(), ToString::to_string);
    let by_hand = choice.by_hand.as_ref().map(ToString::to_string).unwrap_or_default();
    fields(&[
        ("phone", choice.phone.to_string()),
        ("pool", name(choice.pool.as_ref())),
        ("by hand", by_hand),
        ("by the pools file", name(choice.by_file.as_ref())),
    ])
}

fn classes(classes: &[JobClass]) -> String {
    classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ")
}

fn owners(owners: &[Owner]) -> String {
    if owners.is_empty() {
        return "anyone".to_owned();
    }
    owners.iter().map(Owner::as_str).collect::<Vec<_>>().join(", ")
}
