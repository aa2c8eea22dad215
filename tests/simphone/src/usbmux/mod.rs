//! The socket of usbmuxd: which phones are here, and a raw stream to any of their ports.
