//! Rebuilds the disk as a kill or a power cut would leave it.
