//! What pages must never do: run or load what is not ours, or pass on what deceives the eye.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use holdfast_wire::id::{JobId, Udid};
use holdfastd::dashboard::routes::CONTENT_SECURITY_POLICY;
use holdfastd::dashboard::{
    CrashPage, Picture, assets, crash_page, job_page, phone_page, queue_page, render_page, routes,
};
use holdfastd::dashboard::{JobPage, PhonePage};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::samples::{self, Sample};

async fn get(address: &str, headers: &[(header::HeaderName, &str)]) -> Response {
    let mut request = Request::get(address);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let router = routes::<_, ()>(Arc::new(Sample::new()), CancellationToken::new());
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 10_000_000).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn addresses() -> [String; 12] {
    [
        "/".to_owned(),
        "/queue".to_owned(),
        "/notices".to_owned(),
        "/notices?group=4fd0386906271a2b".to_owned(),
        "/jobs/J11".to_owned(),
        "/jobs/J3".to_owned(),
        format!("/phones/{}", samples::udid(1)),
        format!("/crashes/{}", samples::crash_id(1)),
        "/jobs/J999".to_owned(),
        "/crashes".to_owned(),
        "/groups".to_owned(),
        "/crashes?older=%3Cscript%3E".to_owned(),
    ]
}

/// Values of one attribute, wherever it stands.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn pages_need_nothing_that_their_policy_forbids() {
    for address in addresses() {
        let response = get(&address, &[]).await;
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], CONTENT_SECURITY_POLICY, "{address}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store", "{address}");
        let html = text(response).await;
        assert!(values(&html, "style").is_empty(), "{address}: inline style");
        assert!(!html.contains("<style"), "{address}: a style sheet inside");
        for element in html.split("<script").skip(1) {
            assert!(element.starts_with(" src=\"/dashboard/app.js?v="), "{address}: a script of its own");
            assert!(element.contains("></script>"), "{address}: a script with text inside");
        }
        let handlers = html.split(" on").skip(1).filter(|rest| {
            rest.split_once("=\"")
                .is_some_and(|(name, _)| name.chars().all(|letter| letter.is_ascii_lowercase()))
        });
        assert_eq!(handlers.count(), 0, "{address}: an inline handler");
        for link in values(&html, "href").into_iter().chain(values(&html, "src")) {
            assert!(link.starts_with('/') || link == "#main", "{address}: {link} is not ours");
        }
    }
    for directive in ["default-src 'none'", "script-src 'self'", "style-src 'self'"] {
        assert!(CONTENT_SECURITY_POLICY.contains(directive), "{directive}");
    }
    assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
}

#[tokio::test]
async fn our_own_files_name_no_other_host() {
    for asset in assets::ALL {
        let foreign = asset.text.replace("http://www.w3.org/2000/svg", "");
        for mark in ["http:", "https:", "//cdn", "@import", "@font-face", "eval(", ".style."] {
            assert!(!foreign.contains(mark), "{}: {mark}", asset.path);
        }
    }
}

#[tokio::test]
async fn files_may_be_kept_as_long_as_their_version_is_asked_for() {
    for asset in assets::ALL {
        let versioned = get(&asset.address(), &[]).await;
        assert_eq!(versioned.status(), StatusCode::OK);
        assert_eq!(versioned.headers()[header::CONTENT_TYPE], asset.media);
        assert_eq!(versioned.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        let tag = versioned.headers()[header::ETAG].to_str().unwrap().to_owned();
        let plain = get(asset.path, &[]).await;
        assert_eq!(plain.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(text(plain).await, asset.text);
        let again = get(asset.path, &[(header::IF_NONE_MATCH, &tag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = get(asset.path, &[(header::IF_NONE_MATCH, "\"other\"")]).await;
        assert_eq!(other.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn what_is_not_there_gets_a_page_that_says_so() {
    let names = ["/jobs/J999", "/jobs/17", "/phones/nobody", "/crashes/abc", "/jobs/%3Cscript%3E"];
    for address in names {
        let response = get(address, &[]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{address}");
        let html = text(response).await;
        assert!(html.contains("in this farm</h1>"), "{address}: {html}");
        assert!(!html.contains("<script>"), "{address}");
    }
}

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}txt.exe\u{2066}\u{0}\u{1b}[2J\u{85}\u{200b}";

/// The sample with every text that can come from outside replaced by a hostile one.
fn hostile() -> Picture {
    let mut picture = samples::picture();
    let evil = || HOSTILE.to_owned();
    for rack in &mut picture.racks {
        rack.agent_version = evil();
    }
    for phone in &mut picture.phones {
        phone.facts.name = evil();
        phone.facts.model = evil();
        phone.facts.product_type = evil();
        phone.facts.os_build = evil();
        phone.facts.apps[0].version = evil();
        phone.facts.apps[0].build_number = evil();
        phone.facts.crash_files_waiting.insert(evil(), 1);
        phone.facts.crash_limits[0].bug_type = evil();
        phone.facts.crash_limits[0].process = evil();
        phone.reason = evil();
        phone.progress.iter_mut().for_each(|progress| progress.note = evil());
    }
    for job in &mut picture.jobs {
        let build = Arc::make_mut(&mut job.spec.build);
        build.executable = evil();
        build.version = evil();
        build.build_number = evil();
        Arc::make_mut(&mut job.spec.requirements).models = vec![evil()];
        job.waiting = Some(evil());
        let cases = Arc::make_mut(&mut job.spec.cases);
        let holdfast_wire::case::CaseRun::Launch { arguments, .. } = &mut cases[0].run;
        *arguments = vec![evil()];
        for attempt in &mut job.attempts {
            attempt.progress.iter_mut().for_each(|progress| progress.note = evil());
            attempt.cases.iter_mut().for_each(|case| case.failure = Some(evil()));
        }
    }
    for crash in &mut picture.crashes {
        crash.origin.path = evil();
        crash.kind = evil();
        crash.process = Some(evil());
        crash.ended_by = Some(evil());
        crash.top_frame = Some(evil());
        crash.captured_at = Some(evil());
    }
    picture
}

#[test]
fn texts_from_outside_are_escaped_and_made_visible_everywhere() {
    let Picture { jobs, phones, crashes, now, .. } = hostile();
    let json = serde_json::to_string(HOSTILE).unwrap();
    let ips = format!(
        "{{\"bug_type\":\"309\",\"app_name\":{json}}}\n{{\"procName\":{json},\"asi\":{{\"x\":[{json}]}},\
        \"termination\":{{\"namespace\":{json},\"reasons\":[{json}]}},\"faultingThread\":0,\
        \"threads\":[{{\"name\":{json},\"triggered\":true,\"frames\":[{{\"imageIndex\":0,\"symbol\":{json}}}]}}],\
        \"usedImages\":[{{\"name\":{json},\"path\":{json}}}]}}"
    );
    let report = holdfast_crash::read(ips.as_bytes());
    assert!(report.crashed().is_some(), "the hostile report is one with a stack");
    let job = jobs.iter().find(|job| job.id == JobId(11)).unwrap().clone();
    let mut explanation = samples::explanation(JobId(11));
    explanation.summary = HOSTILE.to_owned();
    explanation.phones[0].words = HOSTILE.to_owned();
    explanation.rules[0].words = HOSTILE.to_owned();
    let udid: Udid = samples::udid(1);
    let phone = phones.iter().find(|phone| phone.facts.udid == udid).unwrap().clone();
    let stats = std::collections::BTreeMap::new();
    let job_page = JobPage { job, explanation: Some(explanation), crashes: crashes.clone(), phones, stats };
    let phone_page = PhonePage { phone: phone.clone(), jobs, crashes: crashes.clone() };
    let crash_page = CrashPage { view: crashes[0].clone(), report, phone: Some(phone) };
    let pages = [
        ("farm", render_page(&hostile())),
        ("queue", queue_page::render(&samples::queue_page(&hostile()))),
        ("job", job_page::render(&job_page, now)),
        ("phone", phone_page::render(&phone_page, now)),
        ("crash", crash_page::render(&crash_page, now)),
    ];
    for (name, page) in pages {
        let html = page.into_string();
        assert!(html.contains("&lt;script&gt;alert(1)"), "{name}: the text is there, escaped");
        assert!(html.contains("‹U+202E›txt.exe‹U+2066›␀␛[2J‹U+0085›‹U+200B›"), "{name}: and visible");
        assert!(!html.contains("<script>"), "{name}: unescaped");
        let unseen = html.chars().find(|letter| {
            (letter.is_control() && !"\n\t".contains(*letter)) || "\u{202e}\u{2066}\u{200b}".contains(*letter)
        });
        assert_eq!(unseen, None, "{name}");
    }
}
