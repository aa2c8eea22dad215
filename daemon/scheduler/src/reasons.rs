//! What each rule says of a waiting job, the weightiest first.

use holdfast_wire::api::{Rule, RuleAnswer};
use holdfast_wire::time::Time;

use crate::explain::behind;
use crate::scheduler::Scheduler;
use crate::shares::{day_of, end_of_day};
use crate::waiting::Slot;

impl Scheduler {
    /// What each rule says of a waiting job.
    pub(crate) fn rules_of(&self, slot: &Slot, ahead: usize) -> Vec<RuleAnswer> {
        let spec = &slot.record.spec;
        let lane = &self.lanes.list[slot.lane];
        let mut answers = Vec::new();
        let mut say =
            |rule, words: String, until: Option<Time>| answers.push(RuleAnswer { rule, words, until });
        if let Some(why) = self.hopeless(slot) {
            say(Rule::NeverFits, format!("nothing that the farm has can ever run it: {why}"), None);
        }
        if lane.shut.window {
            let (name, opens) = self.window_of(spec.class);
            let words = format!("{} jobs start while window {name} is open", spec.class);
            say(Rule::Window { name }, words, opens);
        }
        self.owner_rules(slot, &mut say);
        if let (Some(name), Some(home)) = (&spec.compare, self.home(slot)) {
            let phone = self.phones[home].udid().clone();
            let words = format!("it waits for phone {phone}, where {name} began");
            let until = slot.record.submitted_at.after(self.policy.compare_wait);
            say(Rule::Comparison { name: name.clone(), phone }, words, Some(until));
        }
        if spec.phones > 1 {
            let free = self.free_for(slot);
            let words = format!("it needs {} phones at once; {free} are free for it", spec.phones);
            say(Rule::Gang { needed: spec.phones, free }, words, None);
        }
        if let Some(phone) = slot.summons {
            let phone = self.phones[phone].udid().clone();
            let words = format!("phone {phone} is taken from lesser work for it");
            say(Rule::Preempts { phone }, words, None);
        }
        say(Rule::Order { class: spec.class, ahead }, behind(ahead), None);
        if slot.is_lifted {
            let words = "it has waited so long that only strict classes go before it".to_owned();
            say(Rule::Lifted, words, None);
        } else if let Some(after) = self.rule(spec.class).lift_after {
            let at = slot.record.submitted_at.after(after);
            say(Rule::LiftsLater, "then it goes before all that is not strict".to_owned(), Some(at));
        }
        let steps = self.lanes.wants[lane.key.wants].steps.iter().zip(0u32..).skip(lane.key.step + 1);
        for ((after, term), number) in steps {
            let at = slot.record.submitted_at.after(*after);
            let phones = term.to_string();
            say(
                Rule::Fallback { number, phones: phones.clone() },
                format!("from then on, {phones} will do"),
                Some(at),
            );
        }
        if !slot.record.attempts.is_empty() {
            let attempts = u32::try_from(slot.record.attempts.len()).unwrap_or(u32::MAX);
            let words = format!("it had {attempts} attempts; where it failed it goes last");
            say(Rule::Retry { attempts }, words, None);
        }
        if let Some(start_by) = spec.start_by {
            say(Rule::StartBy, "then it expires unless it has started".to_owned(), Some(start_by));
        }
        answers
    }

    fn owner_rules(&self, slot: &Slot, say: &mut impl FnMut(Rule, String, Option<Time>)) {
        let lane = &self.lanes.list[slot.lane];
        let share = &self.shares.list[slot.owner];
        let Some(owner) = &share.owner else { return };
        if let (true, Some(running_max)) = (share.is_full(lane.key.phones), share.rule.running_max) {
            let words = format!("{owner} runs {} of {running_max} jobs that it may at once", share.running);
            say(Rule::OwnerLimit { owner: owner.clone(), running_max }, words, None);
        }
        if let (true, Some(minutes_per_day)) = (share.is_beyond_quota(), share.rule.minutes_per_day) {
            let minutes_used = u32::try_from(share.used_ms / 60_000).unwrap_or(u32::MAX);
            let words = format!(
                "{owner} has used {minutes_used} of {minutes_per_day} phone-minutes today, and more is running: \
                 others go first"
            );
            let rule = Rule::OverQuota { owner: owner.clone(), minutes_used, minutes_per_day };
            say(rule, words, Some(end_of_day(day_of(self.now))));
        }
    }
}
