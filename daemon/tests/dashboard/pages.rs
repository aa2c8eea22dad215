//! What pages show of hand-made views, as a person reads it in a snapshot.

use holdfast_wire::id::JobId;
use holdfast_wire::job::JobClass;
use holdfast_wire::time::Time;
use holdfastd::dashboard::{
    CrashPage, CrashesPage, GroupPage, GroupsPage, JobPage, NoticesPage, PhonePage, assets, crash_list_page,
    crash_page, farm_page, group_page, job_page, notices_page, phone_page, queue_page,
};
use holdfastd::older::Older;

use crate::samples;

/// One element a line, so that a difference is a line. The version of script and style is none of it.
fn lines(html: &str) -> String {
    html.replace("><", ">\n<").replace(assets::version(), "VERSION")
}

#[test]
fn the_first_page_shows_racks_queue_and_crashes() {
    let page: String = farm_page::parts(&samples::picture(), samples::now())
        .iter()
        .map(|part| format!("== {}\n{}\n", part.id, lines(&part.html)))
        .collect();
    insta::assert_snapshot!("farm", page);
}

#[test]
fn the_queue_shows_expected_starts_usage_and_the_last_hours() {
    let page: String = queue_page::parts(&samples::queue_page(&samples::picture()), samples::now())
        .iter()
        .map(|part| format!("== {}\n{}\n", part.id, lines(&part.html)))
        .collect();
    insta::assert_snapshot!("queue", page);
}

#[test]
fn a_crash_group_shows_its_trend_its_builds_and_what_became_of_it() {
    let page = GroupPage {
        group: samples::group(),
        crashes: vec![samples::crash(1)],
        phones: samples::picture().phones,
        simulated: true,
    };
    let html = group_page::render(&page, samples::now()).into_string();
    let main = html.split_once("<main").unwrap().1;
    insta::assert_snapshot!("group", lines(main));
    let html = group_page::render_all(&samples::groups_page(None), samples::now()).into_string();
    insta::assert_snapshot!("groups", lines(html.split_once("<main").unwrap().1));
    let none = group_page::render_all(&GroupsPage::default(), samples::now()).into_string();
    assert!(none.contains("No crash group is open."), "{none}");
    assert!(!none.contains("?older="), "there is nothing behind nothing: {none}");
}

#[test]
fn a_page_of_crashes_leads_to_the_one_behind_it_and_back_to_the_newest() {
    let (crashes, phones) = (vec![samples::crash(1)], samples::picture().phones);
    let html = |begins| {
        let page = samples::crashes_page(crashes.clone(), phones.clone(), begins);
        crash_list_page::render(&page, samples::now()).into_string()
    };
    let first = html(None);
    insta::assert_snapshot!("crashes", lines(first.split_once("<main").unwrap().1));
    let place = Older { at: crashes[0].origin.collected_at, id: crashes[0].origin.id };
    let next = format!("<a href=\"/crashes?older={place}\" rel=\"next\">");
    assert!(first.contains(&next) && !first.contains(">newest<"), "{first}");
    let second = html(Some(place));
    assert!(second.contains("<a href=\"/crashes\">newest</a>"), "{second}");
    let none = crash_list_page::render(&CrashesPage::default(), samples::now()).into_string();
    assert!(none.contains("No crash has been collected.") && !none.contains("?older="), "{none}");
}

#[test]
fn notices_show_what_was_told_held_back_and_waits_for_each_receiver() {
    let html = notices_page::render(&samples::notices(), samples::now()).into_string();
    insta::assert_snapshot!("notices", lines(html.split_once("<main").unwrap().1));
    let none = notices_page::render(&NoticesPage::default(), samples::now()).into_string();
    assert!(none.contains("Nobody is told anything: the rules name no receiver."), "{none}");
}

#[test]
fn a_queue_of_an_empty_farm_says_so() {
    let empty = holdfastd::dashboard::Picture { now: samples::now(), ..Default::default() };
    let page = holdfastd::dashboard::QueuePage { owners: vec![], ..samples::queue_page(&empty) };
    let page = holdfastd::dashboard::QueuePage {
        queue: holdfast_wire::api::QueueView { at: samples::now(), classes: vec![] },
        spans: vec![],
        ..page
    };
    let html = queue_page::render(&page).into_string();
    for words in ["Nothing waits.", "No phone is known yet."] {
        assert!(html.contains(words), "{words}");
    }
    assert!(
        html.contains("<section class=\"list\" id=\"owners\" aria-labelledby=\"owners-title\" hidden"),
        "{html}"
    );
}

#[test]
fn a_queue_that_only_grows_older_is_drawn_anew_every_half_minute() {
    let resting = |seconds: i64| {
        let mut page = samples::queue_page(&samples::picture());
        page.queue.at = Time::from_unix_ms(page.queue.at.as_unix_ms() + seconds * 1_000);
        queue_page::parts(&page, Time::default())
    };
    // What runs grows on, so only the tracks of running phones differ.
    let (now, soon, later) = (resting(0), resting(1), resting(30));
    let changed = holdfastd::dashboard::part::changed(&now, &soon).unwrap();
    assert!(changed.iter().all(|id| id.starts_with("track-")), "{changed:?}");
    let changed = holdfastd::dashboard::part::changed(&now, &later).unwrap();
    assert!(changed.contains(&"next-J3"), "{changed:?}");
}

#[test]
fn an_empty_farm_says_what_to_do_next() {
    let empty = holdfastd::dashboard::Picture { now: samples::now(), ..Default::default() };
    let page: String =
        farm_page::parts(&empty, samples::now()).iter().map(|part| lines(&part.html)).collect();
    for words in
        ["No rack yet", "Start an agent", "No job runs.", "No job waits.", "No crash has been collected."]
    {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn a_failed_job_shows_its_attempts_and_its_crash() {
    let page = JobPage {
        job: samples::failed_job(11),
        explanation: None,
        crashes: vec![samples::crash(1)],
        phones: vec![samples::phone(1), samples::phone(2)],
        stats: [("cold-launch".parse().unwrap(), samples::stats())].into(),
    };
    insta::assert_snapshot!("failed_job", lines(&job_page::render(&page, samples::now()).into_string()));
}

#[test]
fn a_waiting_job_says_why_phone_by_phone() {
    let page = JobPage {
        job: samples::job(3, JobClass::Baseline),
        explanation: Some(samples::explanation(JobId(3))),
        crashes: vec![],
        phones: vec![samples::phone(1)],
        stats: [].into(),
    };
    let why = job_page::parts(&page, samples::now()).into_iter().find(|part| part.id == "why").unwrap();
    insta::assert_snapshot!("waiting_job", lines(&why.html));
}

#[test]
fn a_phone_shows_what_is_known_of_it() {
    let phone = samples::picture().phones.remove(7);
    let page = PhonePage { phone, jobs: vec![samples::failed_job(11)], crashes: vec![] };
    insta::assert_snapshot!("phone", lines(&phone_page::render(&page, samples::now()).into_string()));
}

#[test]
fn a_crash_begins_with_what_happened_and_marks_the_frames_of_the_app() {
    let report = holdfast_crash::read(samples::REPORT);
    let page = CrashPage { view: samples::crash(1), report, phone: Some(samples::phone(1)) };
    let html = crash_page::render(&page, samples::now()).into_string();
    let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("the page has no {text}"));
    let order = [
        "unrecognized selector sent to instance",
        "id=\"said\"",
        "id=\"thrown\"",
        "id=\"crashed\"",
        "id=\"threads\"",
        "id=\"images\"",
    ];
    assert!(
        order.windows(2).all(|pair| place(pair[0]) < place(pair[1])),
        "the order of a person's questions"
    );
    assert!(place("<details>") > place("id=\"threads\""), "what matters is not folded");
    assert!(html.contains(&format!("href=\"/api/v1/crashes/{}/raw\"", samples::crash_id(1))));
    insta::assert_snapshot!("crash", lines(&html));
}

#[test]
fn every_report_of_the_fixtures_makes_a_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crash/fixtures");
    let mut pages = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let report = holdfast_crash::read(&std::fs::read(&path).unwrap());
        let words = report.ended_by.words.clone();
        let damaged = !report.malformed.is_empty();
        let page = CrashPage { view: samples::crash(1), report, phone: None };
        let html = crash_page::render(&page, samples::now()).into_string();
        let escaped = maud::html! { (words) }.into_string();
        assert!(html.contains(&escaped), "{}: {words}", path.display());
        assert_eq!(html.contains("id=\"damage\""), damaged, "{}", path.display());
        pages += 1;
    }
    assert!(pages > 20, "{pages} fixtures");
}

#[test]
fn passing_time_alone_changes_nothing() {
    let later = Time::from_unix_ms(samples::now().as_unix_ms() + 60_000);
    let mut picture = samples::picture();
    let before = farm_page::parts(&picture, Time::default());
    picture.now = later;
    assert_eq!(farm_page::parts(&picture, Time::default()), before);
    assert_ne!(farm_page::parts(&picture, later), farm_page::parts(&picture, samples::now()));
}
