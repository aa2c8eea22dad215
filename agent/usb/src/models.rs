//! What the world calls a product type, and the chip in it. A table and nothing else; a phone that is not in it keeps
//! its product type and has no chip that we know.

/// iPhones from the 8 on: `ProductType`, name and chip.
const MODELS: [(&str, &str, &str); 46] = [
    ("iPhone10,1", "iPhone 8", "A11"),
    ("iPhone10,2", "iPhone 8 Plus", "A11"),
    ("iPhone10,3", "iPhone X", "A11"),
    ("iPhone10,4", "iPhone 8", "A11"),
    ("iPhone10,5", "iPhone 8 Plus", "A11"),
    ("iPhone10,6", "iPhone X", "A11"),
    ("iPhone11,2", "iPhone XS", "A12"),
    ("iPhone11,4", "iPhone XS Max", "A12"),
    ("iPhone11,6", "iPhone XS Max", "A12"),
    ("iPhone11,8", "iPhone XR", "A12"),
    ("iPhone12,1", "iPhone 11", "A13"),
    ("iPhone12,3", "iPhone 11 Pro", "A13"),
    ("iPhone12,5", "iPhone 11 Pro Max", "A13"),
    ("iPhone12,8", "iPhone SE (2nd generation)", "A13"),
    ("iPhone13,1", "iPhone 12 mini", "A14"),
    ("iPhone13,2", "iPhone 12", "A14"),
    ("iPhone13,3", "iPhone 12 Pro", "A14"),
    ("iPhone13,4", "iPhone 12 Pro Max", "A14"),
    ("iPhone14,2", "iPhone 13 Pro", "A15"),
    ("iPhone14,3", "iPhone 13 Pro Max", "A15"),
    ("iPhone14,4", "iPhone 13 mini", "A15"),
    ("iPhone14,5", "iPhone 13", "A15"),
    ("iPhone14,6", "iPhone SE (3rd generation)", "A15"),
    ("iPhone14,7", "iPhone 14", "A15"),
    ("iPhone14,8", "iPhone 14 Plus", "A15"),
    ("iPhone15,2", "iPhone 14 Pro", "A16"),
    ("iPhone15,3", "iPhone 14 Pro Max", "A16"),
    ("iPhone15,4", "iPhone 15", "A16"),
    ("iPhone15,5", "iPhone 15 Plus", "A16"),
    ("iPhone16,1", "iPhone 15 Pro", "A17 Pro"),
    ("iPhone16,2", "iPhone 15 Pro Max", "A17 Pro"),
    ("iPhone17,1", "iPhone 16 Pro", "A18 Pro"),
    ("iPhone17,2", "iPhone 16 Pro Max", "A18 Pro"),
    ("iPhone17,3", "iPhone 16", "A18"),
    ("iPhone17,4", "iPhone 16 Plus", "A18"),
    ("iPhone17,5", "iPhone 16e", "A18"),
    ("iPhone18,1", "iPhone 17 Pro", "A19 Pro"),
    ("iPhone18,2", "iPhone 17 Pro Max", "A19 Pro"),
    ("iPhone18,3", "iPhone 17", "A19"),
    ("iPhone18,4", "iPhone Air", "A19 Pro"),
    // Other devices that turn up on racks.
    ("iPod9,1", "iPod touch (7th generation)", "A10"),
    ("iPad11,6", "iPad (8th generation)", "A12"),
    ("iPad12,1", "iPad (9th generation)", "A13"),
    ("iPad13,1", "iPad Air (4th generation)", "A14"),
    ("iPad13,18", "iPad (10th generation)", "A14"),
    ("iPad14,1", "iPad mini (6th generation)", "A15"),
];

/// `iPhone 13` for `iPhone14,5`.
pub(crate) fn marketing_name(product_type: &str) -> &str {
    found(product_type).map_or(product_type, |(_, name, _)| name)
}

/// `A15` for `iPhone14,5`.
pub(crate) fn chip(product_type: &str) -> Option<&'static str> {
    found(product_type).map(|(_, _, chip)| chip)
}

fn found(product_type: &str) -> Option<(&'static str, &'static str, &'static str)> {
    MODELS.into_iter().find(|(product, _, _)| *product == product_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_models_have_names_and_others_keep_their_type() {
        let cases = [
            ("iPhone14,5", "iPhone 13", Some("A15")),
            ("iPhone14,7", "iPhone 14", Some("A15")),
            ("iPhone15,4", "iPhone 15", Some("A16")),
            ("iPhone16,1", "iPhone 15 Pro", Some("A17 Pro")),
            ("iPhone18,3", "iPhone 17", Some("A19")),
            ("iPhone99,1", "iPhone99,1", None),
            ("", "", None),
        ];
        for (product, name, chip_name) in cases {
            assert_eq!((marketing_name(product), chip(product)), (name, chip_name));
        }
    }

    #[test]
    fn no_product_type_is_listed_twice() {
        let mut products: Vec<&str> = MODELS.iter().map(|(product, _, _)| *product).collect();
        products.sort_unstable();
        products.dedup();
        assert_eq!(products.len(), MODELS.len());
    }
}
