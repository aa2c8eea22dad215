//! Pages of the farm itself: the same snapshot, blobs and loop that the API reads.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_wire::api::{CrashView, JobView, PhoneView};
use holdfast_wire::id::{AttemptId, CrashId, GroupId, JobId, Udid};
use holdfast_wire::job::{JobClass, JobState};
use holdfast_wire::notice::{NoticeState, NoticeView, ReceiverView};
use holdfast_wire::outcome::AttemptEnd;
use holdfast_wire::time::Time;
use tokio::sync::watch;

use super::picture::{
    CrashPage, CrashesPage, GroupPage, GroupsPage, JobPage, NoticesPage, PhonePage, Picture, Pictures,
    QueuePage, Span, Told, Unreadable,
};
use super::queue_page::HOURS_BACK;
use crate::farm::Ask;
use crate::http::groups::{Which, newest};
use crate::http::jobs::{Detail, view};
use crate::http::state::App;
use crate::notices::NoticeAsk;
use crate::older::Older;
use crate::reasons::EXPLAINED_MAX;
use crate::snapshot::Snapshot;

/// Ended jobs that the first page is given.
const ENDED_MAX: usize = 20;
/// Crashes that a page is given.
const CRASHES_MAX: usize = 20;
/// Messages of one receiver that wait, and as many that are done, that their page is given.
const NOTICES_MAX: usize = 20;
/// Crashes, and crash groups, of a page of all of them.
const LISTED_MAX: usize = 50;
/// Jobs that the page of a phone is given.
const PHONE_JOBS_MAX: usize = 20;
/// Ended jobs, and crashes, that are looked through for those of one phone: older ones are found in lists.
const LOOKED_THROUGH_MAX: usize = 2_000;

impl Pictures for App {
    type Shown = std::sync::Arc<Snapshot>;

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn picture(&self) -> Picture {
        let snapshot = self.farm.snapshot();
        let ended = snapshot.ended.iter().take(ENDED_MAX).map(|(_, id)| *id);
        let waiting: Vec<JobId> = snapshot.queue().take(EXPLAINED_MAX).collect();
        let reasons = self.reasons.of(&self.farm, snapshot.number, &waiting).await;
        let ids = snapshot.running.iter().copied().chain(waiting).chain(ended);
        let phones: Vec<PhoneView> = snapshot.phones().collect();
        Picture {
            now: self.clock.now(),
            racks: snapshot.racks.values().cloned().collect(),
            simulated: phones.iter().any(|phone| phone.facts.simulated),
            phones,
            jobs: ids
                .filter_map(|id| short(&snapshot, id))
                .map(|job| JobView { waiting: reasons.get(&job.id).cloned(), ..job })
                .collect(),
            jobs_waiting: snapshot.queue_len(),
            crashes: crashes(&snapshot, |_| true),
        }
    }

    fn follow(&self) -> watch::Receiver<Self::Shown> {
        self.farm.follow()
    }

    async fn queue(&self) -> Result<QueuePage, Unreadable> {
        let asked = crate::http::queue::view(self, &JobClass::ALL).await;
        let queue = asked.map_err(|stopping| Unreadable(Box::new(stopping)))?;
        let owners = crate::http::owners::views(self).await;
        let owners = owners.map_err(|stopping| Unreadable(Box::new(stopping)))?;
        let snapshot = self.farm.snapshot();
        let since = Time::from_unix_ms(queue.at.as_unix_ms() - i64::from(HOURS_BACK) * 3_600_000);
        let phones = snapshot.phones().collect();
        Ok(QueuePage { spans: spans(&snapshot, since), phones, owners, queue })
    }

    async fn job(&self, id: JobId) -> Result<Option<JobPage>, Unreadable> {
        let snapshot = self.farm.snapshot();
        let mut job = match view(self, id, Detail::Whole).await {
            Ok(job) => job,
            Err(refusal) if refusal.0.status == 404 => return Ok(None),
            Err(refusal) => return Err(unreadable(refusal.0.detail)),
        };
        let explanation = if job.state == JobState::Queued {
            let asked = self.farm.ask(|answer| Ask::Explain { job: id, answer });
            let explanation = asked.await.map_err(|stopping| Unreadable(Box::new(stopping)))?;
            let foretold = self.farm.ask(|answer| Ask::Eta { jobs: vec![id], answer });
            let foretold = foretold.await.map_err(|stopping| Unreadable(Box::new(stopping)))?;
            job.eta = foretold.into_iter().next().and_then(|one| one.eta);
            explanation
        } else {
            None
        };
        let mut named: BTreeSet<&Udid> = job.attempts.iter().map(|attempt| &attempt.phone).collect();
        named.extend(explanation.iter().flat_map(|one| one.phones.iter().map(|answer| &answer.phone)));
        let phones = snapshot.phones().filter(|phone| named.contains(&phone.facts.udid)).collect();
        let found = job.attempts.iter().flat_map(|attempt| &attempt.crashes);
        let crashes =
            found.filter_map(|id| snapshot.crashes.get(id)).map(|crash| (**crash).clone()).collect();
        let mut stats = BTreeMap::new();
        for case in job.spec.cases.iter() {
            let stat = self.farm.archive.case_stat(&case.name).await;
            let stat = stat.map_err(|error| Unreadable(Box::new(error)))?;
            stats.extend(stat.map(|stat| (case.name.clone(), stat.shown())));
        }
        Ok(Some(JobPage { job, explanation, crashes, phones, stats }))
    }

    async fn phone(&self, udid: &Udid) -> Result<Option<PhonePage>, Unreadable> {
        let snapshot = self.farm.snapshot();
        let Some(phone) = snapshot.phone(udid) else { return Ok(None) };
        let ended = snapshot.ended.iter().take(LOOKED_THROUGH_MAX).map(|(_, id)| *id);
        let ids = snapshot.running.iter().copied().chain(ended);
        let here = ids.filter(|id| {
            let job = snapshot.jobs.get(id);
            job.is_some_and(|job| job.attempts.iter().any(|attempt| attempt.phone == *udid))
        });
        let jobs = here.take(PHONE_JOBS_MAX).filter_map(|id| short(&snapshot, id)).collect();
        Ok(Some(PhonePage {
            phone,
            jobs,
            crashes: crashes(&snapshot, |crash| crash.origin.phone.as_ref() == Some(udid)),
        }))
    }

    async fn crash(&self, id: CrashId) -> Result<Option<CrashPage>, Unreadable> {
        let snapshot = self.farm.snapshot();
        let Some(known) = snapshot.crashes.get(&id) else { return Ok(None) };
        let read = crate::crashes::read(&self.blobs, &self.symbols, id)
            .await
            .map_err(|error| Unreadable(Box::new(error)))?;
        let mut read =
            read.ok_or_else(|| unreadable(format!("the bytes of crash {id} are gone from the disk")))?;
        self.symbols.link(&mut read.report, &snapshot);
        let phone = known.origin.phone.as_ref().and_then(|phone| snapshot.phone(phone));
        let missing_symbols = Some(self.symbols.missing(&read.report));
        let view = CrashView { missing_symbols, ..(**known).clone() };
        Ok(Some(CrashPage { view, report: read.report, phone }))
    }

    async fn crashes(&self, from: Option<Older<CrashId>>) -> CrashesPage {
        let snapshot = self.farm.snapshot();
        let (listed, goes_on) = Older::page(&snapshot.crashes_newest, from.as_ref(), LISTED_MAX);
        let crashes = listed.iter().filter_map(|id| snapshot.crashes.get(id));
        let phones: Vec<PhoneView> = snapshot.phones().collect();
        CrashesPage {
            crashes: crashes.map(|crash| (**crash).clone()).collect(),
            total: snapshot.crashes_newest.len(),
            begins: from,
            goes_on,
            simulated: phones.iter().any(|phone| phone.facts.simulated),
            phones,
        }
    }

    async fn groups(&self, from: Option<Older<GroupId>>) -> GroupsPage {
        let (snapshot, now) = (self.farm.snapshot(), self.clock.now());
        let all = newest(&snapshot, Which::Open, now);
        let (listed, goes_on) = Older::page(&all, from.as_ref(), LISTED_MAX);
        let groups = listed.iter().filter_map(|id| snapshot.groups.get(id));
        GroupsPage {
            groups: groups.map(|group| crate::groups::view(&snapshot, group, &self.hunt, now)).collect(),
            total: all.len(),
            begins: from,
            goes_on,
            simulated: snapshot.phones_at_rest().any(|phone| phone.facts.simulated),
        }
    }

    async fn notices(&self, group: Option<GroupId>) -> Result<NoticesPage, Unreadable> {
        let receivers = self.farm.ask(|answer| Ask::Notice(NoticeAsk::Receivers { answer })).await;
        let receivers = receivers.map_err(|stopping| Unreadable(Box::new(stopping)))?;
        let snapshot = self.farm.snapshot();
        let simulated = snapshot.phones().any(|phone| phone.facts.simulated);
        Ok(NoticesPage { told: told(&snapshot, receivers, group.as_ref()), group, simulated })
    }

    async fn group(&self, id: &GroupId) -> Option<GroupPage> {
        let snapshot = self.farm.snapshot();
        let group = snapshot.groups.get(id)?;
        let stats = snapshot.groups.stats(group);
        let newest = stats.crashes.iter().filter_map(|(_, id)| snapshot.crashes.get(id));
        let phones: Vec<PhoneView> = snapshot.phones().collect();
        Some(GroupPage {
            group: crate::groups::view(&snapshot, group, &self.hunt, self.clock.now()),
            crashes: newest.take(CRASHES_MAX).map(|crash| (**crash).clone()).collect(),
            simulated: phones.iter().any(|phone| phone.facts.simulated),
            phones,
        })
    }
}

/// What each receiver was told, the newest first, what waits before all else.
fn told(snapshot: &Snapshot, receivers: Vec<ReceiverView>, group: Option<&GroupId>) -> Vec<Told> {
    let named = receivers.into_iter().map(|receiver| Told {
        name: receiver.name.clone(),
        receiver: Some(receiver),
        notices: Vec::new(),
        total: 0,
    });
    let mut all: Vec<Told> = named.collect();
    let mut places: BTreeMap<String, usize> =
        all.iter().enumerate().map(|(place, told)| (told.name.clone(), place)).collect();
    let mut done: Vec<Vec<NoticeView>> = vec![Vec::new(); all.len()];
    for notice in snapshot.notices.values().rev() {
        if group.is_some_and(|group| notice.group != group.as_str()) {
            continue;
        }
        let place = *places.entry(notice.receiver.clone()).or_insert_with(|| {
            let name = notice.receiver.clone();
            all.push(Told { name, receiver: None, notices: Vec::new(), total: 0 });
            done.push(Vec::new());
            all.len() - 1
        });
        let (Some(told), Some(done)) = (all.get_mut(place), done.get_mut(place)) else { continue };
        told.total += 1;
        let list = if notice.state == NoticeState::Waiting { &mut told.notices } else { done };
        if list.len() < NOTICES_MAX {
            list.push((**notice).clone());
        }
    }
    for (told, done) in all.iter_mut().zip(done) {
        told.notices.extend(done);
    }
    all
}

fn unreadable(words: String) -> Unreadable {
    Unreadable(words.into())
}

/// What phones ran since then: what runs, and what has ended and is still remembered.
fn spans(snapshot: &Snapshot, since: Time) -> Vec<Span> {
    let ended = snapshot.ended.iter().take_while(|(at, _)| at.0 >= since).map(|(_, id)| id);
    let jobs =
        snapshot.running.iter().chain(ended.take(LOOKED_THROUGH_MAX)).filter_map(|id| snapshot.jobs.get(id));
    let spans = jobs.flat_map(|job| {
        job.attempts.iter().zip(1..).map(|(attempt, number)| Span {
            phone: attempt.phone.clone(),
            attempt: AttemptId { job: job.id, number },
            class: job.spec.class,
            from: attempt.leased_at,
            to: attempt.ended.as_ref().map(|ended| ended.at),
            how: attempt.ended.as_ref().map(|ended| how(&ended.end)).unwrap_or_default().to_owned(),
        })
    });
    spans.filter(|span| span.to.is_none_or(|to| to >= since)).collect()
}

fn how(end: &AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Passed => "passed",
        AttemptEnd::Failed { .. } => "failed",
        AttemptEnd::Revoked => "revoked",
        AttemptEnd::Yielded { .. } => "gave the phone up",
    }
}

/// A job without what its cases showed.
fn short(snapshot: &Snapshot, id: JobId) -> Option<JobView> {
    snapshot.job(id, |_| Vec::new())
}

fn crashes(snapshot: &Snapshot, wanted: impl Fn(&CrashView) -> bool) -> Vec<CrashView> {
    let newest = snapshot.crashes_newest.iter().filter_map(|(_, id)| snapshot.crashes.get(id));
    let looked_through = newest.take(LOOKED_THROUGH_MAX);
    looked_through.filter(|crash| wanted(crash)).take(CRASHES_MAX).map(|crash| (**crash).clone()).collect()
}
