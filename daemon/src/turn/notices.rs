//! What the loop does about telling people: it decides with every crash who is told, in the same transaction, and hands
//! out what is to be sent only once that is recorded.

use holdfast_notify::event::GroupId as NotedGroup;
use holdfast_notify::outbox::EntryId;
use holdfast_notify::{Change, Event, Next, Outcome};
use holdfast_store::Store;
use holdfast_wire::api::CrashView;
use holdfast_wire::group::GroupState;
use holdfast_wire::id::{CrashId, GroupId, Udid};
use holdfast_wire::notice::NoticePlan;

use super::{Loop, Turn};
use crate::farm::FarmError;
use crate::groups::{Moves, News};
use crate::notices::{NoticeAsk, Post, event, first_bad, troubles};

impl<S: Store> Loop<S> {
    pub(super) fn decide_notice(&mut self, turn: &mut Turn, ask: NoticeAsk) -> Result<(), FarmError> {
        match ask {
            NoticeAsk::Next { answer } => {
                let post = self.next_post(turn)?;
                turn.answer(answer, post);
            }
            NoticeAsk::Answered { id, outcome, jitter, answer } => {
                self.post_answered(turn, id, outcome, jitter)?;
                turn.answer(answer, ());
            }
            NoticeAsk::FirstBad { group, answer } => {
                self.tell_of_first_bad(turn, &group)?;
                turn.answer(answer, ());
            }
            NoticeAsk::Receivers { answer } => {
                let shown = self.rules.shown();
                let receivers = self.desk.receivers(&shown.config.notify, self.clock.now());
                turn.answer(answer, receivers);
            }
            NoticeAsk::Plan { crash, answer } => {
                let plan = self.plan_notices(crash);
                turn.answer(answer, plan);
            }
        }
        Ok(())
    }

    /// Tells people of a crash that was put into a group.
    pub(super) fn tell_of_crash(
        &mut self,
        turn: &mut Turn,
        crash: &CrashView,
        group: &GroupId,
        news: News,
    ) -> Result<(), FarmError> {
        let change = match news {
            News::First => Change::New,
            News::InBuild(_) => Change::AgainInAnotherBuild,
            News::Again => Change::Again,
            News::Regressed(_) => Change::Regressed,
        };
        let now = self.clock.now();
        let shown = self.rules.shown();
        let rules = &shown.config.notify;
        let Some(group) = self.picture.groups.get(group).cloned() else { return Ok(()) };
        if rules.receivers.is_empty() || !group.record.state.is_open(now) {
            return Ok(());
        }
        let mut event = event(&self.picture, rules, crash, &group, change, now);
        // A further crash of the same build is news only where the first ones hurt nobody much.
        if news == News::Again && !event.is_urgent() {
            return Ok(());
        }
        if news != News::Again {
            event.first_bad = first_bad(&self.picture, &group);
        }
        if self.desk.tell(rules, &event, now) {
            self.wake_post(turn);
        }
        self.record_notices(turn)
    }

    /// Tells trackers that a group is fixed.
    pub(super) fn tell_of_mend(&mut self, turn: &mut Turn, group: &GroupId) -> Result<(), FarmError> {
        let state = self.picture.groups.get(group).map(|group| &group.record.state);
        if !matches!(state, Some(GroupState::Fixed { .. })) {
            return Ok(());
        }
        self.tell_of_group(turn, group, |event| event.change = Change::Fixed)
    }

    /// Tells those who know of a group which commit brought it, now that the odds name one.
    pub(super) fn tell_of_first_bad(&mut self, turn: &mut Turn, group: &GroupId) -> Result<(), FarmError> {
        let group = self.picture.groups.get(group);
        let bad = group.and_then(|group| first_bad(&self.picture, group));
        let (Some(id), Some(bad)) = (group.map(|group| group.record.id.clone()), bad) else { return Ok(()) };
        self.tell_of_group(turn, &id, |event| {
            event.change = Change::Named;
            event.first_bad = Some(bad);
        })
    }

    /// What was told of crashes goes with them to another group, and the tickets of merged groups say where they went.
    pub(super) fn tell_of_moves(&mut self, turn: &mut Turn, moves: &Moves) -> Result<(), FarmError> {
        for ((from, to), builds) in &moves.crashes {
            let builds =
                builds.iter().map(|build| build.map_or_else(|| "-".to_owned(), |hash| hash.to_string()));
            self.desk.follow_crashes(from.as_str(), to.as_str(), Some(&builds.collect()));
        }
        for (from, to) in &moves.merged {
            self.desk.follow_crashes(from.as_str(), to.as_str(), None);
            self.tell_of_group(turn, to, |event| {
                event.change = Change::Moved;
                event.group = NotedGroup(from.to_string());
                event.moved_to = Some(NotedGroup(to.to_string()));
            })?;
        }
        self.record_notices(turn)
    }

    /// Decides about a group as its newest crash shows it, after `change`.
    fn tell_of_group(
        &mut self,
        turn: &mut Turn,
        group: &GroupId,
        change: impl FnOnce(&mut Event),
    ) -> Result<(), FarmError> {
        let now = self.clock.now();
        let shown = self.rules.shown();
        let rules = &shown.config.notify;
        let Some(group) = self.picture.groups.get(group).cloned() else { return Ok(()) };
        let last = self.picture.groups.stats(&group).crashes.get_min().map(|(_, id)| *id);
        let crash = last.and_then(|id| self.picture.crashes.get(&id)).cloned();
        let Some(crash) = crash.filter(|_| !rules.receivers.is_empty()) else { return Ok(()) };
        let mut event = event(&self.picture, rules, &crash, &group, Change::New, now);
        change(&mut event);
        if self.desk.tell(rules, &event, now) {
            self.wake_post(turn);
        }
        self.record_notices(turn)
    }

    /// Tells those who look after racks of a phone that loses crash reports, or soon will.
    pub(super) fn tell_of_limits(&mut self, turn: &mut Turn, udid: &Udid) -> Result<(), FarmError> {
        // Phones change with every lease, and next to none of them is in trouble.
        let now = self.clock.now();
        let shown = self.rules.shown();
        let rules = &shown.config.notify;
        let Some(phone) = self.picture.phone_at_rest(udid) else { return Ok(()) };
        let troubles = troubles(phone, rules, now);
        if troubles.is_empty() {
            return Ok(());
        }
        let mut news = false;
        for trouble in &troubles {
            news |= self.desk.tell_of_phone(rules, trouble, now);
        }
        if news {
            self.wake_post(turn);
        }
        self.record_notices(turn)
    }

    /// What the rules would make of a crash.
    pub(super) fn plan_notices(&self, crash: CrashId) -> Vec<NoticePlan> {
        let shown = self.rules.shown();
        let rules = &shown.config.notify;
        let found = self.picture.crashes.get(&crash).and_then(|crash| {
            let group = self.picture.groups.standing(crash.group.as_ref()?)?;
            let event = event(&self.picture, rules, crash, group, Change::New, self.clock.now());
            Some(Event { first_bad: first_bad(&self.picture, group), ..event })
        });
        found.map(|event| self.desk.plan(rules, &event)).unwrap_or_default()
    }

    /// What is to be carried out now; what that changes is recorded before it is answered.
    pub(super) fn next_post(&mut self, turn: &mut Turn) -> Result<Post, FarmError> {
        let next = self.desk.next(self.clock.now());
        self.record_notices(turn)?;
        let shown = self.rules.shown();
        Ok(match next {
            Next::Idle => Post::Idle,
            Next::WakeAt(at) => Post::WakeAt(at),
            Next::Send(parcel) => match shown.config.notify.receivers.get(&parcel.receiver) {
                Some(receiver) => {
                    let group = self.desk.group_of(parcel.id);
                    Post::Send { receiver: Box::new(receiver.clone()), group, parcel }
                }
                // The queue knows the receivers of the rules in force, so there is always one.
                None => Post::Idle,
            },
        })
    }

    pub(super) fn post_answered(
        &mut self,
        turn: &mut Turn,
        id: EntryId,
        outcome: Outcome,
        jitter: f64,
    ) -> Result<(), FarmError> {
        self.desk.answered(self.clock.now(), id, outcome, jitter);
        self.record_notices(turn)
    }

    /// The receivers may be others now.
    pub(super) fn follow_receivers(&mut self, turn: &mut Turn) {
        self.desk.follow(&self.rules.shown().config.notify);
        self.wake_post(turn);
    }

    /// Forgets messages of long ago.
    pub(super) fn prune_notices(&mut self, turn: &mut Turn) -> Result<(), FarmError> {
        self.desk.prune(self.clock.now());
        self.record_notices(turn)
    }

    fn record_notices(&mut self, turn: &mut Turn) -> Result<(), FarmError> {
        let changed = self.desk.changed()?;
        for op in changed.ops {
            turn.put(op);
        }
        for view in changed.views {
            self.picture.notices.insert(view.id, view);
            turn.news = true;
        }
        for id in changed.gone {
            self.picture.notices.remove(&id);
            turn.news = true;
        }
        Ok(())
    }

    /// Once the turn is durable the post is asked to look.
    fn wake_post(&self, turn: &mut Turn) {
        let notices = self.notices.clone();
        turn.answers.push(Box::new(move || notices.notify_one()));
    }
}
