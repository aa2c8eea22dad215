//! Symbols for `holdfast crash read`: where they are kept, what is said of those that miss, are refused or damaged.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use holdfast_crash::{Report, missing_symbols};
use holdfast_symbols::Symbols;

use crate::exit::Failure;
use crate::output::printable;

/// Names longer than this no longer line up, as in the frames of the page.
const IMAGE_COLUMN: usize = 28;

/// Finds the symbols that `--symbols` names, and says which files in the folder are damaged.
pub(super) fn search(folder: &Path, cache: Option<PathBuf>) -> Result<Symbols, Failure> {
    let cache = cache.or_else(user_cache);
    let mut symbols =
        Symbols::search(folder, cache).map_err(|holdfast_symbols::Error::Search { path, cause }| {
            Failure::File { operation: "read", path: path.display().to_string(), cause }
        })?;
    tell_troubles(&mut symbols);
    Ok(symbols)
}

/// Names the frames of a report, and says which symbols are of another build or damaged.
pub(super) fn name_frames(symbols: &mut Symbols, file: &Path, report: &mut Report) {
    symbols.symbolicate(report);
    tell_troubles(symbols);
    for refused in symbols.refused(report) {
        eprintln!(
            "warning: {} of {} needs symbols of {}; refused those in {}, which are of {}",
            printable(&refused.image),
            printable(&file.display().to_string()),
            refused.needed,
            printable(&refused.file),
            refused.found
        );
    }
}

/// The part of the page about symbols that nobody had; empty when none miss.
pub(super) fn missing(report: &Report) -> String {
    let missing = missing_symbols(report);
    if missing.is_empty() {
        return String::new();
    }
    let mut words =
        "\nsymbols are missing; name a folder with the dSYMs of these UUIDs with --symbols, or upload \
                     them to a farm: holdfast build symbols BUILD App.dSYM.zip\n"
            .to_owned();
    for image in missing {
        // Writing to a string cannot fail.
        let _ = writeln!(words, "       {:<IMAGE_COLUMN$} {}", printable(&image.image), image.uuid);
    }
    words
}

fn tell_troubles(symbols: &mut Symbols) {
    for trouble in symbols.take_troubles() {
        eprintln!(
            "warning: cannot use symbols of {}\n  because: {}",
            printable(&trouble.file),
            printable(&trouble.what)
        );
    }
}

/// Where programs of this system keep what can be made anew; none for a user without a home.
fn user_cache() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(of_home)))?;
    Some(cache.join("holdfast/symbols"))
}
