//! What decides who goes first on the farm of `farm`: why jobs wait and until when, pools, schedules, owners, the
//! configuration, and what operators did.

use holdfast_wire::api::{
    Act, AuditEntry, ClassQueue, Eta, Explanation, JobEta, JobView, Mistake, Obstacle, PhoneAnswer, Plan,
    PlanAnswer, Preemption, QueueView, QueuedJob, ReloadAsked, Rule, RuleAnswer,
};
use holdfast_wire::id::{JobId, Owner};
use holdfast_wire::job::JobClass;
use holdfast_wire::notice::{NoticePlan, NoticeState, NoticeView, ReceiverLimit, ReceiverView};
use holdfast_wire::sync::YieldWhen;
use holdfast_wire::views::{
    ClassView, ConfigFile, ConfigView, LimitsFrom, OwnerLimits, OwnerView, PoolChoiceView, PoolView,
    PooledPhone, RefusedReload, Reloaded, ScheduleRun, ScheduleView, WindowView,
};

use super::StandIn;
use super::farm::{BUSY, Farm, HOT, page};

/// Everything that a command may ask of these.
pub(crate) fn fill(farm: &Farm, standin: &StandIn) {
    standin.tell("GET /api/v1/jobs/J18/explain", 200, &farm.explanation());
    standin.tell(
        "GET /api/v1/jobs/J18/eta",
        200,
        &JobEta { job: JobId(18), eta: Some(farm.eta()), waiting: farm.queued().waiting },
    );
    standin.tell("POST /api/v1/plan", 200, &farm.plan_waits());
    standin.tell("GET /api/v1/queue", 200, &farm.queue());
    standin.tell("GET /api/v1/pools", 200, &page(pools(), None));
    let chosen = PoolChoiceView {
        phone: HOT.parse().unwrap(),
        pool: Some("crash".parse().unwrap()),
        by_hand: Some("crash".parse().unwrap()),
        by_file: None,
    };
    standin.tell(&format!("PUT /api/v1/phones/{HOT}/pool"), 200, &chosen);
    standin.tell(
        &format!("DELETE /api/v1/phones/{HOT}/pool"),
        200,
        &PoolChoiceView { pool: None, by_hand: None, ..chosen },
    );
    standin.tell("GET /api/v1/schedules", 200, &page(farm.schedules(), None));
    let run = ScheduleRun { schedule: "nightly-memory".parse().unwrap(), job: JobId(19) };
    standin.tell("POST /api/v1/schedules/nightly-memory/run", 200, &run);
    let owners = owners();
    standin.tell("PUT /api/v1/owners/chat-team/limits", 200, &owners[0]);
    standin.tell(
        "DELETE /api/v1/owners/chat-team/limits",
        200,
        &OwnerView {
            weight: 1,
            running_max: None,
            minutes_per_day: None,
            limits_from: LimitsFrom::Default,
            over_quota: false,
            ..owners[0].clone()
        },
    );
    standin.tell("GET /api/v1/owners", 200, &page(owners, None));
    standin.tell("GET /api/v1/config", 200, &farm.config());
    let changes =
        vec!["class idle: window nights, was always".to_owned(), "schedule hourly is new".to_owned()];
    let warnings = vec!["pools.yaml:9:5: pool spare has no phone".to_owned()];
    let reloaded = Reloaded { loaded_at: farm.now(), changes, warnings };
    standin.tell("POST /api/v1/config/reload", 200, &reloaded);
    standin.tell("GET /api/v1/audit", 200, &page(farm.audit(), Some("a2")));
    standin.tell("GET /api/v1/notices", 200, &page(farm.notices(), Some("1-2")));
    standin.tell("GET /api/v1/receivers", 200, &page(farm.receivers(), None));
    standin.tell("POST /api/v1/notices/test", 200, &farm.notice_plans());
}

impl Farm {
    fn notices(&self) -> Vec<NoticeView> {
        let notice = |id, state, receiver: &str, reason: &str| NoticeView {
            id,
            at: self.ago(5),
            receiver: receiver.to_owned(),
            group: "4fd0386906271a2b".to_owned(),
            phone: None,
            key: format!("chat/{receiver}/4fd0386906271a2b/abab"),
            title: "new crash: Chat | bad access | Room.open".to_owned(),
            state,
            reason: reason.to_owned(),
            tries: 1,
            next_try: None,
            ended_at: None,
            last_answer: None,
        };
        vec![
            notice(4, NoticeState::Held, "-", "held back: pretend phones saw it"),
            notice(3, NoticeState::Failed, "mail", "given up after 20 tries: status 503"),
            NoticeView {
                last_answer: Some("the key is not taken; mend its secret (status 401)".to_owned()),
                ..notice(2, NoticeState::Waiting, "tickets", "a ticket is opened for ann@example.com")
            },
            notice(1, NoticeState::Sent, "chat", "urgent, because it is at launch; Ann is called"),
        ]
    }

    fn receivers(&self) -> Vec<ReceiverView> {
        let receiver = |name: &str, not_before, wants_quiet| ReceiverView {
            name: name.to_owned(),
            kind: "feishu".to_owned(),
            waiting: 3,
            limits: vec![ReceiverLimit { messages: 90, window_ms: 60_000, used: 7 }],
            not_before,
            wants_quiet,
            last_sent: Some(self.ago(5)),
        };
        vec![
            receiver("free", None, false),
            receiver("full", Some(self.ago(5)), false),
            receiver("quiet", Some(self.ago(5)), true),
        ]
    }

    fn notice_plans(&self) -> Vec<NoticePlan> {
        let plan = |told, receiver: &str, reason: &str, calls: &[&str]| NoticePlan {
            told,
            receiver: receiver.to_owned(),
            reason: reason.to_owned(),
            key: "key".to_owned(),
            title: "new crash: Chat | bad access | Room.open".to_owned(),
            calls: calls.iter().map(|name| (*name).to_owned()).collect(),
            due: self.ago(5),
            told_before: told,
        };
        vec![
            plan(true, "chat", "urgent, because it is at launch; Ann is called", &["Ann"]),
            plan(false, "tickets", "no owner rule fits, and there is no default_owner", &[]),
        ]
    }

    pub(crate) fn explanation(&self) -> Explanation {
        let answer = |phone: &str, obstacle, words: &str| PhoneAnswer {
            phone: phone.parse().unwrap(),
            rack: "rack-1".parse().unwrap(),
            obstacle,
            words: words.to_owned(),
        };
        Explanation {
            job: JobId(18),
            summary: "every phone that would do is busy".to_owned(),
            ahead: 1,
            rules: self.rules(),
            phones: vec![
                answer(BUSY, Obstacle::Busy { attempt: "J17.1".parse().unwrap() }, "it runs J17.1"),
                answer(HOT, Obstacle::Pool { pool: None }, "it is in no pool"),
            ],
        }
    }

    fn rules(&self) -> Vec<RuleAnswer> {
        let window = Rule::Window { name: "nights".to_owned() };
        let fallback = Rule::Fallback { number: 1, phones: "any".to_owned() };
        let order = Rule::Order { class: JobClass::Baseline, ahead: 1 };
        let answer = |rule, words: &str, until| RuleAnswer { rule, words: words.to_owned(), until };
        vec![
            answer(window, "window nights is shut", Some(self.ahead(240))),
            answer(order, "1 job goes before it: J16 is older", None),
            answer(fallback, "any phone will do later", Some(self.ahead(5))),
        ]
    }

    pub(crate) fn eta(&self) -> Eta {
        Eta {
            earliest: self.ahead(3),
            likely: self.ahead(5),
            latest: self.ahead(9),
            confidence_percent: 90,
            words: "1 job goes before it on 1 phone".to_owned(),
        }
    }

    /// A submission that nothing can run.
    pub(crate) fn hopeless(&self) -> JobView {
        let why = "nothing here can ever match: no phone of the farm has the label lab-b";
        JobView { waiting: None, warning: Some(why.to_owned()), ..self.queued() }
    }

    pub(crate) fn plan_waits(&self) -> Plan {
        let Explanation { summary, ahead, rules, phones, .. } = self.explanation();
        let would = PlanAnswer::Waits { eta: Some(self.eta()), ahead, summary };
        Plan { would, rules, phones, preempts: vec![] }
    }

    pub(crate) fn plan_starts(&self) -> Plan {
        let preemption = Preemption {
            phone: BUSY.parse().unwrap(),
            attempt: "J17.1".parse().unwrap(),
            class: JobClass::Idle,
            when: YieldWhen::CaseDone,
        };
        Plan {
            would: PlanAnswer::StartsNow { phones: vec![HOT.parse().unwrap(), BUSY.parse().unwrap()] },
            rules: vec![],
            phones: vec![],
            preempts: vec![preemption],
        }
    }

    pub(crate) fn plan_never(&self) -> Plan {
        let why = "no phone of the farm fits: 2 phones: the job wants the label lab-b".to_owned();
        Plan {
            would: PlanAnswer::Never { why },
            phones: self.explanation().phones,
            rules: vec![],
            preempts: vec![],
        }
    }

    pub(crate) fn queue(&self) -> QueueView {
        let job = |job, owner: Option<&str>, minutes, waiting: &str, eta| QueuedJob {
            job: JobId(job),
            owner: owner.map(|owner| owner.parse().unwrap()),
            priority: 0,
            submitted_at: self.ago(minutes),
            start_by: None,
            phones: 1,
            waiting: Some(waiting.to_owned()),
            eta,
        };
        let busy = "every phone that would do is busy";
        let of = |class| match class {
            JobClass::Baseline => (
                1,
                vec![
                    job(
                        16,
                        None,
                        90,
                        busy,
                        Some(Eta { earliest: self.now(), likely: self.ahead(3), ..self.eta() }),
                    ),
                    job(18, Some("chat-team"), 5, busy, Some(self.eta())),
                ],
                2,
            ),
            JobClass::Idle => (0, vec![job(12, Some("farm"), 10, "window nights is shut", None)], 40),
            JobClass::Crash | JobClass::Custom | JobClass::Special => (0, vec![], 0),
        };
        let classes = JobClass::ALL.map(|class| {
            let (running, next, waiting) = of(class);
            ClassQueue { class, waiting, running, oldest: next.first().map(|job| job.submitted_at), next }
        });
        QueueView { at: self.now(), classes: classes.into() }
    }

    fn schedules(&self) -> Vec<ScheduleView> {
        let nightly = ScheduleView {
            name: "nightly-memory".parse().unwrap(),
            cron: "30 2 * * Mon-Fri".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            missed: "run_once".to_owned(),
            class: JobClass::Special,
            build: "the newest of branch trunk".to_owned(),
            owner: Some("memory-team".parse().unwrap()),
            next: vec![self.ahead(600), self.ahead(4320)],
            last_fired: Some(self.ago(90)),
            last_job: Some(JobId(3)),
            problem: None,
        };
        let over = ScheduleView {
            name: "launch-day".parse().unwrap(),
            cron: "0 9 1 6 *".to_owned(),
            next: vec![],
            last_job: None,
            problem: Some("no build of branch release".to_owned()),
            ..nightly.clone()
        };
        let new = ScheduleView {
            name: "hourly".parse().unwrap(),
            cron: "@hourly".to_owned(),
            zone: "UTC".to_owned(),
            class: JobClass::Idle,
            next: vec![self.ahead(9)],
            last_fired: None,
            last_job: None,
            ..nightly.clone()
        };
        vec![nightly, over, new]
    }

    fn config(&self) -> ConfigView {
        let file = |path: &str, kind: &str, reloaded| ConfigFile {
            path: path.to_owned(),
            kind: kind.to_owned(),
            reloaded,
        };
        let class = |class, rank, strict, lift_after_s, preemptible, takes, window: Option<&str>| ClassView {
            class,
            rank,
            strict,
            lift_after_s,
            preemptible,
            takes,
            window: window.map(str::to_owned),
        };
        let (at_once, case_done) = (Some(YieldWhen::AtOnce), Some(YieldWhen::CaseDone));
        ConfigView {
            loaded_at: self.ago(90),
            files: vec![
                file("/etc/holdfast/holdfastd.yaml", "daemon", false),
                file("/etc/holdfast/pools.yaml", "pools", true),
            ],
            warnings: vec!["pools.yaml:9:5: pool spare has no phone".to_owned()],
            classes: vec![
                class(JobClass::Crash, 0, true, None, false, at_once, None),
                class(JobClass::Baseline, 1, false, Some(14_400), false, case_done, None),
                class(JobClass::Idle, 4, false, None, true, None, Some("nights")),
            ],
            windows: vec![
                WindowView { name: "nights".to_owned(), open: false, changes_at: Some(self.ahead(240)) },
                WindowView { name: "always".to_owned(), open: true, changes_at: None },
            ],
            refused: Some(RefusedReload {
                at: self.ago(5),
                mistakes: vec![Mistake {
                    place: "pools.yaml:12:7: pools[1].serves".to_owned(),
                    what: "there is no class idel; there are crash, baseline, custom, special, idle"
                        .to_owned(),
                }],
            }),
        }
    }

    fn audit(&self) -> Vec<AuditEntry> {
        let phone = || BUSY.parse().unwrap();
        let entry = |number, minutes, by: Option<&str>, act, reason: Option<&str>| AuditEntry {
            number,
            at: self.ago(minutes),
            by: by.map(|by| by.parse::<Owner>().unwrap()),
            act,
            reason: reason.map(str::to_owned),
        };
        let revoked = Act::LeaseRevoked { phone: phone(), attempt: Some("J17.1".parse().unwrap()) };
        let crash = || Some("crash".parse().unwrap());
        let owner = || "chat-team".parse().unwrap();
        let limits = OwnerLimits { weight: 2, running_max: Some(8), minutes_per_day: Some(600) };
        let none = OwnerLimits { weight: 1, running_max: None, minutes_per_day: None };
        let changes = vec!["schedule hourly is new".to_owned(), "class idle: lifted never".to_owned()];
        let mistakes = vec!["pools.yaml:12:7: pools[1].serves: there is no class idel".to_owned()];
        let ran = Act::ScheduleRun { schedule: "nightly-memory".parse().unwrap(), job: JobId(19) };
        let (request, signal) = (ReloadAsked::Request, ReloadAsked::Signal);
        vec![
            entry(12, 5, Some("mira"), Act::ReloadRefused { asked: request, mistakes }, Some("new lab")),
            entry(11, 5, None, Act::ConfigReloaded { asked: signal, changes }, None),
            entry(10, 5, None, Act::ConfigReloaded { asked: request, changes: vec![] }, None),
            entry(9, 5, Some("mira"), ran, Some("the night was cut short")),
            entry(
                8,
                5,
                Some("mira"),
                Act::LimitsChanged { owner: owner(), limits: None, before: Some(limits) },
                None,
            ),
            entry(
                7,
                5,
                Some("mira"),
                Act::LimitsChanged { owner: owner(), limits: Some(limits), before: Some(none) },
                None,
            ),
            entry(6, 5, Some("mira"), Act::PoolChosen { phone: phone(), pool: None, before: crash() }, None),
            entry(
                5,
                5,
                Some("mira"),
                Act::PoolChosen { phone: phone(), pool: crash(), before: None },
                Some("rush"),
            ),
            entry(3, 10, Some("mira"), Act::PhoneReleased { phone: phone() }, None),
            entry(2, 90, Some("mira"), revoked, Some("it hangs")),
            entry(
                1,
                90,
                Some("mira"),
                Act::PhoneTaken { phone: phone(), until: None },
                Some("looks at a hang"),
            ),
        ]
    }
}

fn pools() -> Vec<PoolView> {
    let phone = |udid: &str, slot: &str, by_hand| PooledPhone {
        udid: udid.parse().unwrap(),
        rack: "rack-1".parse().unwrap(),
        slot: slot.parse().unwrap(),
        by_hand,
    };
    vec![
        PoolView {
            name: "crash".parse().unwrap(),
            serves: vec![JobClass::Crash],
            lends: vec![JobClass::Idle],
            only: vec![],
            phones: vec![phone(HOT, "1-2.4", true)],
        },
        PoolView {
            name: "main".parse().unwrap(),
            serves: vec![JobClass::Baseline, JobClass::Custom, JobClass::Special],
            lends: vec![],
            only: vec!["chat-team".parse().unwrap()],
            phones: vec![phone(BUSY, "1-2.3", false)],
        },
    ]
}

fn owners() -> Vec<OwnerView> {
    let chat = OwnerView {
        owner: Some("chat-team".parse().unwrap()),
        weight: 2,
        running_max: Some(8),
        minutes_per_day: Some(600),
        limits_from: LimitsFrom::Hand,
        minutes_used_today: Some(612),
        over_quota: true,
        running: 3,
        waiting: 12,
    };
    let video = OwnerView {
        owner: Some("team-video".parse().unwrap()),
        minutes_per_day: Some(90),
        limits_from: LimitsFrom::File,
        minutes_used_today: Some(4),
        over_quota: false,
        ..chat.clone()
    };
    let nobody = OwnerView {
        owner: None,
        weight: 1,
        running_max: None,
        minutes_per_day: None,
        limits_from: LimitsFrom::Default,
        minutes_used_today: None,
        over_quota: false,
        running: 0,
        waiting: 1,
    };
    vec![chat, video, nobody]
}
