//! What the world calls a product type. A table and nothing else; a phone that is not in it keeps its product type.

/// iPhones from the 8 on, by `ProductType`.
const MODELS: [(&str, &str); 46] = [
    ("iPhone10,1", "iPhone 8"),
    ("iPhone10,2", "iPhone 8 Plus"),
    ("iPhone10,3", "iPhone X"),
    ("iPhone10,4", "iPhone 8"),
    ("iPhone10,5", "iPhone 8 Plus"),
    ("iPhone10,6", "iPhone X"),
    ("iPhone11,2", "iPhone XS"),
    ("iPhone11,4", "iPhone XS Max"),
    ("iPhone11,6", "iPhone XS Max"),
    ("iPhone11,8", "iPhone XR"),
    ("iPhone12,1", "iPhone 11"),
    ("iPhone12,3", "iPhone 11 Pro"),
    ("iPhone12,5", "iPhone 11 Pro Max"),
    ("iPhone12,8", "iPhone SE (2nd generation)"),
    ("iPhone13,1", "iPhone 12 mini"),
    ("iPhone13,2", "iPhone 12"),
    ("iPhone13,3", "iPhone 12 Pro"),
    ("iPhone13,4", "iPhone 12 Pro Max"),
    ("iPhone14,2", "iPhone 13 Pro"),
    ("iPhone14,3", "iPhone 13 Pro Max"),
    ("iPhone14,4", "iPhone 13 mini"),
    ("iPhone14,5", "iPhone 13"),
    ("iPhone14,6", "iPhone SE (3rd generation)"),
    ("iPhone14,7", "iPhone 14"),
    ("iPhone14,8", "iPhone 14 Plus"),
    ("iPhone15,2", "iPhone 14 Pro"),
    ("iPhone15,3", "iPhone 14 Pro Max"),
    ("iPhone15,4", "iPhone 15"),
    ("iPhone15,5", "iPhone 15 Plus"),
    ("iPhone16,1", "iPhone 15 Pro"),
    ("iPhone16,2", "iPhone 15 Pro Max"),
    ("iPhone17,1", "iPhone 16 Pro"),
    ("iPhone17,2", "iPhone 16 Pro Max"),
    ("iPhone17,3", "iPhone 16"),
    ("iPhone17,4", "iPhone 16 Plus"),
    ("iPhone17,5", "iPhone 16e"),
    ("iPhone18,1", "iPhone 17 Pro"),
    ("iPhone18,2", "iPhone 17 Pro Max"),
    ("iPhone18,3", "iPhone 17"),
    ("iPhone18,4", "iPhone Air"),
    // Other devices that turn up on racks.
    ("iPod9,1", "iPod touch (7th generation)"),
    ("iPad11,6", "iPad (8th generation)"),
    ("iPad12,1", "iPad (9th generation)"),
    ("iPad13,1", "iPad Air (4th generation)"),
    ("iPad13,18", "iPad (10th generation)"),
    ("iPad14,1", "iPad mini (6th generation)"),
];

/// `iPhone 13` for `iPhone14,5`.
pub(crate) fn marketing_name(product_type: &str) -> &str {
    let found = MODELS.iter().find(|(product, _)| *product == product_type);
    found.map_or(product_type, |(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_models_have_names_and_others_keep_their_type() {
        let cases = [
            ("iPhone14,5", "iPhone 13"),
            ("iPhone18,3", "iPhone 17"),
            ("iPhone99,1", "iPhone99,1"),
            ("", ""),
        ];
        for (product, expected) in cases {
            assert_eq!(marketing_name(product), expected);
        }
    }

    #[test]
    fn no_product_type_is_listed_twice() {
        let mut products: Vec<&str> = MODELS.iter().map(|(product, _)| *product).collect();
        products.sort_unstable();
        products.dedup();
        assert_eq!(products.len(), MODELS.len());
    }
}
