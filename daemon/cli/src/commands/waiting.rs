//! What is said of a job that waits, or would: its rules, its phones, its expected start.

use holdfast_wire::api::{Eta, Explanation, JobEta, PhoneAnswer, Plan, PlanAnswer, RuleAnswer};
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::time::Time;

use crate::output::{ahead, fields, now, printable, table};

/// `holdfast job explain`
pub(super) fn explanation(answer: &Explanation) -> String {
    let mut text = format!("{} waits: {}\n", answer.job, printable(&answer.summary));
    push(&mut text, &rules(&answer.rules));
    push(&mut text, &phones(&answer.phones));
    text
}

/// `holdfast job eta`
pub(super) fn job_eta(answer: &JobEta) -> String {
    let waiting = answer.waiting.as_deref().map(printable).unwrap_or_default();
    match &answer.eta {
        Some(eta) => expected(&[("job", answer.job.to_string()), ("waits", waiting)], now(), eta),
        None => format!(
            "when {} starts cannot be said{}{waiting}\nsee why, phone by phone: holdfast job explain {}",
            answer.job,
            if waiting.is_empty() { "" } else { ": " },
            answer.job
        ),
    }
}

/// `holdfast job plan`
pub(super) fn plan(plan: &Plan) -> String {
    let mut text = match &plan.would {
        PlanAnswer::StartsNow { phones } => {
            let phones: Vec<&str> = phones.iter().map(holdfast_wire::id::Udid::as_str).collect();
            format!("it would start now on {}\n", phones.join(" and "))
        }
        PlanAnswer::Waits { eta, ahead: _, summary } => {
            let mut text = format!("it would wait: {}\n", printable(summary));
            if let Some(eta) = eta {
                push(&mut text, &expected(&[], now(), eta));
            }
            text
        }
        PlanAnswer::Never { why } => format!("nothing here can ever match: {}\n", printable(why)),
    };
    let preempted = plan.preempts.iter().map(|one| {
        let when = match one.when {
            YieldWhen::AtOnce => "at once",
            YieldWhen::CaseDone => "when its case is done",
        };
        format!("{} ({}) would give {} up {when}\n", one.attempt, one.class, one.phone)
    });
    push(&mut text, &preempted.collect::<String>());
    push(&mut text, &rules(&plan.rules));
    push(&mut text, &phones(&plan.phones));
    text
}

/// An expected start in a few words: `in 5 min (3 min to 9 min)`.
pub(super) fn in_short(now: Time, eta: &Eta) -> String {
    if eta.latest <= now {
        return "now".to_owned();
    }
    let far = |then: Time| crate::output::span(then.since(now));
    format!("{} ({} to {})", ahead(now, eta.likely), far(eta.earliest), far(eta.latest))
}

/// An expected start, below what else there is to say.
fn expected(above: &[(&str, String)], now: Time, eta: &Eta) -> String {
    let at = |time: Time| format!("{time} ({})", ahead(now, time));
    let below = [
        ("starts", at(eta.likely)),
        ("not before", at(eta.earliest)),
        ("not after", at(eta.latest)),
        ("sure", format!("{} of 100 such jobs start in this range", eta.confidence_percent)),
        ("because", eta.words.clone()),
    ];
    fields(&[above, &below].concat())
}

fn rules(rules: &[RuleAnswer]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let now = now();
    let rows = rules.iter().map(|rule| {
        let until = rule.until.map(|until| ahead(now, until)).unwrap_or_default();
        vec![until, rule.words.clone()]
    });
    let text = table(&["when", "rule"], &[], rows);
    format!("{text}\n")
}

fn phones(phones: &[PhoneAnswer]) -> String {
    if phones.is_empty() {
        return String::new();
    }
    let rows =
        phones.iter().map(|phone| vec![phone.phone.to_string(), phone.rack.to_string(), phone.words.clone()]);
    format!("{}\n", table(&["phone", "rack", "why not"], &["rack"], rows))
}

/// A block below what is there, after an empty line.
fn push(text: &mut String, block: &str) {
    if !block.is_empty() {
        text.push('\n');
        text.push_str(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_start_is_a_range_until_it_is_over() {
        let at = |minutes: i64| Time::from_unix_ms(1_000_000_000_000 + minutes * 60_000);
        let eta = |earliest, likely, latest| Eta {
            earliest: at(earliest),
            likely: at(likely),
            latest: at(latest),
            confidence_percent: 90,
            words: String::new(),
        };
        assert_eq!(in_short(at(0), &eta(0, 5, 240)), "in 5 min (0 s to 4 h)");
        assert_eq!(in_short(at(3), &eta(0, 2, 6)), "now (0 s to 3 min)");
        assert_eq!(in_short(at(7), &eta(0, 2, 6)), "now");
    }
}
