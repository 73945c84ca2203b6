//! How deep JSON nests, found without a parser.
//!
//! Promise: takes no more stack for deep text than for flat, so it can be asked
//! before anything that recurses.

/// How deep brackets nest outside strings. Exact for JSON; for anything else
/// the parser has the last word.
pub fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_outside_strings_nest() {
        assert_eq!(depth(b"1"), 0);
        assert_eq!(depth(br#"{"a": [1, {}], "b": []}"#), 3);
        assert_eq!(depth(br#"["[[\"[", "\\", [1]]"#), 2);
        assert_eq!(depth(&b"[".repeat(100_000)), 100_000);
    }
}
