//! Names of functions as people write them. They are put into tables so, because reading a name takes longer than finding it.

use std::borrow::Cow;

use symbolic_common::{Language, Name, NameMangling};
use symbolic_demangle::{Demangle, DemangleOptions};
use symbolic_symcache::transform::{Function, Transformer};

/// Writes every name that goes into a table as people do.
pub(crate) struct Readable;

impl Transformer for Readable {
    fn transform_function<'f>(&'f mut self, mut function: Function<'f>) -> Function<'f> {
        if let Some(name) = demangled(&function.name) {
            function.name = Cow::Owned(name);
        }
        function
    }
}

/// None of a name that is readable already, as those of C and Objective-C are. Swift's come without the modules of every
/// type in them, as Xcode shows them.
fn demangled(name: &str) -> Option<String> {
    let name = Name::new(name, NameMangling::Unknown, Language::Unknown);
    let options = match name.detect_language() {
        Language::Swift => DemangleOptions::complete().return_type(false),
        Language::Cpp | Language::ObjCpp => DemangleOptions::complete(),
        _ => return None,
    };
    name.demangle(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_people_write_them() {
        let table = [
            ("$s4Chat8RoomViewV4open2idySi_tF", Some("RoomView.open(id: Int)")),
            ("_$s4Chat8RoomViewV4open2idySi_tF", Some("RoomView.open(id: Int)")),
            ("_ZN4chat4Room4openEi", Some("chat::Room::open(int)")),
            ("__ZN4chat4Room4openEi", Some("chat::Room::open(int)")),
            ("-[ChatRoom open:]", None),
            ("Feed_decodeCell", None),
            ("_ZN4chat", None),
        ];
        for (written, expected) in table {
            assert_eq!(demangled(written).as_deref(), expected, "{written}");
        }
    }
}
