//! Names of functions without what differs from build to build and from tool to tool: closures and blocks become the
//! function that they stand in; specialisations, thunks, parameters and the compiler's own numbers go.
//!
//! Digits of a name that people chose stay: `decodeMP4` is no `decodeMP3`.

use std::borrow::Cow;

/// Bytes of a symbol that are looked at; nobody writes closures inside closures to this depth.
const SYMBOL_BYTES_MAX: usize = 4096;
/// Longest name that a signature keeps, in bytes; templates make longer ones.
const NAME_BYTES_MAX: usize = 200;

/// What stands before the name proper in demangled Swift and C++, as often as it may stand there.
const PREFIXES: &[&str] = &[
    "partial apply for ",
    "partial apply forwarder for ",
    "specialized ",
    "merged ",
    "inlined ",
    "@objc ",
    "@nonobjc ",
    "@callee_guaranteed ",
    "dispatch thunk of ",
    "non-virtual thunk to ",
    "virtual thunk to ",
    "covariant return thunk to ",
    "async function pointer to ",
    "default argument ",
    "variable initialization expression of ",
    "lazy initializer for ",
    "protocol witness for ",
    "override ",
    "implicit ",
    "key path getter for ",
    "key path setter for ",
    "curry thunk of ",
    "back deployment thunk for ",
    "back deployment fallback for ",
    "reabstraction thunk helper from ",
    "reabstraction thunk helper ",
    "static inline ",
];

/// What the compiler hangs onto a name.
const SUFFIXES: &[&str] =
    &[" [inlined]", "partial apply", " const", " (.cold.1)", "$shim", "@plt", " &", " noexcept"];

/// The name that is compared. Empty when nothing is left.
pub(crate) fn normalise(symbol: &str) -> Cow<'_, str> {
    let symbol = cut(symbol.trim(), SYMBOL_BYTES_MAX);
    if let Some(method) = objective_c(symbol) {
        return bounded(method);
    }
    if let Some(function) = c_block(symbol) {
        return bounded(normalise(function));
    }
    let name = without_prefixes(symbol);
    if is_plain(name) {
        return bounded(Cow::Borrowed(name));
    }
    bounded(Cow::Owned(written_name(name)))
}

/// `-[Room(Private) open:]` without its category; blocks inside it too.
fn objective_c(symbol: &str) -> Option<Cow<'_, str>> {
    let start = symbol.find("-[").into_iter().chain(symbol.find("+[")).min()?;
    // Before a method only the mark of a block may stand: `__28-[Room open:]_block_invoke`.
    let before = symbol.get(..start)?;
    if !before.trim_start_matches('_').bytes().all(|letter| letter.is_ascii_digit()) {
        return None;
    }
    let method = symbol.get(start..)?;
    let method = method.get(..=method.find(']')?)?;
    let category = method.find('(').zip(method.find(')')).filter(|(open, close)| open < close);
    Some(match category {
        Some((open, close)) => Cow::Owned([method.get(..open)?, method.get(close + 1..)?].concat()),
        None => Cow::Borrowed(method),
    })
}

/// `__12use_sema_block_invoke_2.615`: the function that the block stands in. Helpers that copy blocks have no other name.
fn c_block(symbol: &str) -> Option<&str> {
    let (function, _) = symbol.split_once("_block_invoke")?;
    let function = function.strip_prefix("__").unwrap_or(function);
    // The compiler writes the length of the name before it, where it wrote anything but a plain C function.
    let named = function.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let named = if named.is_empty() { function } else { named };
    (!named.is_empty()).then_some(named)
}

/// Takes away everything that may stand before a name, closures of a function included.
fn without_prefixes(symbol: &str) -> &str {
    let mut name = symbol;
    loop {
        let before = name;
        for prefix in PREFIXES {
            name = name.strip_prefix(prefix).unwrap_or(name);
        }
        name = after_numbered(name);
        name = after_specialization(name);
        if let Some((_, rest)) = closure(name) {
            name = rest;
        }
        if name.len() == before.len() {
            return name;
        }
    }
}

/// `(1) await resume partial function for f`, `0 of f` of a default argument.
fn after_numbered(name: &str) -> &str {
    for mark in ["resume partial function for ", "suspend resume partial function for "] {
        if let Some(at) = name.find(mark)
            && name.starts_with('(')
        {
            return name.get(at + mark.len()..).unwrap_or(name);
        }
    }
    let digits = name.trim_start_matches(|letter: char| letter.is_ascii_digit());
    if digits.len() < name.len() { digits.strip_prefix(" of ").unwrap_or(name) } else { name }
}

/// `generic specialization <A> of f`, `function signature specialization <Arg[0] = Dead> of f`.
fn after_specialization(name: &str) -> &str {
    let Some(at) = name.find("specialization <") else { return name };
    let before = name.get(..at).unwrap_or_default();
    if !matches!(
        before,
        "" | "generic " | "generic partial " | "function signature " | "generic not re-abstracted "
    ) {
        return name;
    }
    name.find("> of ").and_then(|end| name.get(end + "> of ".len()..)).unwrap_or(name)
}

/// `closure #1 (Int) -> () in f`, `defer #1 () in f`, `helper #2 () in f`: what is numbered, and what it stands in.
fn closure(name: &str) -> Option<(&str, &str)> {
    let number = name.find(" #")?;
    let is_numbered =
        name.get(number + 2..).is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
    let at = name.get(number..)?.find(" in ")? + number;
    is_numbered.then(|| Some((name.get(..at)?, name.get(at + " in ".len()..)?)))?
}

/// Whether nothing has to be taken out of a name.
fn is_plain(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b':'))
        && !name.contains("::h")
}

/// A name of Swift or C++ without parameters, results, template arguments, lambdas and the compiler's suffixes.
fn written_name(name: &str) -> String {
    if name.starts_with("thunk for ") {
        return "thunk".to_owned();
    }
    if name.starts_with("Swift runtime failure") || name.starts_with("outlined ") || name.starts_with('<') {
        return name.to_owned();
    }
    let mut name = name;
    for suffix in SUFFIXES {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    // A conformance names the protocol's requirement first, which is the function.
    let name =
        name.split(" in conformance ").next().unwrap_or_default().replace("(anonymous namespace)::", "");
    let name = match name.strip_prefix("(extension in ").and_then(|rest| rest.split_once("):")) {
        Some((_, extended)) => extended,
        None => name.as_str(),
    };
    let name = name.split(" -> ").next().unwrap_or_default();
    let name = without_brackets(name);
    let mut name = name.trim();
    for mark in ["::$_", "::'lambda", "::{lambda", "::{{closure}}"] {
        name = name.split(mark).next().unwrap_or_default();
    }
    name = last_word(without_appendix(name));
    name.to_owned()
}

/// Without what optimisers and Rust append.
fn without_appendix(name: &str) -> &str {
    let mut name = name;
    for mark in [".llvm.", ".cold", ".isra.", ".constprop.", ".part.", ".resume.", ".lto_priv"] {
        name = name.split(mark).next().unwrap_or_default();
    }
    if let Some((before, after)) = name.rsplit_once('.')
        && !after.is_empty()
        && after.bytes().all(|digit| digit.is_ascii_digit())
    {
        name = before;
    }
    match name.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            before
        }
        _ => name,
    }
}

/// Templates carry their result before the name; `static` and operators belong to it.
fn last_word(name: &str) -> &str {
    if name.starts_with("static ") || name.contains("operator ") {
        return name;
    }
    name.rsplit(' ').next().unwrap_or_default()
}

/// The signs of C++ operators, longer ones before their own beginnings.
const OPERATORS: [&str; 36] = [
    "<=>", "<<=", ">>=", "->*", "()", "[]", "->", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "++", "--",
    "+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=", "<", ">", "+", "-", "*", "/", "%", "^", "~", "!", "=",
];

/// Without everything in brackets, however deep; the signs of an operator are no brackets.
fn without_brackets(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut open = 0usize;
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        if open == 0
            && kept.ends_with("operator")
            && let Some(signs) = OPERATORS.iter().find(|signs| rest.starts_with(**signs))
        {
            kept.push_str(signs);
            rest = rest.get(signs.len()..).unwrap_or_default();
            continue;
        }
        match letter {
            '(' | '<' | '[' => open += 1,
            ')' | '>' | ']' if open > 0 => open -= 1,
            _ if open == 0 => kept.push(letter),
            _ => {}
        }
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    }
    kept
}

/// Cut between characters, so that a hostile name costs a signature no more than a long one.
fn bounded(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    Cow::Owned(cut(&name, NAME_BYTES_MAX).to_owned())
}

/// The beginning, cut between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A sentence or a path without what differs from run to run: numbers, addresses and UUIDs become `#`, backslashes and
/// repeated spaces go, and no more of it is kept than a name may have.
pub(crate) fn normalise_words(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(NAME_BYTES_MAX));
    // A word with a digit in it is a number, an address or a part of a UUID as soon as nothing but hexadecimal digits
    // and the marks of such numbers are in it.
    let is_inside = |letter: char| letter.is_alphanumeric();
    let mut rest = cut(text.trim(), SYMBOL_BYTES_MAX);
    while !rest.is_empty() && kept.len() < NAME_BYTES_MAX {
        let word_end = rest.find(|letter: char| !is_inside(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(word_end).unwrap_or((rest, ""));
        let digits = word.strip_prefix("0x").unwrap_or(word);
        let is_number = word.bytes().any(|byte| byte.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_number {
            // The groups of a UUID are one number.
            if !kept.ends_with("#-") && !kept.ends_with('#') {
                kept.push('#');
            } else if kept.ends_with("#-") {
                kept.pop();
            }
        } else {
            kept.push_str(word);
        }
        let between_end = after.find(is_inside).unwrap_or(after.len());
        let (between, next) = after.split_at_checked(between_end).unwrap_or((after, ""));
        for letter in between.chars() {
            // Escapes and spaces come and go with whoever wrote the sentence into the file.
            if letter != '\\' && !(letter == ' ' && kept.ends_with(' ')) {
                kept.push(letter);
            }
        }
        rest = next;
    }
    bounded(Cow::Owned(kept)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_functions_that_people_wrote() {
        let table = [
            ("-[ChatRoom open:]", "-[ChatRoom open:]"),
            ("-[NSString(Chat) trimmed]", "-[NSString trimmed]"),
            ("__28-[Crasher zombieNSException]_block_invoke", "-[Crasher zombieNSException]"),
            ("__94-[FBS createWith:]_block_invoke.215", "-[FBS createWith:]"),
            ("__64-[UIScene scene:]_block_invoke_2.615", "-[UIScene scene:]"),
            ("____pthread_once_block_invoke", "__pthread_once"),
            ("__use_sema_block_invoke_3", "use_sema"),
            ("main", "main"),
            ("decodeMP4", "decodeMP4"),
            ("sha256_update", "sha256_update"),
            ("closure #1 in Login.start()", "Login.start"),
            ("closure #1 in closure #2 in Login.start()", "Login.start"),
            ("closure #1 (Swift.Int) -> () in Chat.Login.start() -> ()", "Chat.Login.start"),
            (
                "partial apply for implicit closure #2 in implicit closure #1 in List.body.getter",
                "List.body.getter",
            ),
            ("defer #1 () in Login.start()", "Login.start"),
            ("helper #1 (_:) in Login.start()", "Login.start"),
            ("specialized static CrashClass.pleaseCrash()", "static CrashClass.pleaseCrash"),
            ("@objc PlanetViewController.imageDownloaded(_:)", "PlanetViewController.imageDownloaded"),
            ("generic specialization <Swift.Int> of Chat.sort<A>(_:)", "Chat.sort"),
            ("function signature specialization <Arg[0] = Dead> of Chat.sort(_:)", "Chat.sort"),
            ("(1) await resume partial function for Chat.load()", "Chat.load"),
            ("protocol witness for Decoder.decode(_:) in conformance ImageCache", "Decoder.decode"),
            ("thunk for @escaping @callee_guaranteed () -> ()", "thunk"),
            ("partial apply for thunk for @escaping @callee_guaranteed () -> ()", "thunk"),
            ("(extension in Chat):Swift.Array.second.getter", "Swift.Array.second.getter"),
            ("default argument 0 of Chat.load(_:)", "Chat.load"),
            ("foo(int, char const*)", "foo"),
            ("(anonymous namespace)::foo(std::vector<int, std::allocator<int>>&)", "foo"),
            ("void ns::apply<int (*)(char)>(int) const", "ns::apply"),
            ("foo()::$_0::operator()() const", "foo"),
            ("Box::operator()(int)", "Box::operator()"),
            ("Box::operator<(Box const&)", "Box::operator<"),
            ("bool operator==<int>(A<int> const&, A<int> const&)", "operator=="),
            ("operator new(unsigned long)", "operator new"),
            ("Box::operator<<(int)", "Box::operator<<"),
            ("Box::operator->()", "Box::operator->"),
            ("Box::~Box()", "Box::~Box"),
            ("non-virtual thunk to Box::draw()", "Box::draw"),
            ("parse.cold.1", "parse"),
            ("parse.llvm.1234567", "parse"),
            ("chat::room::open::h0123456789abcdef", "chat::room::open"),
            (
                "Swift runtime failure: arithmetic overflow [inlined]",
                "Swift runtime failure: arithmetic overflow [inlined]",
            ),
            ("$s4Chat5LoginV5startyyF", "$s4Chat5LoginV5startyyF"),
            ("", ""),
        ];
        for (symbol, expected) in table {
            assert_eq!(normalise(symbol), expected, "{symbol}");
        }
    }

    #[test]
    fn names_of_any_length_and_letters_are_answered() {
        for symbol in [
            "é".repeat(300),
            "(".repeat(5000),
            "closure #1 in ".repeat(3000),
            "<".repeat(400),
            "operator".repeat(90),
        ] {
            assert!(normalise(&symbol).len() <= NAME_BYTES_MAX);
        }
    }

    #[test]
    fn words_lose_what_differs_from_run_to_run() {
        let table = [
            (
                "-[Room open:]: unrecognized selector sent to instance 0x2801f4000",
                "-[Room open:]: unrecognized selector sent to instance #",
            ),
            ("index 5 beyond bounds [0 .. 2]", "index # beyond bounds [# .. #]"),
            ("id 5D0C7F3A-1B2C-3D4E-8F90-A1B2C3D4E5F6 gone", "id # gone"),
            ("CFG 0xffffffff", "CFG #"),
            ("no \\ checkins  from", "no checkins from"),
            ("decodeMP4 failed", "decodeMP4 failed"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(normalise_words(text), expected, "{text}");
        }
    }
}
