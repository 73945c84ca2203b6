//! Archives that nobody means well with, and those that real programs make.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Builder;
use tar::Header;

use super::*;
use crate::limits::ARCHIVE_EXTRA_BYTES_MAX;

const MOST: SessionLimits = SessionLimits { bytes: 10_000, files: 20 };

/// An entry with whatever is asked for in its header.
fn entry(kind: u8, name: &str, bytes: &[u8], more: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_size(bytes.len() as u64);
    header.set_mtime(7);
    more(&mut header);
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend_from_slice(bytes);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

fn plain(kind: u8, name: &str, bytes: &[u8]) -> Vec<u8> {
    entry(kind, name, bytes, |_| ())
}

fn link(name: &str, target: &str) -> Vec<u8> {
    entry(b'2', name, b"", |header| header.set_link_name_literal(target).unwrap())
}

/// A header that says more about the next entry.
fn pax(kind: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tar.append_pax_extensions(records.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap();
    let mut bytes = std::mem::take(tar.get_mut());
    bytes[156] = kind;
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&bytes[..512]);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    bytes
}

fn ended(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1_024]].concat()
}

fn told(members: &Members) -> Vec<String> {
    let told = |(path, member): (&SessionPath, &Member)| match &member.what {
        What::File { content, .. } => format!("file {path} {}", content.size),
        What::Directory => format!("directory {path}"),
        What::Link(target) => format!("link {path} to {target}"),
    };
    members.iter().map(told).collect()
}

#[track_caller]
fn taken(entries: &[Vec<u8>], expected: &[&str]) {
    let members = read(ended(entries).as_slice(), None, MOST).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(told(&members), expected);
}

#[track_caller]
fn refuse(bytes: &[u8], words: &[&str]) {
    let refused = match read(bytes, None, MOST).map(|members| told(&members)) {
        Err(StoreError::Refused(refused)) => refused.to_string(),
        other => panic!("not refused: {other:?}"),
    };
    words.iter().for_each(|word| assert!(refused.contains(word), "no {word} in: {refused}"));
}

#[test]
fn what_programs_make_is_taken() {
    taken(&[], &[]);
    taken(
        &[plain(b'5', "./", b""), plain(b'5', "./d/", b""), plain(b'0', "./d/f", b"12"), link("./d/l", "../g")],
        &["directory d", "file d/f 2", "link d/l to ../g"],
    );
    // Directories that nothing names, or that come late, or twice, or only by a slash.
    taken(&[plain(b'0', "a/b/c", b"")], &["directory a", "directory a/b", "file a/b/c 0"]);
    taken(&[plain(b'0', "a/b", b""), plain(b'5', "a", b""), plain(b'5', "a", b"")], &["directory a", "file a/b 0"]);
    taken(
        &[plain(0, "a/", b""), plain(0, "b", b"1"), plain(b'7', "c", b"1")],
        &["directory a", "file b 1", "file c 1"],
    );
    taken(&[plain(b'0', "a//b/./c", b"")], &["directory a", "directory a/b", "file a/b/c 0"]);
    // Long names in either form, names that hold anything, and what git begins with.
    let long = ["x".repeat(200), "y\nä".repeat(30)].join("/");
    let gnu = plain(b'L', "././@LongLink", format!("{long}\0").as_bytes());
    let expected = [format!("directory {}", "x".repeat(200)), format!("file {long} 1")];
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    taken(&[gnu, plain(b'0', "cut", b"1")], &expected);
    let pax_path = pax(b'x', &[("path", &long), ("uid", "99999999"), ("SCHILY.xattr.user.x", "\n")]);
    taken(&[pax(b'g', &[("comment", "4c498e3")]), pax_path, plain(b'0', "cut", b"1")], &expected);
    let to = "t/".repeat(100);
    let expected = format!("link l to {to}");
    taken(&[plain(b'K', "././@LongLink", to.as_bytes()), link("l", "cut")], &[&expected]);
    taken(&[pax(b'x', &[("linkpath", &to), ("size", "0")]), link("l", "cut")], &[&expected]);
}

#[test]
fn a_time_is_the_one_that_says_most() {
    let of = |entries: &[Vec<u8>]| {
        let members = read(ended(entries).as_slice(), None, MOST).unwrap();
        members.into_values().map(|member| member.time).collect::<Vec<_>>()
    };
    let file = || plain(b'0', "d/f", b"");
    assert_eq!(of(&[file()]), [None, Some(Time::Second(7))]);
    assert_eq!(of(&[pax(b'x', &[("mtime", "8.25")]), file()]), [None, Some(Time::Exact(8_250_000_000))]);
    let of_all = pax(b'g', &[("mtime", "9")]);
    let own = pax(b'x', &[("mtime", "-1")]);
    let dir = plain(b'5', "d", b"");
    assert_eq!(of(&[of_all, own, dir, file()]), [Some(Time::Second(-1)), Some(Time::Second(9))]);
}

#[test]
fn a_hostile_entry_is_refused_by_its_name() {
    let one = |entry: Vec<u8>| ended(&[plain(b'0', "good", b"1"), entry]);
    refuse(&one(plain(b'0', "/etc/passwd", b"")), &["`/etc/passwd`", "absolute", "relative"]);
    refuse(&one(plain(b'0', "a/../../b", b"")), &["`a/../../b`", "leads out"]);
    refuse(&one(plain(b'0', "..", b"")), &["`..`", "leads out"]);
    refuse(&one(plain(b'0', "", b"")), &["no name"]);
    refuse(&one(plain(b'0', "./", b"1")), &["`./`", "has bytes"]);
    refuse(&one(plain(b'0', ".", b"1")), &["`.`", "must be a directory"]);
    refuse(&one(link("./", "x")), &["`./`", "must be a directory"]);
    refuse(&one(plain(b'5', "d", b"1")), &["`d`", "has bytes"]);
    refuse(&one(plain(b'0', "f/", b"1")), &["`f/`", "has bytes"]);
    refuse(&one(entry(b'1', "h", b"", |header| header.set_link_name("good").unwrap())), &["`h`", "hard link"]);
    for kind in [b'3', b'4', b'6'] {
        refuse(&one(plain(kind, "device", b"")), &["`device`", "pipe"]);
    }
    for kind in [b'V', b'M', b'D', b'N', b'X', b'z', 200] {
        refuse(&one(plain(kind, "odd", b"")), &["`odd`", "kind"]);
    }
    refuse(&one(plain(b'S', "holes", b"")), &["`holes`", "sparse"]);
    let sparse = [pax(b'x', &[("GNU.sparse.major", "1")]), plain(b'0', "holes", b"")].concat();
    refuse(&one(sparse), &["`holes`", "sparse"]);
    for target in ["/etc/passwd", "../x", "a/../../x", ""] {
        refuse(&one(link("l", target)), &["`l`", &format!("`{target}`"), "stays in the session"]);
    }
    let nul = [pax(b'x', &[("linkpath", "a\0b")]), link("l", "a")].concat();
    refuse(&one(nul), &["`l`", "stays in the session"]);
    let mut bad = plain(b'0', "n", b"");
    bad[0] = 0xff;
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&bad);
    header.set_cksum();
    refuse(&one(header.as_bytes().to_vec()), &["not UTF-8"]);
    let long = [plain(b'L', "L", "x/".repeat(600).as_bytes()), plain(b'0', "cut", b"")].concat();
    refuse(&one(long), &["`x/x/", "1199 bytes"]);
    let deep = [plain(b'L', "L", "x/".repeat(65).as_bytes()), plain(b'0', "cut", b"")].concat();
    refuse(&one(deep), &["65 levels"]);
    let nul = [pax(b'x', &[("path", "a\0b")]), plain(b'0', "cut", b"")].concat();
    refuse(&one(nul), &["NUL"]);
}

#[test]
fn what_cannot_lie_there_is_refused() {
    refuse(&ended(&[plain(b'0', "f", b"1"), plain(b'0', "f/g", b"")]), &["`f/g`", "`f`", "no directory"]);
    refuse(&ended(&[link("l", "d"), plain(b'0', "l/g/h", b"")]), &["`l/g/h`", "`l`", "no directory"]);
    refuse(&ended(&[plain(b'0', "f/g", b""), plain(b'0', "f", b"1")]), &["`f`", "twice"]);
    refuse(&ended(&[plain(b'0', "f", b""), plain(b'0', "./f", b"")]), &["`./f`", "twice"]);
    refuse(&ended(&[plain(b'5', "f", b""), link("f", "x")]), &["`f`", "twice"]);
}

#[test]
fn an_archive_that_is_not_whole_is_refused() {
    let whole = ended(&[plain(b'0', "a", &[1; 700]), plain(b'0', "b", &[2; 700])]);
    for length in 0..whole.len() {
        // One block of zeros ends it as well as two.
        let result = read(&whole[..length], None, MOST);
        assert_eq!(result.is_ok(), length >= whole.len() - 512, "{length}");
    }
    refuse(&[], &["cut off"]);
    refuse(&whole[..1_300], &["after the entry `a`"]);
    refuse(&whole[..1_536], &["cut off"]);
    refuse(&whole[..2_100], &["`b`", "cut short"]);
    // Something comes behind it, and another one.
    assert!(read([whole.clone(), vec![0; 9_000]].concat().as_slice(), None, MOST).is_ok());
    refuse(&[whole.clone(), vec![0; 2 << 20]].concat(), &["behind its end"]);
    refuse(&[whole.clone(), whole.clone()].concat(), &["behind its end"]);
    // A size that is a lie, and headers for an entry that does not come.
    refuse(
        &ended(&[entry(b'0', "a", &[9; 600], |header| header.set_size(3))]),
        &["after the entry `a`", "not a number; send"],
    );
    refuse(&ended(&[entry(b'0', "a", b"", |header| header.set_size(9_000))]), &["`a`", "cut short"]);
    refuse(&ended(&[pax(b'x', &[("size", "3")]), plain(b'0', "a", b"")]), &["`a`", "two sizes"]);
    refuse(&ended(&[pax(b'x', &[("path", "a")])]), &["cut off"]);
    refuse(&ended(&[plain(b'L', "L", b"a")]), &["cut off"]);
    refuse(b"<html>", &["its beginning"]);
    refuse(&[7; 4_096], &["its beginning"]);
    let mut odd = plain(b'0', "a", b"");
    odd[124..136].copy_from_slice(b"not a number");
    refuse(&odd, &["its beginning"]);
}

#[test]
fn headers_have_bounds_and_a_form() {
    let large = "x".repeat(ARCHIVE_EXTRA_BYTES_MAX as usize + 1);
    for kind in [b'x', b'g', b'L', b'K'] {
        refuse(&ended(&[plain(b'0', "a", b""), plain(kind, "h", large.as_bytes())]), &["`a`", "65536"]);
    }
    refuse(&ended(&[plain(b'x', "h", b"no record"), plain(b'0', "a", b"")]), &["its beginning", "name=value"]);
    refuse(&ended(&[pax(b'x', &[("mtime", "noon")]), plain(b'0', "a", b"")]), &["its beginning", "name=value"]);
    refuse(&ended(&[pax(b'g', &[("path", "b")]), plain(b'0', "a", b"")]), &["for all entries"]);
    refuse(&ended(&[pax(b'g', &[("GNU.sparse.name", "b")]), plain(b'0', "a", b"")]), &["for all entries"]);
}

#[test]
fn more_than_a_session_holds_is_refused_before_it_is_read() {
    let huge = entry(b'0', "a", b"", |header| header.set_size(u64::MAX >> 8));
    refuse(&huge, &["bytes", "10000"]);
    refuse(
        &[plain(b'0', "a", &[1; 6_000]), entry(b'0', "b", b"", |header| header.set_size(4_001))].concat(),
        &["10001"],
    );
    let many: Vec<_> = (0..21).map(|n| plain(b'0', &format!("f{n}"), b"")).collect();
    refuse(&many.concat(), &["21 files", "20"]);
    refuse(&plain(b'0', &"d/".repeat(21), b""), &["21 files", "20"]);
    // Headers that say nothing are bytes, too.
    let flood = vec![pax(b'g', &[("comment", &"x".repeat(60_000))]); 40].concat();
    refuse(&flood, &["the most that is taken here"]);
    let roots = vec![plain(b'5', "./", b""); 3_000].concat();
    refuse(&roots, &["the most that is taken here"]);
}

#[test]
fn what_unfolds_without_end_is_not_kept() {
    let pack = |bytes: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let home = tempfile::tempdir().unwrap();
    let kept = |packed: &[u8]| {
        let mut contents = Held::new(home.path().to_owned(), 100);
        let read = read(MultiGzDecoder::new(packed), Some(&mut contents), MOST);
        (read.map(|members| told(&members)).map_err(|error| error.to_string()), contents.length())
    };
    let bomb = [entry(b'0', "a", b"", |header| header.set_size(64 << 20)), vec![0; 64 << 20]].concat();
    let (refused, bytes) = kept(&pack(&bomb));
    assert!(refused.unwrap_err().contains("67108864 bytes"));
    assert_eq!(bytes, 0);
    let good = ended(&[plain(b'0', "a", &[1; 3_000]), plain(b'0', "b", &[2; 3_000])]);
    assert_eq!(kept(&pack(&good)), (Ok(vec!["file a 3000".to_owned(), "file b 3000".to_owned()]), 6_000));
    let (refused, bytes) = kept(&pack(&[good.clone(), vec![0; 64 << 20]].concat()));
    assert!(refused.unwrap_err().contains("behind its end"), "zeros without end");
    assert_eq!(bytes, 6_000);
    // In several members; cut off; with another checksum.
    let (one, other) = good.split_at(1_000);
    assert!(kept(&[pack(one), pack(other)].concat()).0.is_ok());
    let mut packed = pack(&good);
    assert!(kept(&packed[..packed.len() - 1]).0.is_err());
    assert!(kept(&packed[..20]).0.is_err());
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    assert!(kept(&packed).0.is_err());
    assert!(kept(b"no gzip").0.is_err());
}
