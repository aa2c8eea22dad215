//! Durable truth of the farm.
