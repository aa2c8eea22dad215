//! Which image is the app's own, which frames lie in it, and which image an address lies in.
//!
//! Where images and frames come from is read elsewhere.

use crate::report::{Frame, Image, Report};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Code inside an app's bundle that the app's authors did not write: the test runner's and the language's.
const FOREIGN_IMAGES: [&str; 11] = [
    "XCTest",
    "XCTestCore",
    "XCTestSupport",
    "XCTAutomationSupport",
    "XCUIAutomation",
    "XCUnit",
    "Testing",
    "_Testing_Foundation",
    "_Testing_CoreGraphics",
    "libXCTestSwiftSupport.dylib",
    "libXCTestBundleInject.dylib",
];
/// The same by how the name begins: Swift's back-deployed libraries and the sanitizers.
const FOREIGN_PREFIXES: [&str; 2] = ["libswift", "libclang_rt."];

/// A UUID in the one form that is compared: lower case with dashes. Texts write 32 digits in angle brackets.
pub(crate) fn plain_uuid(text: &str) -> Option<String> {
    if is_plain(text) {
        return Some(text.to_owned());
    }
    let digits: String =
        text.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase()).collect();
    if text.len() > 40 || digits.len() != 32 {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    Some([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

/// The same, for the many frames of an image.
pub(crate) fn shared_uuid(text: &str) -> Option<Arc<str>> {
    if is_plain(text) { Some(Arc::from(text)) } else { plain_uuid(text).map(Arc::from) }
}

/// Whether this is already the one form: JSON reports write it.
fn is_plain(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(position, byte)| match position {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Finds the process' own executable and says for every image whether it belongs to the app.
pub(crate) fn mark_app_images(report: &mut Report) -> Vec<bool> {
    let own = |image: &Image| is_executable(report, image);
    let by_uuid =
        |image: &Image| image.uuid.is_some() && image.uuid.as_deref() == report.slice_uuid.as_deref();
    // Hand-made reports have neither path nor UUID of the process.
    let by_name = |image: &Image| {
        let bundled = image.path.as_deref().is_some_and(|path| bundle_of(path).is_some());
        bundled && image.name.is_some() && image.name.as_deref() == report.process.as_deref()
    };
    let images = || report.images.iter();
    report.app_image =
        images().position(own).or_else(|| images().position(by_uuid)).or_else(|| images().position(by_name));
    let app_path = report.app_image.and_then(|position| report.images.get(position)?.path.as_deref());
    let bundle = report.process_path.as_deref().or(app_path).and_then(bundle_of);
    report
        .images
        .iter()
        .enumerate()
        .map(|(position, image)| report.app_image == Some(position) || is_in_bundle(image, bundle))
        .collect()
}

/// Gives each frame that so far has only an address or a name its image, offset and mark.
pub(crate) fn place_frames(report: &mut Report) {
    let in_app = mark_app_images(report);
    let index = ImageIndex::new(&report.images);
    let images = &report.images;
    let process = report.process.as_deref();
    let stacks = report.threads.iter_mut().map(|thread| &mut thread.frames);
    for frame in stacks.chain([&mut report.last_exception_backtrace]).flatten() {
        match index.image_of(images, frame) {
            Some(position) => {
                if let Some(image) = images.get(position) {
                    settle(frame, image);
                }
                frame.in_app = in_app.get(position).copied().unwrap_or(false);
            }
            // A text whose list of images was cut off still names the process' own image.
            None => frame.in_app = frame.image.is_some() && frame.image.as_deref() == process,
        }
    }
}

fn settle(frame: &mut Frame, image: &Image) {
    frame.image_uuid.clone_from(&image.uuid);
    if let Some(name) = &image.name {
        frame.image = Some(name.clone());
    }
    if let (Some(address), Some(base)) = (frame.address, image.base) {
        frame.offset = address.checked_sub(base).or(frame.offset);
    }
    // Some symbolicators write the offset in the image where the offset in the function belongs.
    if frame.symbol_offset.is_some() && frame.symbol_offset == frame.offset {
        frame.symbol_offset = None;
    }
}

/// Finds images by address and by name, so that many frames and many images cost no more than both together.
struct ImageIndex {
    /// Positions in order of base.
    by_base: Vec<usize>,
    /// Images whose end is not known, by name.
    endless: BTreeMap<String, usize>,
}

impl ImageIndex {
    fn new(images: &[Image]) -> ImageIndex {
        let mut by_base: Vec<usize> = (0..images.len()).collect();
        by_base.sort_by_key(|position| images.get(*position).and_then(|image| image.base));
        let mut endless = BTreeMap::new();
        for (position, image) in images.iter().enumerate().filter(|(_, image)| image.size.is_none()) {
            if let Some(name) = &image.name {
                endless.entry(name.to_string()).or_insert(position);
            }
        }
        ImageIndex { by_base, endless }
    }

    /// By address; failing that, by name among those whose end is not known.
    fn image_of(&self, images: &[Image], frame: &Frame) -> Option<usize> {
        let base_of = |position: &usize| images.get(*position).and_then(|image| image.base);
        let after = self.by_base.partition_point(|position| base_of(position) <= frame.address);
        let nearest = after.checked_sub(1).and_then(|at| self.by_base.get(at)).copied().filter(|position| {
            let size = images.get(*position).and_then(|image| image.size);
            let beyond_base =
                frame.address.zip(base_of(position)).and_then(|(address, base)| address.checked_sub(base));
            beyond_base.zip(size).is_some_and(|(offset, size)| offset < size)
        });
        nearest.or_else(|| self.endless.get(frame.image.as_deref()?).copied())
    }
}

fn is_executable(report: &Report, image: &Image) -> bool {
    match (&image.path, &report.process_path) {
        (Some(path), Some(process)) => without_private(path) == without_private(process),
        _ => false,
    }
}

/// `/Chat.app/` of `/private/var/containers/Bundle/Application/…/Chat.app/PlugIns/Share.appex/Share`.
fn bundle_of(process_path: &str) -> Option<&str> {
    let end = process_path.rfind(".app/")? + ".app/".len();
    let start = process_path.get(..end - 1)?.rfind('/')?;
    process_path.get(start..end)
}

fn is_in_bundle(image: &Image, bundle: Option<&str>) -> bool {
    let (Some(path), Some(bundle)) = (image.path.as_deref(), bundle) else { return false };
    let name = image.name.as_deref().unwrap_or_default();
    // A simulator's system lies inside the bundle of Xcode.
    let is_simulator_system = path.contains(".platform/") || path.contains("/RuntimeRoot/");
    path.contains(bundle)
        && !is_simulator_system
        && !FOREIGN_IMAGES.contains(&name)
        && !FOREIGN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// `/var` is a link to `/private/var`, and reports use both.
fn without_private(path: &str) -> &str {
    path.strip_prefix("/private").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Container;

    #[test]
    fn uuids_are_compared_in_one_form() {
        let plain = Some("82d13d98-219e-3040-b62a-07a297007a7c".to_owned());
        let table = [
            ("82D13D98-219E-3040-B62A-07A297007A7C", plain.clone()),
            ("<82d13d98219e3040b62a07a297007a7c>", plain),
            ("82d13d98", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(plain_uuid(text), expected, "{text}");
        }
    }

    #[test]
    fn the_app_is_found_by_path_and_its_frameworks_by_bundle() {
        let image = |path: &str, uuid: &str| Image {
            name: path.rsplit('/').next().map(Into::into),
            path: Some(path.to_owned()),
            uuid: Some(uuid.into()),
            ..Image::default()
        };
        let mut report = Report::empty(Container::TwoPartJson);
        report.process_path = Some("/private/var/containers/Bundle/Application/1/Chat.app/Chat".to_owned());
        report.slice_uuid = Some("u3".to_owned());
        report.images = vec![
            image("/usr/lib/swift/libswiftCore.dylib", "u0"),
            image("/var/containers/Bundle/Application/1/Chat.app/Frameworks/libswiftCore.dylib", "u1"),
            image("/var/containers/Bundle/Application/1/Chat.app/Frameworks/Feed.framework/Feed", "u2"),
            image("/var/containers/Bundle/Application/1/Chat.app/Chat", "u3"),
            image("/var/containers/Bundle/Application/1/Chat.app/Chat.debug.dylib", "u4"),
            image("/var/containers/Bundle/Application/1/Chat.app/Frameworks/XCTest.framework/XCTest", "u5"),
            image("/var/containers/Bundle/Application/2/Other.app/Other", "u6"),
        ];
        assert_eq!(mark_app_images(&mut report), [false, false, true, true, true, false, false]);
        assert_eq!(report.app_image, Some(3));
        report.process_path = None;
        assert_eq!(mark_app_images(&mut report), [false, false, true, true, true, false, false]);
        report.slice_uuid = None;
        assert_eq!(mark_app_images(&mut report), [false; 7]);
        report.process = Some("Chat".to_owned());
        assert_eq!(mark_app_images(&mut report), [false, false, true, true, true, false, false]);
    }
}
