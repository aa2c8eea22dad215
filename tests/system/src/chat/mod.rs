//! From a dead process to a message: pretend phones whose app dies and whose reports come late, and a chat that takes
//! messages. A test looks at what is said, a measurement at how long it takes.
//!
//! | module | holds |
//! |---|---|
//! | [`robot`] | a robot of a Feishu group on this machine, as strict as its documents |
//! | [`delay`] | a farm on which every launch dies in its own way, and how long each message takes |

pub mod delay;
pub mod robot;
