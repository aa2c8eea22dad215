//! Expressions as people write them, what they say of phones, and what is said of bad ones.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_wire::id::{PoolName, RackId};
use holdfast_wire::phone::{Battery, Pairing, PhoneFacts, Storage};
use holdfast_wire::requirement::{
    ATOMS_MAX, Atom, Compare, EXPRESSION_BYTES_MAX, Expression, FALLBACK_AFTER_S_MAX, FALLBACKS_MAX,
    Fallback, Mismatch, NESTING_MAX, Place, Requirements, Term,
};
use proptest::prelude::*;

/// An iPhone 13 with iOS 16.7.2, half charged, in pool `crash` of `rack-1`.
fn facts() -> PhoneFacts {
    PhoneFacts {
        udid: "00008110-000A2D8E3C41801E".parse().unwrap(),
        name: "Slot 7".to_owned(),
        product_type: "iPhone14,5".to_owned(),
        model: "iPhone 13".to_owned(),
        chip: Some("A15".to_owned()),
        region: Some("LL/A".to_owned()),
        os_version: "16.7.2".parse().unwrap(),
        os_build: "20H115".to_owned(),
        slot: "1-1.4".parse().unwrap(),
        labels: vec!["lab-a".parse().unwrap(), "big".parse().unwrap()],
        battery: Some(Battery { level_percent: 50, ..Battery::default() }),
        storage: Some(Storage { free_bytes: 10_000_000_000, total_bytes: 128_000_000_000 }),
        pairing: Pairing::Paired,
        passcode_locked: false,
        developer_mode: None,
        usb_speed_bps: None,
        apps: Vec::new(),
        crash_files_waiting: BTreeMap::new(),
        crash_limits: Vec::new(),
        clock_offset_ms: None,
        simulated: true,
    }
}

/// The same phone, which tells nothing that it need not tell, in no pool.
fn silent() -> PhoneFacts {
    PhoneFacts { chip: None, region: None, labels: Vec::new(), battery: None, storage: None, ..facts() }
}

fn term(text: &str) -> Term {
    text.parse::<Expression>().map_err(|error| format!("{text}: {error}")).unwrap().term().clone()
}

fn requirements(json: serde_json::Value) -> Requirements {
    serde_json::from_value(json).unwrap()
}

fn holds(term: &Term, facts: &PhoneFacts, pool: Option<&str>) -> bool {
    let (rack, pool): (RackId, Option<PoolName>) =
        ("rack-1".parse().unwrap(), pool.map(|pool| pool.parse().unwrap()));
    term.holds(&Place { facts, rack: &rack, pool: pool.as_ref() })
}

fn mismatch(term: &Term, facts: &PhoneFacts, pool: Option<&str>) -> Option<Mismatch> {
    let (rack, pool): (RackId, Option<PoolName>) =
        ("rack-1".parse().unwrap(), pool.map(|pool| pool.parse().unwrap()));
    term.mismatch(&Place { facts, rack: &rack, pool: pool.as_ref() })
}

#[test]
fn what_is_written_is_what_is_asked() {
    // The expression, whether it holds for the phone, and whether it holds for the one that tells nothing.
    let cases = [
        ("any", true, true),
        ("none", false, false),
        ("not none", true, true),
        ("model = \"iPhone 13\"", true, true),
        ("model = iPhone14,5", true, true),
        ("model = \"iphone 13\"", true, true),
        ("model in (iPhone13,2,iPhone14,5)", true, true),
        ("model not in (iPhone13,2, iPhone13,3)", true, true),
        ("model != iPhone14,5", false, false),
        ("chip = A15", true, false),
        ("chip = a15", true, false),
        ("chip != A15", false, true),
        ("not chip = A15", false, true),
        ("chip = \"A17 Pro\"", false, false),
        ("region = LL/A", true, false),
        ("region != LL/A", false, true),
        ("os = 16", true, true),
        ("os = 16.7", true, true),
        ("os = 16.7.1", false, false),
        ("os != 16", false, false),
        ("os < 16", false, false),
        ("os <= 16", true, true),
        ("os >= 16", true, true),
        ("os > 16", false, false),
        ("os > 16.7", false, false),
        ("os > 16.6", true, true),
        ("os>=16.10", false, false),
        ("os in (15, 16)", true, true),
        ("storage >= 10GB", true, false),
        ("storage > 10 gb", false, false),
        ("storage >= 10.000000001GB", false, false),
        ("storage < 10GB", false, false),
        ("not storage < 10GB", true, true),
        ("storage = 10000000000B", true, false),
        ("battery >= 50%", true, false),
        ("battery >= 50", true, false),
        ("battery > 50 %", false, false),
        ("battery != 50%", false, true),
        ("battery <= 100%", true, false),
        ("slot = 1-1.4", true, true),
        ("rack = rack-1", true, true),
        ("rack not in (rack-1, rack-2)", false, false),
        ("pool = crash", true, false),
        ("pool != crash", false, true),
        ("label = lab-a", true, false),
        ("label = lab-a and label = big", true, false),
        ("label = lab-a and label = small", false, false),
        ("label in (small, big)", true, false),
        ("label != lab-b", true, true),
        ("phone = 00008110-000A2D8E3C41801E", true, true),
        ("phone = 00008110-000A2D8E3C41801F", false, false),
        // `and` binds tighter than `or`, `not` tighter than both.
        ("any or none and none", true, true),
        ("(any or none) and none", false, false),
        ("not none and none", false, false),
        ("not (none and none)", true, true),
        ("NOT Model = \"iPhone 12\" AND Label IN (lab-a) OR None", true, false),
        (
            "model = \"iPhone 13\" and os >= 16 and (label = lab-a or rack in (rack-1, rack-2)) and not storage < 10GB \
             and battery >= 50% and chip = A15 and region = LL/A and slot = 1-1.4 and pool != general \
             and phone = 00008110-000A2D8E3C41801E",
            true,
            false,
        ),
    ];
    for (text, told, untold) in cases {
        let term = term(text);
        assert_eq!(holds(&term, &facts(), Some("crash")), told, "{text}");
        assert_eq!(holds(&term, &silent(), None), untold, "{text}, of a phone that tells nothing");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_place_and_example() {
    let long = format!("label = {}", "x".repeat(EXPRESSION_BYTES_MAX));
    let many = vec!["os = 1"; ATOMS_MAX + 1].join(" or ");
    let deep = format!("{}any{}", "(".repeat(NESTING_MAX + 1), ")".repeat(NESTING_MAX + 1));
    let nots = format!("{}any", "not ".repeat(NESTING_MAX + 1));
    let fact = "expected \"not\", \"(\", \"any\" or a fact (model, chip, os, region, storage, battery, slot, rack, pool, \
                label, phone); for example: model = \"iPhone 13\" and os >= 16";
    let cases: [(&str, String); 26] = [
        ("", format!("column 1: found the end, {fact}")),
        ("  ", format!("column 3: found the end, {fact}")),
        ("colour = red", format!("column 1: found \"colour\", {fact}")),
        ("os = 16 and", format!("column 12: found the end, {fact}")),
        ("or", format!("column 1: found \"or\", {fact}")),
        ("é = 1", format!("column 1: found \"é\", {fact}")),
        ("\"model\" = x", format!("column 1: found \"model\", {fact}")),
        (
            "model",
            "column 6: found the end, expected a comparison (=, !=, in); for example: model = \"iPhone 13\"".to_owned(),
        ),
        (
            "model > iPhone14,5",
            "column 7: found \">\", expected a comparison (=, !=, in); for example: model = \"iPhone 13\"".to_owned(),
        ),
        (
            "os ~ 16",
            "column 4: found \"~\", expected a comparison (=, !=, <, <=, >, >=, in); for example: os >= 16.4"
                .to_owned(),
        ),
        ("rack not rack-1", "column 10: found \"rack-1\", expected \"in\"; for example: rack not in (rack-1, rack-2)".to_owned()),
        (
            "model = iPhone 13",
            "column 16: found \"13\", expected \"and\", \"or\" or the end (a value with spaces stands in double \
             quotes); for example: model = \"iPhone 13\""
                .to_owned(),
        ),
        (
            "label = \"größe\" x",
            "column 9: found \"größe\", expected the name of a label (a label has letters, digits, '.', '_' and '-' \
             only; \"größe\" has 'ö'); for example: label = lab-a"
                .to_owned(),
        ),
        ("chip =", "column 7: found the end, expected a value; for example: chip = A15".to_owned()),
        ("chip = )", "column 8: found \")\", expected a value; for example: chip = A15".to_owned()),
        ("chip == A15", "column 7: found \"=\", expected a value; for example: chip = A15".to_owned()),
        ("chip = \"\"", "column 8: found \"\", expected a text of 1 to 64 bytes; for example: chip = A15".to_owned()),
        (
            "chip = \"A15",
            "column 8: found \"\\\"A15\", expected a closing double quote; for example: model = \"iPhone 13\"".to_owned(),
        ),
        (
            "os >= iOS16",
            "column 7: found \"iOS16\", expected a version of one to three numbers; for example: os >= 16.4".to_owned(),
        ),
        (
            "storage > 10",
            "column 11: found \"10\", expected a size with its unit (B, KB, MB, GB or TB); for example: storage >= 10GB"
                .to_owned(),
        ),
        (
            "battery > 101%",
            "column 11: found \"101%\", expected a charge of 0% to 100%; for example: battery >= 50%".to_owned(),
        ),
        (
            "rack in rack-1",
            "column 9: found \"rack-1\", expected \"(\" and a list of values; for example: rack in (rack-1, rack-2)"
                .to_owned(),
        ),
        ("rack in (a b)", "column 12: found \"b\", expected \",\" or \")\"; for example: rack in (rack-1, rack-2)".to_owned()),
        (
            "(os = 16",
            "column 9: found the end, expected \")\", \"and\" or \"or\"; for example: (os = 16 or os = 17) and rack = \
             rack-1"
                .to_owned(),
        ),
        (
            "os = 16)",
            "column 8: found \")\", expected \"and\", \"or\" or the end (a value with spaces stands in double quotes); \
             for example: model = \"iPhone 13\""
                .to_owned(),
        ),
        (long.as_str(), "an expression has at most 2000 bytes, not 2008; shorten it".to_owned()),
    ];
    for (text, expected) in cases {
        let found = text.parse::<Expression>().map_err(|error| error.to_string());
        assert_eq!(found.map(|expression| expression.term().clone()), Err(expected), "{text}");
    }
    for (text, expected) in [
        (
            &many,
            "column 646: this is one comparison more than the 64 that an expression may have; label the phones and \
             ask for the label",
        ),
        (&deep, "column 17: brackets and \"not\" go at most 16 deep; write it flatter"),
        (&nots, "column 65: brackets and \"not\" go at most 16 deep; write it flatter"),
    ] {
        assert_eq!(text.parse::<Expression>().map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
}

#[test]
fn the_limits_themselves_are_allowed() {
    let many = vec!["os = 1"; ATOMS_MAX].join(" or ");
    assert_eq!(term(&many).atoms().count(), ATOMS_MAX);
    term(&format!("{}any{}", "(".repeat(NESTING_MAX), ")".repeat(NESTING_MAX)));
    term(&format!("{:EXPRESSION_BYTES_MAX$}", "any"));
    // Beside each other is not inside each other.
    assert!(holds(&term(&vec!["(not none)"; NESTING_MAX + 1].join(" and ")), &facts(), None));
}

#[test]
fn only_battery_and_storage_change_by_themselves() {
    let cases = [
        ("battery > 50%", true),
        ("storage > 1GB", true),
        ("model = x or chip = x or os = 16 or region = x or slot = x or rack = x", false),
        ("pool = x or label = x or phone = x", false),
    ];
    for (text, expected) in cases {
        assert!(term(text).atoms().all(|atom| atom.is_dynamic() == expected), "{text}");
    }
}

#[test]
fn sizes_are_exact_or_refused() {
    let good = [
        ("1B", 1),
        ("0GB", 0),
        ("1.5KB", 1_500),
        ("1.50KB", 1_500),
        ("2tb", 2_000_000_000_000),
        ("0.000001MB", 1),
        ("18446744073709551615B", u64::MAX),
    ];
    for (text, bytes) in good {
        let expected = Term::Is(Atom::StorageFree { compare: Compare::Equal, bytes });
        assert_eq!(term(&format!("storage = {text}")), expected, "{text}");
    }
    for text in [
        "1.5B",
        "0.0000001MB",
        "18446744073709551616B",
        "99999999TB",
        "GB",
        ".5GB",
        "1.GB",
        "-1GB",
        "1.2.3GB",
        "1PB",
    ] {
        assert!(format!("storage = {text}").parse::<Expression>().is_err(), "{text}");
    }
}

#[test]
fn terms_are_written_as_people_would() {
    let cases = [
        ("model in (iPhone14,5)", "model = \"iPhone14,5\""),
        ("(os=16 or os=17)and(label=a)", "os in (16, 17) and label = a"),
        ("not not label = a", "not label != a"),
        ("not (os = 16 and label = a)", "not (os = 16 and label = a)"),
        ("not os >= 16", "not os >= 16"),
        ("label = a or (label = b or rack = r)", "label = a or label = b or rack = r"),
        ("(label = a and os > 1) or rack = r", "label = a and os > 1 or rack = r"),
        ("(label = a or os > 1) and rack = r", "(label = a or os > 1) and rack = r"),
        ("storage > 1500MB and storage < 0B", "storage > 1500MB and storage < 0B"),
        ("battery < 50", "battery < 50%"),
        (
            "label = \"and\" or pool = \"none\" or rack = in",
            "label = \"and\" or pool = \"none\" or rack = \"in\"",
        ),
        ("model = \"a \\\"b\\\" \\\\ c\"", "model = \"a \\\"b\\\" \\\\ c\""),
        ("ANY", "any"),
    ];
    for (text, expected) in cases {
        assert_eq!(term(text).to_string(), expected, "{text}");
    }
}

#[test]
fn a_mismatch_says_what_is_wanted_and_what_is_there() {
    let cases = [
        ("model = \"iPhone 15\"", "the job wants model iPhone 15"),
        ("os >= 17", "the job wants iOS 17 or newer"),
        ("label = lab-b and os >= 17", "the job wants the label lab-b"),
        ("label = lab-a and os <= 15", "the job wants iOS 15 or older"),
        ("chip = A16", "the job wants chip = A16; this phone has chip A15"),
        (
            "battery >= 80% or storage > 20GB",
            "the job wants battery >= 80% or storage > 20GB; this phone has storage 10000 MB, battery 50%",
        ),
        ("pool != crash", "the job wants pool != crash; this phone has pool crash"),
        (
            "not label in (big, small)",
            "the job wants not label in (big, small); this phone has labels lab-a, big",
        ),
        ("none", "the job wants none"),
    ];
    for (text, expected) in cases {
        let found = mismatch(&term(text), &facts(), Some("crash")).map(|mismatch| mismatch.to_string());
        assert_eq!(found.as_deref(), Some(expected), "{text}");
    }
    let unknown =
        mismatch(&term("chip = A15 or battery > 5% or label = x or pool = y"), &silent(), None).unwrap();
    assert!(
        unknown.to_string().ends_with("has chip unknown, battery unknown, no pool, no labels"),
        "{unknown}"
    );
    let long = term(&vec!["rack = rack-with-a-long-name or os = 3"; 30].join(" or "));
    let words = mismatch(&long, &facts(), None).unwrap().to_string();
    assert!(words.chars().count() < 400 && words.contains('…'), "said once for every phone: {words}");
}

#[test]
fn fallbacks_loosen_and_never_tighten() {
    let wants = requirements(serde_json::json!({
        "models": ["iPhone 13", "iPhone 14"], "os_min": "16", "labels": ["lab-a"], "pool": "crash",
        "expression": "chip = A16",
        "fallbacks": [{"after_s": 600, "expression": "chip = A15"}, {"after_s": 3600, "expression": "any"}],
    }));
    assert_eq!(wants.mistakes(), []);
    let fields = "model in (\"iPhone 13\", \"iPhone 14\") and os >= 16 and label = lab-a";
    let steps: Vec<(u64, String)> =
        wants.steps().into_iter().map(|(after, term)| (after.as_secs(), term.to_string())).collect();
    assert_eq!(
        steps,
        [
            (0, format!("{fields} and chip = A16")),
            (600, format!("{fields} and chip in (A16, A15)")),
            (3_600, format!("{fields} and (chip = A16 or chip = A15 or any)")),
        ]
    );
    assert_eq!(Requirements::default().steps(), [(Duration::ZERO, Term::All(vec![]))]);
    let alone = requirements(serde_json::json!({"expression": "os = 16"}));
    assert_eq!(alone.steps(), [(Duration::ZERO, term("os = 16"))]);
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let fallback = |after_s| Fallback { after_s, expression: "any".parse().unwrap() };
    let expression = Some("os = 16".parse().unwrap());
    let with = |fallbacks: Vec<Fallback>| Requirements {
        expression: expression.clone(),
        fallbacks,
        ..Requirements::default()
    };
    let cases: [(Requirements, &[&str]); 7] = [
        (with(vec![fallback(1), fallback(2), fallback(FALLBACK_AFTER_S_MAX)]), &[]),
        (with(vec![fallback(0)]), &["fallbacks[0].after_s: 0 is outside 1 to 2592000 seconds"]),
        (
            with(vec![fallback(FALLBACK_AFTER_S_MAX + 1)]),
            &["fallbacks[0].after_s: 2592001 is outside 1 to 2592000 seconds"],
        ),
        (
            with(vec![fallback(60), fallback(60), fallback(30)]),
            &[
                "fallbacks[1].after_s: 60 is not after the 60 of the fallback before it; sort them",
                "fallbacks[2].after_s: 30 is not after the 60 of the fallback before it; sort them",
            ],
        ),
        (
            with((1..).map(fallback).take(FALLBACKS_MAX + 1).collect()),
            &["fallbacks: a job has at most 8, not 9; join some"],
        ),
        (
            Requirements { fallbacks: vec![fallback(5)], ..Requirements::default() },
            &["fallbacks: there is no expression that they could loosen; write one, or leave them out"],
        ),
        (
            requirements(serde_json::json!({"os_min": "17", "os_max": "16", "models": ["iPhone 13", ""]})),
            &[
                "models[1]: a model has 1 to 64 bytes, not 0",
                "os_min: 17 is above os_max 16; no phone can be both",
            ],
        ),
    ];
    for (wants, expected) in cases {
        let found: Vec<String> =
            wants.mistakes().into_iter().map(|(place, what)| format!("{place}: {what}")).collect();
        assert_eq!(found, expected, "{wants:?}");
    }
}

#[test]
fn an_expression_crosses_the_wire_as_it_was_written() {
    let json = serde_json::json!({
        "os_min": "16", "expression": "OS>=16   and label=a",
        "fallbacks": [{"after_s": 60, "expression": "any"}],
    });
    let wants = requirements(json.clone());
    assert_eq!(serde_json::to_value(&wants).unwrap(), json);
    let other = requirements(serde_json::json!({"expression": "os >= 16 and label = a"}));
    assert_eq!(wants.expression, other.expression, "what means the same is the same");
    let error = serde_json::from_value::<Requirements>(serde_json::json!({"expression": "os"})).unwrap_err();
    assert!(error.to_string().starts_with("column 3: found the end"), "{error}");
}

#[test]
fn what_older_programs_write_is_read() {
    let wants = requirements(serde_json::json!({"models": ["iPhone 13"], "rack": "rack-1"}));
    assert_eq!((wants.expression.as_ref(), wants.fallbacks.as_slice()), (None, &[][..]));
    assert_eq!(
        serde_json::to_value(&wants).unwrap(),
        serde_json::json!({"models": ["iPhone 13"], "rack": "rack-1"})
    );
    let mut json = serde_json::to_value(facts()).unwrap();
    let object = json.as_object_mut().unwrap();
    assert_eq!(object.remove("chip"), Some("A15".into()));
    assert_eq!(object.remove("region"), Some("LL/A".into()));
    assert_eq!(object.remove("crash_limits"), None, "what is not told is left out, as older agents do");
    let expected = PhoneFacts { chip: None, region: None, ..facts() };
    assert_eq!(serde_json::from_value::<PhoneFacts>(json.clone()).unwrap(), expected);
    assert_eq!(serde_json::to_value(expected).unwrap(), json, "what is not known is not said");
}

#[test]
fn requirements_that_differ_are_told_apart_by_their_order() {
    // Under an order that took 16 for 16.0, one of two jobs would be served as the other.
    let any_16 = requirements(serde_json::json!({"os_max": "16"}));
    let first_16 = requirements(serde_json::json!({"os_max": "16.0"}));
    assert_ne!(any_16, first_16);
    assert_ne!(any_16.cmp(&first_16), std::cmp::Ordering::Equal);
    assert_ne!(term("os = 16").cmp(&term("os = 16.0")), std::cmp::Ordering::Equal);
}

fn compares() -> impl Strategy<Value = Compare> {
    prop::sample::select(vec![
        Compare::Below,
        Compare::AtMost,
        Compare::Equal,
        Compare::AtLeast,
        Compare::Above,
    ])
}

fn atoms() -> impl Strategy<Value = Atom> {
    let name = || prop::sample::select(vec!["a", "rack-1", "crash", "lab-a", "and", "1-1.4", "IN", "any"]);
    let text = || {
        prop_oneof![
            prop::sample::select(vec![
                "iPhone 13",
                "iPhone14,5",
                "A15",
                "A17 Pro",
                "LL/A",
                "none",
                "\"",
                "\\",
                "x\n)"
            ])
            .prop_map(str::to_owned),
            "\\PC{1,12}",
        ]
    };
    prop_oneof![
        text().prop_map(Atom::Model),
        text().prop_map(Atom::Chip),
        text().prop_map(Atom::Region),
        (compares(), "1[5-8](\\.[0-9]{1,2}){0,2}")
            .prop_map(|(compare, version)| Atom::Os { compare, version: version.parse().unwrap() }),
        (compares(), prop_oneof![any::<u64>(), (0_u64..30).prop_map(|gb| gb * 1_000_000_000)])
            .prop_map(|(compare, bytes)| Atom::StorageFree { compare, bytes }),
        (compares(), 0_u8..=100).prop_map(|(compare, percent)| Atom::Battery { compare, percent }),
        name().prop_map(|name| Atom::Slot(name.parse().unwrap())),
        name().prop_map(|name| Atom::Rack(name.parse().unwrap())),
        name().prop_map(|name| Atom::Pool(name.parse().unwrap())),
        name().prop_map(|name| Atom::Label(name.parse().unwrap())),
        name().prop_map(|name| Atom::Phone(name.parse().unwrap())),
    ]
}

/// Small enough for an expression's limits.
fn terms() -> impl Strategy<Value = Term> {
    atoms().prop_map(Term::Is).prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Term::all),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Term::any),
            inner.prop_map(|term| Term::Not(Box::new(term))),
        ]
    })
}

fn phones() -> impl Strategy<Value = PhoneFacts> {
    let battery = prop::option::of(0_u8..=100);
    let storage = prop::option::of(0_u64..30_000_000_000);
    let named = prop::option::of(prop::sample::select(vec!["A15", "A17 Pro", "LL/A"]));
    (battery, storage, named, "1[5-8]\\.[0-9]", prop::sample::select(vec!["iPhone14,5", "iPhone15,2"]))
        .prop_map(|(battery, storage, named, os, product)| PhoneFacts {
            battery: battery.map(|level_percent| Battery { level_percent, ..Battery::default() }),
            storage: storage.map(|free_bytes| Storage { free_bytes, total_bytes: 128_000_000_000 }),
            chip: named.map(str::to_owned),
            region: named.map(str::to_owned),
            os_version: os.parse().unwrap(),
            product_type: product.to_owned(),
            ..facts()
        })
}

proptest! {
    #[test]
    fn a_term_reads_back_from_what_it_writes(term in terms()) {
        let text = term.to_string();
        // What is longer than an expression may be is refused for its length, which is tested above.
        prop_assume!(text.len() <= EXPRESSION_BYTES_MAX);
        let read = text.parse::<Expression>().map(|expression| expression.term().clone());
        prop_assert_eq!(read, Ok(term), "{}", text);
    }

    #[test]
    fn there_is_a_mismatch_exactly_when_it_does_not_hold(term in terms(), facts in phones()) {
        for pool in [None, Some("crash")] {
            prop_assert_eq!(mismatch(&term, &facts, pool).is_none(), holds(&term, &facts, pool), "{}", term);
        }
    }

    #[test]
    fn the_short_forms_mean_what_they_are_made_of(terms in prop::collection::vec(terms(), 0..5), facts in phones()) {
        prop_assert_eq!(
            holds(&Term::all(terms.clone()), &facts, None),
            terms.iter().all(|term| holds(term, &facts, None))
        );
        prop_assert_eq!(
            holds(&Term::any(terms.clone()), &facts, None),
            terms.iter().any(|term| holds(term, &facts, None))
        );
    }

    #[test]
    fn no_text_breaks_the_reader(text in "(\\PC|and |or |not |in |os |storage |[()=,\"<>!1G%\\\\\n]){0,60}") {
        if let Ok(expression) = text.parse::<Expression>() {
            let again = expression.term().to_string().parse::<Expression>();
            prop_assert_eq!(again, Ok(expression));
        }
    }

    #[test]
    fn each_step_accepts_what_the_one_before_accepts(
        expression in terms(),
        later in prop::collection::vec((terms(), 1_u64..5_000), 0..4),
        os_min in prop::option::of("1[5-8]"),
        facts in phones(),
    ) {
        let written = |term: Term| term.to_string().parse::<Expression>();
        prop_assume!(later.iter().all(|(term, _)| term.to_string().len() <= EXPRESSION_BYTES_MAX));
        prop_assume!(expression.to_string().len() <= EXPRESSION_BYTES_MAX);
        let wants = Requirements {
            os_min: os_min.map(|version| version.parse().unwrap()),
            expression: Some(written(expression).unwrap()),
            fallbacks: later
                .into_iter()
                .map(|(term, after_s)| Fallback { after_s, expression: written(term).unwrap() })
                .collect(),
            ..Requirements::default()
        };
        let steps = wants.steps();
        prop_assert_eq!(steps[0].0, Duration::ZERO);
        for pair in steps.windows(2) {
            prop_assert!(pair[0].0 <= pair[1].0);
            prop_assert!(!holds(&pair[0].1, &facts, None) || holds(&pair[1].1, &facts, None));
        }
        let rack: RackId = "rack-1".parse().unwrap();
        let place = Place { facts: &facts, rack: &rack, pool: None };
        prop_assert_eq!(wants.mismatch(&place), steps[0].1.mismatch(&place), "one way of asking agrees with the other");
    }
}
