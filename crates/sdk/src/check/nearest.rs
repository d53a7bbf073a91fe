//! Suggests the nearest known name.

/// The longest name that is compared with others.
const MOST_BYTES: usize = 200;

/// The known name that is most like `name`, if any is like it: case, `-` and `_` don't count, one letter in three may differ,
/// but not the only one.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    // Nobody means a known name by one that is much longer, and comparing takes time and memory by the length.
    if name.len() > MOST_BYTES {
        return None;
    }
    let wanted = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| {
            let (one, other) = (wanted.chars().count(), candidate.chars().count());
            *distance <= one.min(other).div_ceil(3) && *distance < one.max(other)
        })
        // Of several that are as near, the one that is also written alike.
        .min_by_key(|(distance, candidate)| (*distance, strsim::damerau_levenshtein(name, candidate)))
        .map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, or else what is known, if that is short enough to be said.
pub(super) fn hint(name: &str, known: &[&str]) -> Option<String> {
    match nearest(name, known.iter().copied()) {
        Some(candidate) => Some(format!("did you mean {candidate:?}?")),
        None if known.is_empty() => None,
        None => Some(format!("known: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn what_is_like_a_name_is_found() {
        for (name, known, found) in [
            ("agee", &["Age", "age"][..], Some("age")),
            ("user_name", &["userName"], Some("userName")),
            ("ID", &["id"], Some("id")),
            ("ib", &["id"], Some("id")),
            ("aa", &["b", "a"], Some("a")),
            // One letter is like any other one letter.
            ("q", &["a", "b"], None),
            ("Q", &["q"], Some("q")),
            ("x", &["address"], None),
        ] {
            assert_eq!(nearest(name, known.iter().copied()), found, "{name}");
        }
    }
}
