//! Whether a guest's text is JSON that others may read.

use serde::de::IgnoredAny;

use crate::limits::JSON_DEPTH_MAX;

/// Says what is wrong with `text`, if anything.
pub(super) fn check(text: &str) -> Result<(), String> {
    // First, so that no parser of ours or of a client's ever recurses deeper.
    let depth = depth(text);
    if depth > JSON_DEPTH_MAX {
        return Err(format!("the result nests {depth} levels deep, and at most {JSON_DEPTH_MAX} are allowed"));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(format!("the result is not JSON: {error}")),
    }
}

/// How deep brackets nest outside strings. Exact for JSON; for anything else
/// the parser has the last word.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
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

    #[track_caller]
    fn expect(text: &str, fine: bool) {
        assert_eq!(check(text).is_ok(), fine, "{text}");
    }

    #[test]
    fn json_is_taken_and_nothing_else() {
        expect("null", true);
        expect(r#"{"a": [1, 2.5e3, "\"[[", {}]}"#, true);
        expect(r#""\\""#, true);
        expect("", false);
        expect("{a: 1}", false);
        expect("[1,]", false);
        expect("1 2", false);
        expect("\"\n\"", false);
    }

    #[test]
    fn deep_nesting_is_refused_before_anything_recurses() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        expect(&nested(JSON_DEPTH_MAX), true);
        expect(&nested(JSON_DEPTH_MAX + 1), false);
        expect(&"[".repeat(100_000), false);
    }
}
