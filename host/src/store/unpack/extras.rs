//! What headers say about the next entry: names that are long, times that are exact.
//!
//! Promise: each such header is read within a bound, and by its own lengths, so a
//! name may hold anything that a name may hold.

use std::io::Read;

use tar::Entry;
use tar::EntryType;

use crate::limits::ARCHIVE_EXTRA_BYTES_MAX;
use crate::store::pack::SECOND_NS;
use crate::store::unpack::bad::BadArchive;
use crate::store::unpack::bad::Unfit;

/// When something was last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Time {
    /// Some time in that second since 1970: more the archive does not say.
    Second(i64),
    /// Nanoseconds since 1970.
    Exact(i64),
}

/// See the room card.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) time: Option<Time>,
    pub(super) is_sparse: bool,
    /// For all entries that say nothing else.
    time_of_all: Option<Time>,
    is_any: bool,
}

impl Extras {
    /// Takes in what `entry` says about the next one; `false` if it is one itself.
    pub(super) fn take_in(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<bool, Unfit> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(text(bytes(entry)?)),
            EntryType::GNULongLink => self.target = Some(text(bytes(entry)?)),
            EntryType::XHeader => {
                for (name, value) in records(&bytes(entry)?)? {
                    self.say(name, value)?;
                }
            }
            EntryType::XGlobalHeader => {
                // A part of a tree in git begins with one, which says only which.
                for (name, value) in records(&bytes(entry)?)? {
                    match name {
                        b"mtime" => self.time_of_all = Some(time(value)?),
                        b"path" | b"linkpath" | b"size" => return Err(BadArchive::Global.into()),
                        _ if name.starts_with(SPARSE) => return Err(BadArchive::Global.into()),
                        _ => {}
                    }
                }
                return Ok(true);
            }
            _ => return Ok(false),
        }
        self.is_any = true;
        Ok(true)
    }

    fn say(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unfit> {
        match name {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.target = Some(value.to_vec()),
            b"mtime" => self.time = Some(time(value)?),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.size = Some(size.ok_or(NO_EXTRA)?);
            }
            // Owners, permissions and attributes are not kept.
            _ => self.is_sparse |= name.starts_with(SPARSE),
        }
        Ok(())
    }

    /// Whether something was said about an entry that did not come.
    pub(super) fn are_there(&self) -> bool {
        self.is_any
    }

    /// What was said; nothing is, of the one that comes then.
    pub(super) fn taken(&mut self) -> Extras {
        let time_of_all = self.time_of_all;
        let taken = std::mem::replace(self, Extras { time_of_all, ..Extras::default() });
        Extras { time: taken.time.or(time_of_all), ..taken }
    }
}

const SPARSE: &[u8] = b"GNU.sparse.";

const NO_EXTRA: BadArchive = BadArchive::Extra { after: None };

fn bytes(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, Unfit> {
    let size = entry.header().entry_size()?;
    if size > ARCHIVE_EXTRA_BYTES_MAX {
        return Err(NO_EXTRA.into());
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(BadArchive::CutOff.into()) }
}

/// Up to the zero that ends it.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

/// A name and a value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// Lines `length name=value`, where the length is that of the line.
fn records(mut bytes: &[u8]) -> Result<Vec<Record<'_>>, BadArchive> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = record(bytes).ok_or(NO_EXTRA)?;
        found.push(record);
        bytes = rest;
    }
    Ok(found)
}

/// The first of them, and what follows.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let (line, rest) = bytes.split_at_checked(length)?;
    let line = line.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = line.iter().position(|byte| *byte == b'=')?;
    Some(((&line[..equals], &line[equals + 1..]), rest))
}

/// Seconds with any number of digits behind the point.
fn time(value: &[u8]) -> Result<Time, BadArchive> {
    std::str::from_utf8(value).ok().and_then(parse_time).ok_or(NO_EXTRA)
}

fn parse_time(text: &str) -> Option<Time> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (seconds, fraction) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !all_digits(seconds) || !fraction.is_none_or(all_digits) {
        return None;
    }
    // More than there are is the last one that there is.
    let seconds = seconds.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(sign);
    let Some(fraction) = fraction else { return Some(Time::Second(seconds)) };
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0')) * sign;
    let whole = i128::from(seconds) * i128::from(SECOND_NS) + i128::from(nanos);
    Some(Time::Exact(i64::try_from(whole).unwrap_or(if sign > 0 { i64::MAX } else { i64::MIN })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_nanosecond() {
        for (text, expected) in [
            ("12", Some(Time::Second(12))),
            ("-3", Some(Time::Second(-3))),
            ("12.5", Some(Time::Exact(12_500_000_000))),
            ("12.000000001999", Some(Time::Exact(12_000_000_001))),
            ("-1.5", Some(Time::Exact(-1_500_000_000))),
            ("-0.25", Some(Time::Exact(-250_000_000))),
            ("9223372036.854775807", Some(Time::Exact(i64::MAX))),
            ("-9223372036.854775808", Some(Time::Exact(i64::MIN))),
            ("99999999999999999999999.1", Some(Time::Exact(i64::MAX))),
            ("", None),
            ("-", None),
            (".5", None),
            ("1e3", None),
            ("1.-5", None),
            ("+1", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    #[test]
    fn a_record_is_as_long_as_it_says() {
        let read = |text: &str| {
            let found = records(text.as_bytes()).ok()?;
            let text = |bytes| std::str::from_utf8(bytes).unwrap().to_owned();
            Some(found.into_iter().map(|(name, value)| (text(name), text(value))).collect::<Vec<_>>())
        };
        let one = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("12 path=a\nb\n"), Some(vec![one("path", "a\nb")]));
        assert_eq!(read("9 path=a\n8 x=y=z\n"), Some(vec![one("path", "a"), one("x", "y=z")]));
        assert_eq!(read(""), Some(vec![]));
        for bad in ["9 path=a", "99 path=a\n", "x path=a\n", "6 path\n", "0 path=a\n", "2 \n", "9path=a\n", "\0\0"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
