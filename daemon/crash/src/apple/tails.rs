//! Images and what follows them.

use super::convert::{Form, Source};
use crate::report::Image;
use crate::tape::Node;
use std::fmt::{Result, Write};

pub(super) fn write_images(page: &mut String, source: &Source<'_>, form: Form) -> Result {
    writeln!(page, "Binary Images:")?;
    let mut nodes = source.node(&["usedImages"]).map(Node::items).unwrap_or_default();
    for image in &source.report.images {
        write_image(page, image, nodes.next(), form)?;
    }
    Ok(())
}

fn write_image(page: &mut String, image: &Image, node: Option<Node<'_>>, form: Form) -> Result {
    let base = image.base.unwrap_or_default();
    // An image without a size is a stand-in for addresses in none, and reaches to the end of memory.
    let last = base.wrapping_add(image.size.unwrap_or_default()).wrapping_sub(1);
    write!(page, "{:>18} - {:>18} ", format!("0x{base:x}"), format!("0x{last:x}"))?;
    let name = image.name.as_deref().unwrap_or("???");
    let uuid = image.uuid.as_deref().unwrap_or_default();
    let path = image.path.as_deref().unwrap_or("???");
    match form {
        Form::Phone => {
            let arch = image.arch.as_deref().unwrap_or("unknown-arch");
            writeln!(page, "{name} {arch}  <{}> {path}", uuid.replace('-', ""))
        }
        Form::Mac => {
            let said = |key: &str| node.and_then(|node| node.get(key)).and_then(Node::str);
            let version = said("CFBundleShortVersionString").unwrap_or("*");
            writeln!(page, "{} ({version}) <{uuid}> {path}", said("CFBundleIdentifier").unwrap_or(name))
        }
    }
}

/// Who meddled with which process, as far as the kernel counted it.
pub(super) fn write_modifications(page: &mut String, source: &Source<'_>) -> Result {
    if source.node(&["extMods"]).is_none() {
        return Ok(());
    }
    writeln!(page, "External Modification Summary:")?;
    for (title, key) in [
        ("Calls made by other processes targeting this process:", "targeted"),
        ("Calls made by this process:", "caller"),
        ("Calls made by all processes on this machine:", "system"),
    ] {
        writeln!(page, "  {title}")?;
        for call in ["task_for_pid", "thread_create", "thread_set_state"] {
            writeln!(page, "    {call}: {}", source.words_or(&["extMods", key, call], "0"))?;
        }
    }
    writeln!(page)
}
