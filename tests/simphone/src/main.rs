//! The program `holdfast-simphone`: a rack of pretend phones behind a usbmuxd socket. All its parts are in the library.
fn main() {}
