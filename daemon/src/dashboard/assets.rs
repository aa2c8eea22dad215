//! The three files that pages load: script, style, icon. They are inside the program, and a browser may keep them for as
//! long as their address carries the version that they have here.

use std::sync::LazyLock;

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Where it is served.
    pub path: &'static str,
    /// Its media type.
    pub media: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The script.
pub const SCRIPT: Asset = Asset {
    path: "/dashboard/app.js",
    media: "text/javascript; charset=utf-8",
    text: include_str!("app.js"),
};
/// The style.
pub const STYLE: Asset =
    Asset { path: "/dashboard/style.css", media: "text/css; charset=utf-8", text: include_str!("style.css") };
/// The icon.
pub const ICON: Asset =
    Asset { path: "/dashboard/icon.svg", media: "image/svg+xml", text: include_str!("icon.svg") };
/// All of them.
pub const ALL: [Asset; 3] = [SCRIPT, STYLE, ICON];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for asset in ALL {
        hasher.update(asset.text.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(12).collect()
});

/// A name for what all of them hold together. Pages of another version load themselves anew.
pub fn version() -> &'static str {
    &VERSION
}

impl Asset {
    /// The address that may be kept for ever.
    pub fn address(&self) -> String {
        format!("{}?v={}", self.path, version())
    }
}
