//! The first page in a real browser, on a real farm of pretend phones: it follows a job from the queue to the crash
//! that it found without being loaded again, it says so when the daemon is gone, and it fits every window.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::time::Duration;

use holdfast_system::browser::Browser;
use holdfast_system::farm::{Farm, Plan, sample};
use holdfast_wire::api::{JobRequest, JobView};
use holdfast_wire::id::BuildHash;
use holdfast_wire::job::{JobClass, Requirements};
use serde_json::json;

/// Every wait of this test: a whole attempt on a busy machine fits.
const LIMIT: Duration = Duration::from_secs(120);

/// Every second launch reads beyond a buffer.
const SCENARIO: &str = "\
apps:
  dev.holdfast.demo.mooring:
    launches:
      - { takes_ms: 400, ends: { how: never } }
      - takes_ms: 400
        ends: { how: signal, after_ms: 700, signal: segv, function: Feed_prefetchNext }
        report: { when: late, after_ms: 300 }
";

/// A chat whose address nobody has set: what is to be told waits and says so.
const RULES: &str =
    "receivers:\n- {name: chat, kind: slack, url: {env: HOLDFAST_NO_SUCH_ROBOT}}\nurgent: {to: [chat]}\n";

#[tokio::test]
async fn the_page_follows_a_job_to_its_crash_and_says_when_it_is_stale() {
    let notify = Some(RULES.to_owned());
    let plan = Plan { scenario: Some(SCENARIO.to_owned()), notify, ..Plan::of(4) };
    let mut farm = Farm::start(&plan).await.unwrap();
    let browser = Browser::start().await.unwrap();
    browser.look_like(1440, 1000, "light").await.unwrap();
    // What a page says of the whole farm it says from when it is loaded.
    let known = async |_: &Browser| Ok(farm.api.phones().await?.len() == 4);
    browser.wait_until("the rack's phones", LIMIT, known).await.unwrap();
    browser.goto(&farm.url).await.unwrap();
    // Lost by loading the page again.
    browser.run("window.sameDocument = true", &[]).await.unwrap();
    shows(&browser, "#count-ready", "4").await;
    assert_eq!(browser.text_of(".simulated").await.unwrap().as_deref(), Some("simulated phones"));

    let build = upload(&farm).await;
    let job = submit(&farm, build, JobClass::Crash, Requirements::default()).await;
    let newest = Requirements { os_min: Some("99".parse().unwrap()), ..Requirements::default() };
    let waiting = submit(&farm, build, JobClass::Custom, newest).await;
    shows(&browser, &format!("#waiting #job-{} .detail", waiting.id), "iOS").await;
    job_moves(&browser, &job).await;
    browser.screenshot(&picture("running.png")).await.unwrap();
    shows(&browser, &format!("#ended #job-{}", job.id), "failed").await;
    shows(&browser, "#crashes .crash", "Mooring").await;
    shows(&browser, "#news", "New crash").await;
    assert_eq!(
        browser.run("return window.sameDocument", &[]).await.unwrap(),
        json!(true),
        "one document all along"
    );
    fits_every_window(&browser).await;

    browser.look_like(1440, 1000, "light").await.unwrap();
    browser.click("#crashes .crash a.id").await.unwrap();
    shows(&browser, ".head .lead", "").await;
    assert!(browser.count_of("#crashed .own").await.unwrap() > 0, "frames of the app are marked");
    browser.screenshot(&picture("crash.png")).await.unwrap();
    browser.goto(&format!("{}/notices", farm.url)).await.unwrap();
    shows(&browser, "#to-chat tr[data-state=waiting]", "HOLDFAST_NO_SUCH_ROBOT is not set").await;
    fits_every_window(&browser).await;
    browser.look_like(1440, 1000, "light").await.unwrap();
    browser.screenshot(&picture("notices.png")).await.unwrap();
    browser.click("#to-chat tr a").await.unwrap();
    shows(&browser, ".head .links", "who was told").await;
    browser.goto(&format!("{}/jobs/{}", farm.url, job.id)).await.unwrap();
    shows(&browser, "#attempts", "crashed").await;
    browser.screenshot(&picture("job.png")).await.unwrap();
    assert_eq!(browser.console_errors().await.unwrap(), [""; 0], "nothing was forbidden, nothing failed");

    farm.daemon.kill().await.unwrap();
    shows(&browser, "#stale", "Stale since").await;
    browser.screenshot(&picture("stale.png")).await.unwrap();
    farm.restart_daemon().await.unwrap();
    let hidden = async |browser: &Browser| Ok(browser.attribute_of("#stale", "hidden").await?.is_some());
    browser.wait_until("the stripe goes away", LIMIT, hidden).await.unwrap();
    farm.stop().await.unwrap();
}

/// The job runs, and its bar moves on.
async fn job_moves(browser: &Browser, job: &JobView) {
    let bar = format!("#running #job-{} progress", job.id);
    let value = async |browser: &Browser| {
        let value = browser.attribute_of(&bar, "value").await?;
        Ok::<u32, anyhow::Error>(value.and_then(|value| value.parse().ok()).unwrap_or(0))
    };
    let begun = async |browser: &Browser| Ok(value(browser).await? > 0);
    browser.wait_until("a bar of the running job", LIMIT, begun).await.unwrap();
    let before = value(browser).await.unwrap();
    let further = async |browser: &Browser| Ok(value(browser).await? > before);
    browser.wait_until("a bar that moves on", LIMIT, further).await.unwrap();
    let tile = ".phone[data-state=busy] progress";
    assert!(browser.count_of(tile).await.unwrap() > 0, "the phone shows it too");
}

async fn fits_every_window(browser: &Browser) {
    for (width, height, scheme) in [(1440, 1000, "light"), (1440, 1000, "dark"), (420, 900, "light")] {
        browser.look_like(width, height, scheme).await.unwrap();
        browser.screenshot(&picture(&format!("{width}-{scheme}.png"))).await.unwrap();
        let over =
            browser.run("return document.documentElement.scrollWidth - innerWidth", &[]).await.unwrap();
        assert!(over.as_i64().unwrap() <= 0, "the page is {over} wider than {width}");
    }
}

async fn shows(browser: &Browser, css: &str, words: &str) {
    let there =
        async |browser: &Browser| Ok(browser.text_of(css).await?.is_some_and(|text| text.contains(words)));
    browser.wait_until(&format!("{css} with {words:?}"), LIMIT, there).await.unwrap();
}

async fn upload(farm: &Farm) -> BuildHash {
    let (archive, symbols) = (sample("mooring-141.ipa"), sample("mooring-141.dSYM.zip"));
    farm.api.upload(&archive, &symbols, &[("branch", "feature/prefetch")]).await.unwrap().identity.hash
}

async fn submit(farm: &Farm, build: BuildHash, class: JobClass, requirements: Requirements) -> JobView {
    let cases = vec!["cold-launch".parse().unwrap()];
    let request = JobRequest { cases, requirements, ..JobRequest::plain(class, build) };
    farm.api.submit(&request, &format!("page-{class}")).await.unwrap()
}

/// Pictures for people stay beside the build.
fn picture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}"))
}
