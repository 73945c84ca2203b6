//! Random scripts: operations that are likely to meet, on few names, with sizes
//! around the 64 KiB pieces in which the store keeps files.
//!
//! Not here: whether an operation is good. Many are not, and the errno is
//! compared too.

use sessile_kit::Dice;

use super::model::Model;
use super::model::Node;
use super::model::ROOT;
use super::walk::Last;

/// Names that sort on both sides of `/`, which is where ranges of paths go wrong.
const NAMES: [&str; 6] = ["a", "a-", "a0", "b", "c.txt", "ü"];

const PIECE: usize = 64 << 10;

/// Times as they are set, and as HTTP tells them.
pub(super) const TIMES: [(u64, &str); 4] = [
    (1, "1970-01-01T00:00:00Z"),
    (999_999_999, "1970-01-01T00:00:00.999999Z"),
    (1_000_000_000_123_456_789, "2001-09-09T01:46:40.123456Z"),
    (4_102_444_800_000_000_000, "2100-01-01T00:00:00Z"),
];

/// A script of `len` lines, which `model` has performed afterwards; with what
/// it answers.
pub(super) fn script(dice: &mut Dice, model: &mut Model, len: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < len {
        if let Some(line) = line(dice, model) {
            model.answer(&line);
            lines.push(line);
        }
    }
    lines
}

/// One operation; `None` if there is nothing that it could be done to.
fn line(dice: &mut Dice, model: &Model) -> Option<String> {
    let line = match dice.roll(36) {
        0..4 => format!("put {} {} {}", a_path(dice, model), a_size(dice), dice.roll(100)),
        4..8 => {
            let modes = dice.pick(&["r", "rw", "w", "rwc", "wct", "rwct", "a", "ac", "rwx"]);
            format!("open {} {} {modes}", dice.roll(4), a_path(dice, model))
        }
        8 => format!("open {} /{} r", dice.roll(4), one_of(dice, &beneath_root(model))?),
        9 => format!("create-in {} {} {}", dice.roll(4), one_of(dice, &model.open_folders())?, dice.pick(&NAMES)),
        10 => format!("close {}", dice.roll(4)),
        11..15 => on_open(dice, model, "write", &['w', 'a'])?,
        15..17 => on_open(dice, model, "resize", &['w', 'a'])?,
        17 => format!("read {}", one_of(dice, &model.open_files(&['r']))?),
        18 => format!("size {}", one_of(dice, &model.open_files(&['r', 'w', 'a']))?),
        19 => format!("set-times {} {}", one_of(dice, &model.open_files(&['r', 'w', 'a']))?, dice.pick(&TIMES).0),
        20 => format!("set-times-at /{} {}", one_of(dice, &leaves(model))?, dice.pick(&TIMES).0),
        21..24 => format!("mkdir {}", a_path(dice, model)),
        24 => format!("rmdir {}", a_path(dice, model)),
        25..27 => format!("unlink {}", a_path(dice, model)),
        27 if dice.roll(4) == 0 => format!("remove-all /{}", one_of(dice, &beneath_root(model))?),
        28..33 => a_rename(dice, model)?,
        33..35 => format!("symlink {} {}", a_target(dice), a_path(dice, model)),
        35 => format!("link {} {}", a_path(dice, model), a_path(dice, model)),
        _ => return None,
    };
    Some(line)
}

fn on_open(dice: &mut Dice, model: &Model, operation: &str, modes: &[char]) -> Option<String> {
    let handle = one_of(dice, &model.open_files(modes))?;
    Some(match operation {
        "write" => format!("write {handle} {} {} {}", a_size(dice), 1 + dice.roll(PIECE + 2), dice.roll(100)),
        _ => format!("{operation} {handle} {}", a_size(dice)),
    })
}

/// Not with two paths that lead nowhere: which of two errnos comes first is nobody's promise.
fn a_rename(dice: &mut Dice, model: &Model) -> Option<String> {
    let (from, to) = (a_path(dice, model), a_path(dice, model));
    let leads_nowhere = |path| model.walk(ROOT, path, Last::Keep).is_err();
    if leads_nowhere(&from) && leads_nowhere(&to) { None } else { Some(format!("rename {from} {to}")) }
}

/// Mostly something that is there; otherwise a name where one could be, or could not.
fn a_path(dice: &mut Dice, model: &Model) -> String {
    let all = model.paths(|_| true);
    if !all.is_empty() && dice.roll(2) == 0 {
        return format!("/{}", dice.pick(&all));
    }
    let above = match dice.roll(8) {
        // Perhaps a file, or a link to who knows what.
        0 if !all.is_empty() => format!("/{}", dice.pick(&all)),
        1..6 => dice.pick(&folders(model)).clone(),
        _ => String::new(),
    };
    format!("{above}/{}", dice.pick(&NAMES))
}

fn a_size(dice: &mut Dice) -> usize {
    match dice.roll(4) {
        0 => *dice.pick(&[0, 1, 100, 5_000]),
        _ => PIECE * dice.roll(4) + *dice.pick(&[0, 1, PIECE - 1]),
    }
}

/// A target that ends in a name; it may lead out from where the link is.
fn a_target(dice: &mut Dice) -> String {
    let name = *dice.pick(&NAMES);
    match dice.roll(4) {
        0 => format!("{name}/{}", dice.pick(&NAMES)),
        1 => format!("../{name}"),
        _ => name.to_owned(),
    }
}

fn folders(model: &Model) -> Vec<String> {
    let paths = model.paths(|node| matches!(node, Node::Folder(_)));
    paths.into_iter().map(|path| format!("/{path}")).chain([String::new()]).collect()
}

/// Folders that are not the root: that one cannot be removed.
fn beneath_root(model: &Model) -> Vec<String> {
    model.paths(|node| matches!(node, Node::Folder(_)))
}

/// Files and links: the times of folders are not kept.
fn leaves(model: &Model) -> Vec<String> {
    model.paths(|node| !matches!(node, Node::Folder(_)))
}

fn one_of<T: Clone>(dice: &mut Dice, of: &[T]) -> Option<T> {
    if of.is_empty() { None } else { Some(dice.pick(of).clone()) }
}
