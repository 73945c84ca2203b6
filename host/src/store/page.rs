//! Lists in pages: what a caller asks for, what it gets, and the cursors between.
//!
//! Promise: a cursor names the last item that was shown, so items that come or
//! go meanwhile make no other one appear twice or be left out.

use crate::limits::PAGE_MAX;
use crate::store::error::Refused;

/// Which part of a list is wanted.
#[derive(Clone, Debug)]
pub struct PageOf {
    /// At most this many items; never more than [`PAGE_MAX`].
    pub limit: usize,
    /// What the page before handed out as `next`.
    pub cursor: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next part begins; `None` at the end of the list.
    pub next: Option<String>,
}

impl PageOf {
    /// How many items to show.
    pub(super) fn size(&self) -> usize {
        self.limit.clamp(1, PAGE_MAX)
    }

    /// How many rows to ask for: one more than is shown says whether there are more.
    pub(super) fn rows(&self) -> i64 {
        i64::try_from(self.size() + 1).unwrap_or(i64::MAX)
    }

    /// The key of the last item shown so far.
    pub fn after(&self) -> Result<Option<String>, Refused> {
        self.cursor.as_deref().map(decode).transpose()
    }

    /// The same where keys are numbers.
    pub(super) fn after_number(&self) -> Result<Option<i64>, Refused> {
        let key = self.after()?;
        key.map(|key| key.parse().map_err(|_| Refused::Cursor)).transpose()
    }

    /// The page, out of what follows [`PageOf::after`]: at least one more than
    /// is shown, if there is more.
    pub fn fill<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > self.size();
        items.truncate(self.size());
        let next = items.last().filter(|_| more).map(|last| encode(&key(last)));
        Page { items, next }
    }
}

/// Hex, so that a cursor goes into a URL as it is and nobody builds one by hand.
fn encode(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(cursor: &str) -> Result<String, Refused> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = cursor.as_bytes().chunks(2).map(byte).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(Refused::Cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_what_follows_and_nothing_else_is_one() {
        let page = PageOf { limit: 2, cursor: None }.fill(vec!["a", "ö/\n", "c"], |item| item.to_string());
        assert_eq!(page.items, ["a", "ö/\n"]);
        let next = PageOf { limit: 2, cursor: page.next };
        assert_eq!(next.after(), Ok(Some("ö/\n".to_owned())));
        assert_eq!(next.fill(vec!["c"], |item| item.to_string()).next, None);
        for bad in ["x", "zz", "abc", "ff", "é"] {
            let page = PageOf { limit: 2, cursor: Some(bad.to_owned()) };
            assert_eq!(page.after(), Err(Refused::Cursor), "{bad}");
        }
        assert_eq!(PageOf { limit: 1, cursor: Some("61".to_owned()) }.after_number(), Err(Refused::Cursor));
    }

    #[test]
    fn a_page_has_a_size_whatever_is_asked_for() {
        assert_eq!(PageOf { limit: 0, cursor: None }.size(), 1);
        assert_eq!(PageOf { limit: usize::MAX, cursor: None }.size(), PAGE_MAX);
    }
}
