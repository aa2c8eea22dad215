//! How much two stacks have in common: what suggests that two groups are one defect, or one group two.
//!
//! The idea is that of FaST (Rodrigues and others, "FaST: A linear time stack trace alignment heuristic for crash report
//! deduplication", MSR 2022): equal functions are aligned in the order in which they stand, each pair counts by how near
//! the top it is and by how far the two places are apart. Equal stacks are 1, stacks without a common function 0.

use std::collections::HashMap;

/// How fast a frame counts less further down: the fourth from the top counts half as much as the top.
const DEPTH: f64 = 3.0;
/// How fast a pair counts less that stands at different places.
const SHIFT: f64 = 6.0;

/// From 0 to 1, the same both ways. Innermost function first; stacks without a function are alike to none.
pub fn similarity(one: &[String], other: &[String]) -> f64 {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, name) in other.iter().enumerate().rev() {
        places.entry(name).or_default().push(place);
    }
    let paired: f64 = one
        .iter()
        .enumerate()
        .filter_map(|(here, name)| {
            // The first of this name pairs with the first over there, the second with the second.
            let there = places.get_mut(name.as_str())?.pop()?;
            let apart = here.abs_diff(there) as f64;
            Some((weight(here) + weight(there)) * (-apart / SHIFT).exp())
        })
        .sum();
    let all: f64 = (0..one.len()).chain(0..other.len()).map(weight).sum();
    if all > 0.0 { (paired / all).clamp(0.0, 1.0) } else { 0.0 }
}

fn weight(place: usize) -> f64 {
    DEPTH / (DEPTH + place as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_top_counts_most_and_order_counts() {
        let base = stack("decode render show tap");
        let alike = |names: &str| similarity(&base, &stack(names));
        let percent = |names: &str| (alike(names) * 100.0).round();
        assert!((alike("decode render show tap") - 1.0).abs() < 1e-9);
        assert_eq!(percent("other things here now"), 0.0);
        assert_eq!(similarity(&[], &[]), 0.0);
        // Another caller at the bottom matters less than another function on top.
        assert!(alike("decode render show push") > alike("encode render show tap"));
        // One frame more, as inlining brings it, matters less than another order.
        assert!(alike("decode inlined render show tap") > alike("tap show render decode"));
        assert!(alike("decode inlined render show tap") > 0.7);
        for names in ["decode", "tap decode", "decode decode render", "x decode y render"] {
            let other = stack(names);
            assert!((similarity(&base, &other) - similarity(&other, &base)).abs() < 1e-9, "{names}");
        }
    }

    #[test]
    fn an_endless_recursion_is_like_itself() {
        let deep = vec!["walk".to_owned(); 16];
        assert!((similarity(&deep, &deep) - 1.0).abs() < 1e-9);
        assert!(similarity(&deep, &stack("walk")) < 0.5);
    }
}
