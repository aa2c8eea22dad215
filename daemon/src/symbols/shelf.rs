//! The daemon's symbols: one folder of tables beside the store, a folder of others that is searched, links to sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_crash::Report;
use holdfast_symbols::Library;
use holdfast_wire::crash::MissingDsym;
use holdfast_wire::id::CrashId;
use tokio::sync::Mutex;

use super::links::{SourceLinks, SourceRoots};
use super::server::Server;
use crate::config::SymbolsConfig;
use crate::snapshot::Snapshot;

/// What every reader of a crash is given. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Symbols {
    /// The tables.
    pub library: Arc<Library>,
    /// Searched for dSYMs now and then.
    pub folder: Option<Arc<PathBuf>>,
    /// Asked for what nobody uploaded.
    pub server: Option<Arc<Server>>,
    links: Option<Arc<SourceLinks>>,
    /// Where sources lie on the build machines.
    pub roots: Arc<SourceRoots>,
    /// Crashes that wait are named by one at a time, who knows which were read in vain: symbols of the right UUID may be of
    /// another architecture, and the bytes of a crash may be gone.
    pub(super) naming: Arc<Mutex<BTreeSet<(CrashId, String)>>>,
    /// Uploads are looked into one at a time: the dSYM of a large app takes a gigabyte of memory.
    pub checking: Arc<Mutex<()>>,
}

impl Symbols {
    /// Opens the tables in a folder, which is made when it is not there.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(tables: &Path, config: SymbolsConfig) -> std::io::Result<Self> {
        Ok(Self {
            library: Arc::new(Library::open(tables.to_owned())?),
            folder: config.folder.map(Arc::new),
            server: config
                .server
                .map(|server| Server::new(server, tables.to_owned()))
                .transpose()?
                .map(Arc::new),
            links: config.links.map(Arc::new),
            roots: Arc::new(config.roots),
            naming: Arc::default(),
            checking: Arc::default(),
        })
    }

    /// The symbols that nobody has, with what came of asking the symbol server for them.
    pub fn missing(&self, report: &Report) -> Vec<MissingDsym> {
        let mut missing = crate::crashes::missing(report);
        if let Some(server) = &self.server {
            for one in &mut missing {
                one.asked = server.answered(&one.uuid);
            }
        }
        missing
    }

    /// Puts links to the repository into the frames of a report, when it is of a build whose commit is known.
    pub fn link(&self, report: &mut Report, snapshot: &Snapshot) {
        let Some(links) = &self.links else { return };
        let images = report.images.iter().filter_map(|image| image.uuid.as_deref());
        let build = report
            .slice_uuid
            .as_deref()
            .into_iter()
            .chain(images)
            .find_map(|uuid| snapshot.build_of_uuid(uuid));
        let Some(commit) = build.and_then(|build| build.origin.commit.clone()) else { return };
        let threads = report.threads.iter_mut().flat_map(|thread| &mut thread.frames);
        for frame in threads.chain(&mut report.last_exception_backtrace).filter(|frame| frame.in_app) {
            if let (Some(file), Some(line)) = (&frame.file, frame.line) {
                frame.source_url = links.link(&commit, file, line).map(String::into_boxed_str);
            }
        }
    }
}
