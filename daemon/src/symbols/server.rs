//! A symbol server: another place that is asked over HTTP for the dSYMs that nobody uploaded, by their UUIDs. What comes is
//! checked by its UUID and compiled to a table like an upload; what does not come is not asked for again for a while.
//!
//! The layouts are those of existing servers, as the page "Symbol Server Compatibility" of Sentry's Symbolicator describes
//! them for Mach-O, and the web interface of elfutils' debuginfod (`debuginfod(8)`).

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use holdfast_symbols::{Contents, Library};
use holdfast_wire::views::SymbolServerView;
use schemars::JsonSchema;
use serde::Deserialize;

/// Until there is a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// From the request to the last byte: a large app's symbols on a slow line.
const DEADLINE: Duration = Duration::from_secs(300);
/// Largest answer, and the largest that it may unpack to: the symbols of the largest apps are below two gigabytes.
const ANSWER_BYTES_MAX: u64 = 4 << 30;
/// How often an answer may send on to another place: a server before a store of files does once.
const REDIRECTS_MAX: usize = 3;
/// A server that did not answer, or with a mistake of its own, is asked again after so long.
const TROUBLE_FOR: Duration = Duration::from_secs(300);
/// UUIDs of which is known that they were asked for: the oldest answers are forgotten first.
const ASKED_MAX: usize = 10_000;
/// `4c4c440855553144a1ff140fc6c6ab6f`.
const ID_LETTERS: usize = 32;
/// How a file begins that gzip made.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How our requests introduce themselves.
const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

/// How a server files dSYMs below its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `4c/4c440855553144a1ff140fc6c6ab6f/debuginfo`: Symbolicator's own.
    #[default]
    Unified,
    /// `4C4C/4408/5555/3144/A1FF/140FC6C6AB6F`: the file mapped UUID folders of LLDB.
    Native,
    /// `_.dwarf/mach-uuid-sym-4c4c440855553144a1ff140fc6c6ab6f/_.dwarf`: Microsoft's symbol server, and SSQP.
    Ssqp,
    /// `buildid/4c4c440855553144a1ff140fc6c6ab6f/debuginfo`: debuginfod.
    Debuginfod,
}

/// Where a server keeps the dSYM of a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    layout: Option<Layout>,
}

impl Address {
    /// An address with a layout below it, or one with `{uuid}`, `{UUID}`, `{id}` or `{ID}` in it: the UUID with dashes or
    /// without, in small letters or in capitals.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(url: &str, layout: Option<Layout>) -> Result<Self, String> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let rest = rest.ok_or("a symbol server's address begins with https:// or http://")?;
        if rest.split('/').next().is_none_or(|host| host.is_empty() || host.contains('@')) {
            return Err("write the server's name after the //, without a user or a password".to_owned());
        }
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("an address has no spaces".to_owned());
        }
        let is_template = ["{uuid}", "{UUID}", "{id}", "{ID}"].iter().any(|place| url.contains(place));
        match (is_template, layout) {
            (true, Some(_)) => {
                Err("the address says itself where the UUID goes; leave out `layout`".to_owned())
            }
            (false, _) if url.contains('{') => {
                Err("the places of the UUID are {uuid}, {UUID}, {id} and {ID}".to_owned())
            }
            (true, None) => Ok(Self { url: url.to_owned(), layout: None }),
            (false, layout) => Ok(Self {
                url: url.trim_end_matches('/').to_owned(),
                layout: Some(layout.unwrap_or_default()),
            }),
        }
    }

    /// Where the dSYM of a UUID is; none when the UUID is none.
    pub fn of(&self, uuid: &str) -> Option<String> {
        let id: String = uuid.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        if id.len() != ID_LETTERS || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let capital = id.to_ascii_uppercase();
        let dashed = |id: &str| [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
        let Some(layout) = self.layout else {
            let url = self.url.replace("{uuid}", &dashed(&id)).replace("{UUID}", &dashed(&capital));
            return Some(url.replace("{id}", &id).replace("{ID}", &capital));
        };
        let path = match layout {
            Layout::Unified => format!("{}/{}/debuginfo", &id[..2], &id[2..]),
            Layout::Native => {
                let parts = [&capital[..4], &capital[4..8], &capital[8..12], &capital[12..16]];
                format!("{}/{}/{}", parts.join("/"), &capital[16..20], &capital[20..])
            }
            Layout::Ssqp => format!("_.dwarf/mach-uuid-sym-{id}/_.dwarf"),
            Layout::Debuginfod => format!("buildid/{id}/debuginfo"),
        };
        Some(format!("{}/{path}", self.url))
    }

    /// `https://symbols.example`
    fn server(&self) -> &str {
        let after = self.url.find("//").map_or(0, |at| at + 2);
        let end = self.url[after..].find('/').map_or(self.url.len(), |at| after + at);
        &self.url[..end]
    }
}

/// A server, and how long it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it is.
    pub address: Address,
    /// So long after it had no dSYM it is not asked for it again.
    pub missing_for: Duration,
}

/// What came of a question.
#[derive(Debug, Clone)]
struct Asked {
    at: Instant,
    /// Until then the answer stands.
    stands_for: Duration,
    words: String,
}

/// Why there is no dSYM.
#[derive(Debug)]
struct Failed {
    words: String,
    stands_for: Duration,
}

/// A server that is asked.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    /// Where answers lie until they are looked into.
    folder: PathBuf,
    http: reqwest::Client,
    asked: Mutex<BTreeMap<String, Asked>>,
    counts: Mutex<Counts>,
    /// One answer at a time: a large one takes gigabytes.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Counts {
    found: u64,
    trouble: Option<String>,
}

impl Server {
    /// A server to be asked; answers lie in the folder until they are looked into.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(config: ServerConfig, folder: PathBuf) -> std::io::Result<Self> {
        // The one provider of the farm; that it is there already is well.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(DEADLINE)
            .build()
            .map_err(std::io::Error::other)?;
        let (asked, counts, asking) = Default::default();
        Ok(Self { config, folder, http, asked, counts, asking })
    }

    /// Whether it may be asked for a dSYM now.
    pub fn is_due(&self, uuid: &str) -> bool {
        locked(&self.asked).get(uuid).is_none_or(|asked| asked.at.elapsed() >= asked.stands_for)
    }

    /// What came of asking for a dSYM: `asked https://symbols.example: 404, it has none`.
    pub fn answered(&self, uuid: &str) -> Option<String> {
        let words = locked(&self.asked).get(uuid)?.words.clone();
        Some(format!("asked {}: {words}", self.config.address.server()))
    }

    /// How it does.
    pub fn view(&self) -> SymbolServerView {
        let (counts, missing) = (locked(&self.counts), locked(&self.asked).len() as u64);
        let server = self.config.address.server().to_owned();
        SymbolServerView { server, found: counts.found, missing, trouble: counts.trouble.clone() }
    }

    /// Asks for a dSYM and puts it into the library; says whether it is there now.
    pub async fn fetch(&self, library: &Arc<Library>, uuid: &str) -> bool {
        let _one = self.asking.lock().await;
        if library.knows(uuid) {
            return true;
        }
        let fetched = self.try_fetch(library, uuid).await;
        let (mut asked, mut counts) = (locked(&self.asked), locked(&self.counts));
        match fetched {
            Ok(()) => {
                asked.remove(uuid);
                counts.found += 1;
                counts.trouble = None;
                true
            }
            Err(Failed { words, stands_for }) => {
                let is_trouble = stands_for == TROUBLE_FOR;
                if is_trouble {
                    tracing::warn!(
                        uuid,
                        words,
                        server = self.config.address.server(),
                        "the symbol server does not serve"
                    );
                }
                counts.trouble = is_trouble.then(|| words.clone());
                if asked.len() >= ASKED_MAX {
                    let oldest = asked.iter().min_by_key(|(_, asked)| asked.at).map(|(uuid, _)| uuid.clone());
                    oldest.map(|oldest| asked.remove(&oldest));
                }
                asked.insert(uuid.to_owned(), Asked { at: Instant::now(), stands_for, words });
                false
            }
        }
    }

    async fn try_fetch(&self, library: &Arc<Library>, uuid: &str) -> Result<(), Failed> {
        let missing = |words: String| Failed { words, stands_for: self.config.missing_for };
        let url = self.config.address.of(uuid).ok_or_else(|| missing(format!("{uuid:?} is no UUID")))?;
        let answer = self.http.get(url).send().await.map_err(|error| trouble(&error.without_url()))?;
        let status = answer.status();
        if status.is_client_error() {
            let words = match status.as_u16() {
                404 | 410 => format!("{}, it has none", status.as_u16()),
                code => format!("{code}, it gives none; look at its settings of access"),
            };
            return Err(missing(words));
        }
        if !status.is_success() {
            return Err(Failed { words: format!("{}, try later", status.as_u16()), stands_for: TROUBLE_FOR });
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(|error| trouble(&error))?;
        let mut chunks = answer.bytes_stream();
        let mut length = 0_u64;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| trouble(&error.without_url()))?;
            length = length.saturating_add(chunk.len() as u64);
            if length > ANSWER_BYTES_MAX {
                return Err(missing(format!("what it sends is larger than {ANSWER_BYTES_MAX} bytes")));
            }
            file.write_all(&chunk).map_err(|error| trouble(&error))?;
        }
        let (library, folder, wanted) = (library.clone(), self.folder.clone(), uuid.to_owned());
        let taken = tokio::task::spawn_blocking(move || take(&library, file, &folder, &wanted)).await;
        taken.map_err(|error| trouble(&error))?.map_err(missing)
    }
}

/// Puts what came into the library, if it is what was asked for.
fn take(
    library: &Library,
    file: tempfile::NamedTempFile,
    folder: &std::path::Path,
    uuid: &str,
) -> Result<(), String> {
    let file = unpacked(file, folder).map_err(|error| format!("what it sent cannot be unpacked: {error}"))?;
    let mut contents =
        Contents::of(file.path()).map_err(|error| format!("what it sent cannot be read: {error}"))?;
    let all: Vec<String> = contents.uuids().into_iter().collect();
    contents.keep(uuid);
    if contents.uuids().is_empty() {
        return Err(match all.as_slice() {
            [] => "what it sent has no dSYM in it".to_owned(),
            [other, ..] => format!("what it sent is the dSYM of {other}"),
        });
    }
    match library.add(&contents).first() {
        Some(trouble) if !library.knows(uuid) => {
            Err(format!("what it sent cannot be used: {}", trouble.what))
        }
        Some(_) | None => Ok(()),
    }
}

/// What gzip packed, unpacked; anything else as it is.
fn unpacked(
    mut file: tempfile::NamedTempFile,
    folder: &std::path::Path,
) -> std::io::Result<tempfile::NamedTempFile> {
    let mut beginning = Vec::new();
    file.as_file_mut().rewind()?;
    file.as_file_mut().take(GZIP.len() as u64).read_to_end(&mut beginning)?;
    file.as_file_mut().rewind()?;
    if beginning != GZIP {
        return Ok(file);
    }
    let mut unpacked = tempfile::NamedTempFile::new_in(folder)?;
    let mut reader = flate2::read::MultiGzDecoder::new(file.as_file_mut()).take(ANSWER_BYTES_MAX + 1);
    if std::io::copy(&mut reader, unpacked.as_file_mut())? > ANSWER_BYTES_MAX {
        return Err(std::io::Error::other(format!("it unpacks to more than {ANSWER_BYTES_MAX} bytes")));
    }
    Ok(unpacked)
}

/// The server or this machine has a trouble that goes by.
fn trouble(error: &dyn std::error::Error) -> Failed {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words.push_str(&format!(": {next}"));
        cause = next.source();
    }
    Failed { words, stands_for: TROUBLE_FOR }
}

/// Nothing is left half done under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_its_path() {
        let uuid = "4c4c4408-5555-3144-a1ff-140fc6c6ab6f";
        let base = "https://symbols.example/apps";
        let table = [
            (format!("{base}/"), None, "4c/4c440855553144a1ff140fc6c6ab6f/debuginfo"),
            (base.to_owned(), Some(Layout::Unified), "4c/4c440855553144a1ff140fc6c6ab6f/debuginfo"),
            (base.to_owned(), Some(Layout::Native), "4C4C/4408/5555/3144/A1FF/140FC6C6AB6F"),
            (
                base.to_owned(),
                Some(Layout::Ssqp),
                "_.dwarf/mach-uuid-sym-4c4c440855553144a1ff140fc6c6ab6f/_.dwarf",
            ),
            (base.to_owned(), Some(Layout::Debuginfod), "buildid/4c4c440855553144a1ff140fc6c6ab6f/debuginfo"),
            (format!("{base}/{{UUID}}.zip"), None, "4C4C4408-5555-3144-A1FF-140FC6C6AB6F.zip"),
            (
                format!("{base}/{{id}}?as={{uuid}}"),
                None,
                &format!("4c4c440855553144a1ff140fc6c6ab6f?as={uuid}"),
            ),
        ];
        for (url, layout, expected) in table {
            let address = Address::new(&url, layout).unwrap();
            assert_eq!(address.of(uuid).unwrap(), format!("{base}/{expected}"), "{url}");
            assert_eq!(address.server(), "https://symbols.example");
            assert_eq!(address.of("../../etc/passwd"), None);
            assert_eq!(address.of("é4c4408-5555-3144-a1ff-140fc6c6ab6f"), None);
        }
    }

    #[test]
    fn an_address_that_leads_nowhere_is_refused() {
        let table = [
            ("file:///symbols", None, "begins with https://"),
            ("https:///symbols", None, "the server's name"),
            ("https://ada:secret@symbols.example", None, "without a user"),
            ("https://symbols.example/{build}", None, "{uuid}, {UUID}, {id} and {ID}"),
            ("https://symbols.example/{id}", Some(Layout::Native), "leave out `layout`"),
            ("https://symbols.example/ a", None, "no spaces"),
        ];
        for (url, layout, expected) in table {
            let refused = Address::new(url, layout).unwrap_err();
            assert!(refused.contains(expected), "{url}: {refused}");
        }
    }
}
