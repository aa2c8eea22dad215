//! NSKeyedArchive: the object graphs that developer services send, to and from plain values.
