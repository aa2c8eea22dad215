//! `holdfast notice` and `holdfast rules test`: who was told of which crash, and who would be.

use holdfast_wire::api::Page;
use holdfast_wire::notice::{NoticePlan, NoticeTest, NoticeView, ReceiverView};

use super::{Context, more, paging};
use crate::args::{NoticeCommand, RulesCommand};
use crate::exit::{Exit, Failure};
use crate::output::{ago, now, printable, table};

/// Characters of a title in a list.
const TITLE_CHARS: usize = 60;

pub(super) async fn notices(context: &Context, command: NoticeCommand) -> Result<Exit, Failure> {
    let wanted = match command {
        NoticeCommand::List(wanted) => wanted,
        NoticeCommand::Receivers => {
            let page: Page<ReceiverView> = context.client.page("/api/v1/receivers", &[]).await?;
            return context.show(&page, receivers);
        }
    };
    let filtered = wanted.state.is_some() || wanted.group.is_some() || wanted.receiver.is_some();
    let mut query = paging(&wanted.page);
    query.extend(wanted.state.map(|state| ("state", state.as_str().to_owned())));
    query.extend(wanted.group.map(|group| ("group", group)));
    query.extend(wanted.receiver.map(|receiver| ("receiver", receiver)));
    let page: Page<NoticeView> = context.client.page("/api/v1/notices", &query).await?;
    context.show(&page, |page| list(page, filtered))
}

pub(super) async fn rules(context: &Context, command: RulesCommand) -> Result<Exit, Failure> {
    let RulesCommand::Test { crash } = command;
    let plans: Vec<NoticePlan> =
        context.client.post("/api/v1/notices/test", &NoticeTest { crash }, &[]).await?;
    context.show(&plans, |plans| describe(plans))
}

fn list(page: &Page<NoticeView>, filtered: bool) -> String {
    if page.items.is_empty() && filtered {
        return "no such messages; `holdfast notice list` shows all".to_owned();
    }
    if page.items.is_empty() {
        return "nobody was told anything: `notify.yaml` says who is, and `holdfast rules test` tries it"
            .to_owned();
    }
    let now = now();
    let rows = page.items.iter().map(|notice| {
        vec![
            notice.id.to_string(),
            ago(now, notice.at),
            notice.state.word().to_owned(),
            printable(&notice.receiver),
            short(&notice.title),
            printable(&notice.words()),
        ]
    });
    let text = table(&["no", "when", "state", "to", "what", "why"], &["no"], rows);
    text + &more(page.next_cursor.as_ref())
}

fn receivers(page: &Page<ReceiverView>) -> String {
    if page.items.is_empty() {
        return "the rules name no receiver: add some to `notify.yaml`".to_owned();
    }
    let now = now();
    let rows = page.items.iter().map(|receiver| {
        let limits = receiver.limits.iter().map(|limit| {
            format!("{} of {} in {} s", limit.used, limit.messages, limit.window_ms.div_ceil(1_000))
        });
        let state = match (receiver.not_before, receiver.wants_quiet) {
            (Some(at), true) => format!("left alone until {at}, because it was told too often"),
            (Some(at), false) => format!("its limit is reached until {at}"),
            (None, _) => "free".to_owned(),
        };
        vec![
            printable(&receiver.name),
            printable(&receiver.kind),
            receiver.waiting.to_string(),
            limits.collect::<Vec<_>>().join(", "),
            receiver.last_sent.map_or_else(|| "-".to_owned(), |at| ago(now, at)),
            state,
        ]
    });
    table(&["receiver", "kind", "waiting", "told", "last", "state"], &["waiting"], rows)
}

fn describe(plans: &[NoticePlan]) -> String {
    if plans.is_empty() {
        return "nobody is told: the crash has no group, so nothing is known of what ended".to_owned();
    }
    let lines = plans.iter().map(|plan| {
        let does = if plan.told { "tell" } else { "hold back from" };
        let calls = if plan.calls.is_empty() {
            String::new()
        } else {
            format!("\n  calls:  {}", printable(&plan.calls.join(", ")))
        };
        let before = if plan.told_before { "\n  now:    nothing, because it was told before" } else { "" };
        format!(
            "{does} {}\n  what:   {}\n  why:    {}{calls}\n  when:   {}{before}",
            printable(&plan.receiver),
            printable(&plan.title),
            printable(&plan.reason),
            plan.due
        )
    });
    lines.collect::<Vec<_>>().join("\n\n")
}

fn short(title: &str) -> String {
    let title = printable(title);
    match title.char_indices().nth(TITLE_CHARS) {
        Some((end, _)) => format!("{}…", title.get(..end).unwrap_or_default()),
        None => title,
    }
}
