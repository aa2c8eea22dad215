//! Pretend iPhones that speak the real protocols behind a usbmuxd socket.
