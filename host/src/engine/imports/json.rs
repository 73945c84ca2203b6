//! Whether a guest's text is JSON that others may read.

use serde::de::IgnoredAny;

use crate::limits::JSON_DEPTH_MAX;
use crate::model::nesting;

/// Says what is wrong with `text`, if anything.
pub(super) fn check(text: &str) -> Result<(), String> {
    // First, so that no parser of ours or of a client's ever recurses deeper.
    let depth = nesting::depth(text.as_bytes());
    if depth > JSON_DEPTH_MAX {
        return Err(format!("the result nests {depth} levels deep, and at most {JSON_DEPTH_MAX} are allowed"));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(format!("the result is not JSON: {error}")),
    }
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
