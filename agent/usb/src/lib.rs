//! Real phones over usbmuxd and USB.
