//! The holdfast command: another client of the API.
