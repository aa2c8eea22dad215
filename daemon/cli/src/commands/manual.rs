//! `holdfast manual`: the manual pages, made from the same description as the help.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use serde::Serialize;

use super::Context;
use crate::args::Cli;
use crate::exit::{Exit, Failure};

/// Where the pages are now.
#[derive(Debug, Serialize)]
struct Written {
    folder: String,
    pages: usize,
}

pub(super) fn run(context: &Context, folder: &Path) -> Result<Exit, Failure> {
    let failed = |path: PathBuf| {
        move |cause| Failure::File { operation: "write", path: path.display().to_string(), cause }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder.to_owned()))?;
    let mut command = Cli::command();
    // Only a built command knows the whole names of those below it: `holdfast job submit`.
    command.build();
    let mut pages = 0;
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let below = command.get_subcommands().filter(|one| one.get_name() != "help" && !one.is_hide_set());
        left.extend(below.cloned());
        let mut page = Vec::new();
        let file = folder.join(format!("{name}.1"));
        clap_mangen::Man::new(command).render(&mut page).map_err(failed(file.clone()))?;
        std::fs::write(&file, page).map_err(failed(file.clone()))?;
        pages += 1;
    }
    let written = Written { folder: folder.display().to_string(), pages };
    context.show(&written, |written| {
        format!(
            "{} pages are in {}\nread them: man -l {}",
            written.pages,
            written.folder,
            folder.join("holdfast-job-submit.1").display()
        )
    })
}
