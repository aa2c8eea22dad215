//! A real browser without a window: headless Chromium, driven by its own chromedriver over WebDriver's HTTP.
//! What pages are expected to show is the tests'.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long chromedriver may take to listen, and the browser to start, on a machine that also runs a farm.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long one request to the browser may take; loading a page is the longest.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the browser is started with: nothing of it goes out to the network by itself.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Where Debian, other distributions and vendors put the browser.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// How WebDriver names an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. Dropping it ends its processes by their ids.
#[derive(Debug)]
pub struct Browser {
    http: reqwest::Client,
    /// The address of the session.
    session: String,
    /// The browser's own process; chromedriver is `_driver`.
    browser: Option<i32>,
    _driver: Child,
    /// Kept open, because chromedriver may write more.
    _stdout: BufReader<ChildStdout>,
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver on a free port, and a browser with a profile of its own.
    ///
    /// # Errors
    /// One of them is not installed, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let profile = tempfile::Builder::new().prefix("holdfast-browser-").tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start chromedriver; scripts/check installs it (Debian: chromium-driver)")?;
        let mut stdout = BufReader::new(driver.stdout.take().context("chromedriver has an output")?);
        let port =
            timeout(START_LIMIT, port_of(&mut stdout)).await.context("chromedriver does not listen")??;
        // An earlier one is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        let url = format!("http://127.0.0.1:{port}");
        let wanted = capabilities(profile.path())?;
        let started = send(&http, Method::POST, &format!("{url}/session"), Some(&wanted)).await.context(
            "chromedriver cannot start the browser; scripts/check installs one that fits (Debian: chromium)",
        )?;
        let id = started["sessionId"].as_str().context("chromedriver names the session")?;
        let browser =
            started["capabilities"]["goog:processID"].as_i64().and_then(|id| i32::try_from(id).ok());
        Ok(Self {
            session: format!("{url}/session/{id}"),
            http,
            browser,
            _driver: driver,
            _stdout: stdout,
            _profile: profile,
        })
    }

    /// Loads a page, and waits until it is loaded.
    ///
    /// # Errors
    /// Nothing answers at the address, or it takes too long.
    pub async fn goto(&self, url: &str) -> anyhow::Result<()> {
        self.post("/url", &json!({ "url": url }))
            .await
            .map(drop)
            .with_context(|| format!("cannot load {url}"))
    }

    /// The text of the first element that fits a CSS selector, as a person sees it; none when nothing fits.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn text_of(&self, css: &str) -> anyhow::Result<Option<String>> {
        self.look("return document.querySelector(arguments[0])?.innerText ?? null", css).await
    }

    /// An attribute of the first element that fits a CSS selector; none when there is no such.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn attribute_of(&self, css: &str, name: &str) -> anyhow::Result<Option<String>> {
        let script =
            format!("return document.querySelector(arguments[0])?.getAttribute({}) ?? null", json!(name));
        self.look(&script, css).await
    }

    /// How many elements fit a CSS selector.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn count_of(&self, css: &str) -> anyhow::Result<usize> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": css })).await?;
        Ok(found.as_array().map_or(0, Vec::len))
    }

    /// Clicks the first element that fits a CSS selector.
    ///
    /// # Errors
    /// There is no such, or something covers it.
    pub async fn click(&self, css: &str) -> anyhow::Result<()> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": css })).await?;
        let element = found[ELEMENT].as_str().with_context(|| format!("the page has no {css}"))?;
        self.post(&format!("/element/{element}/click"), &json!({})).await.map(drop)
    }

    /// Runs a script in the page: the body of a function, which may use `arguments` and return JSON.
    ///
    /// # Errors
    /// The script fails.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> anyhow::Result<Value> {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments })).await
    }

    /// Looks at the page until a condition holds.
    ///
    /// # Errors
    /// It does not hold in time (`what` says what was waited for, and the page's text is in the error), or looking fails.
    pub async fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        holds: impl AsyncFn(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !holds(self).await? {
            if Instant::now() >= deadline {
                let text = self.text_of("body").await?.unwrap_or_default();
                bail!("{what} did not happen within {} s; the page shows:\n{text}", limit.as_secs());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Gives the page a size and a colour scheme (`light`, `dark`).
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn look_like(&self, width: u32, height: u32, scheme: &str) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await?;
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &scheme).await
    }

    /// Writes what is seen as a PNG.
    ///
    /// # Errors
    /// The browser does not answer, or the file cannot be written.
    pub async fn screenshot(&self, path: &Path) -> anyhow::Result<()> {
        let picture = send(&self.http, Method::GET, &format!("{}/screenshot", self.session), None).await?;
        let bytes = unbase64(picture.as_str().context("a screenshot is a text")?)?;
        std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What the console got as errors since this was last asked: scripts that failed, files that could not be loaded,
    /// everything that the page's policy forbade.
    ///
    /// # Errors
    /// The browser does not answer.
    pub async fn console_errors(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.post("/se/log", &json!({ "type": "browser" })).await?;
        let entries = entries.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        Ok(entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    async fn look(&self, script: &str, css: &str) -> anyhow::Result<Option<String>> {
        Ok(self.run(script, &[json!(css)]).await?.as_str().map(str::to_owned))
    }

    async fn devtools(&self, command: &str, parameters: &Value) -> anyhow::Result<()> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        send(&self.http, Method::POST, &format!("{}{path}", self.session), Some(body)).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(id) = self.browser {
            // Its other processes end with it; chromedriver is ended by its own handle.
            let _gone = std::process::Command::new("kill").arg("-KILL").arg(id.to_string()).status();
        }
    }
}

async fn port_of(stdout: &mut BufReader<ChildStdout>) -> anyhow::Result<u16> {
    let mut line = String::new();
    loop {
        line.clear();
        if stdout.read_line(&mut line).await? == 0 {
            bail!("chromedriver ended before it listened");
        }
        let port = line.trim_end().trim_end_matches('.').rsplit_once(" on port ").map(|(_, port)| port);
        if let Some(port) = port.and_then(|port| port.parse().ok()).filter(|port| *port != 0) {
            return Ok(port);
        }
    }
}

fn capabilities(profile: &Path) -> anyhow::Result<Value> {
    let path = std::env::var_os("PATH").context("there is no PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let program = BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|program| program.is_file())
        .context("there is no chromium on the PATH; scripts/check installs one")?;
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
    flags.push(format!("--user-data-dir={}", profile.display()));
    Ok(json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": program, "args": flags },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } }))
}

/// One request of WebDriver; what it answers is below `value`.
async fn send(
    http: &reqwest::Client,
    method: Method,
    url: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let mut request = http.request(method, url);
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.timeout(START_LIMIT.max(ANSWER_LIMIT)).send().await?;
    let good = response.status().is_success();
    let mut answer: Value = response.json().await.context("the browser answers JSON")?;
    if !good {
        bail!("the browser refuses: {}: {}", answer["value"]["error"], answer["value"]["message"]);
    }
    Ok(answer["value"].take())
}

/// The bytes of a text in base 64 with padding, as screenshots come.
fn unbase64(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut gathered, mut bits) = (0u32, 0u32);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => bail!("{:?} is no letter of base 64", char::from(other)),
        };
        gathered = (gathered << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(gathered >> bits & 0xff)?);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_read() {
        // The examples of RFC 4648, section 10.
        let table = [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")];
        for (text, expected) in table {
            assert_eq!(unbase64(text).unwrap(), expected.as_bytes(), "{text}");
        }
        assert_eq!(unbase64("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
        assert!(unbase64("Zm9v!").is_err());
    }

    #[tokio::test]
    async fn a_page_is_loaded_read_clicked_and_its_errors_are_heard() {
        let browser = Browser::start().await.unwrap();
        let page = "data:text/html,<p id=a>one</p><button onclick=\"a.innerText='two';console.error('oh')\">b</button>";
        browser.goto(page).await.unwrap();
        assert_eq!(browser.text_of("p").await.unwrap().as_deref(), Some("one"));
        assert_eq!(browser.text_of("h1").await.unwrap(), None);
        assert_eq!(browser.attribute_of("p", "id").await.unwrap().as_deref(), Some("a"));
        assert!(browser.console_errors().await.unwrap().is_empty());
        browser.click("button").await.unwrap();
        let two = async |browser: &Browser| Ok(browser.text_of("p").await?.as_deref() == Some("two"));
        browser.wait_until("two", Duration::from_secs(10), two).await.unwrap();
        assert!(browser.console_errors().await.unwrap().iter().any(|error| error.contains("oh")));
        let file = tempfile::NamedTempFile::new().unwrap();
        browser.screenshot(file.path()).await.unwrap();
        assert!(std::fs::read(file.path()).unwrap().starts_with(b"\x89PNG"));
        let never = async |_: &Browser| Ok(false);
        let late =
            browser.wait_until("three", Duration::from_millis(1), never).await.unwrap_err().to_string();
        assert!(late.contains("three did not happen") && late.contains("two"), "{late}");
    }
}
