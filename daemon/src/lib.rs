//! The daemon: one leader per farm.
