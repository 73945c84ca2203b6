//! A second of fuzzing at each run of the tests: the inputs that are kept in
//! `fuzz/corpus`, then random changes of them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::store::tests::power::Dice;

/// For each target.
const TIME: Duration = Duration::from_secs(1);

/// The same changes at each run, so that what fails fails again.
const SEED: u64 = 1;

/// More and larger changes of an input leave nothing of it.
const CHANGES_MAX: u64 = 6;
const BLOCK_BYTES_MAX: u64 = 16;

#[track_caller]
fn check(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut kept: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    let kept: Vec<Vec<u8>> = kept.into_iter().map(|path| fs::read(path).unwrap()).collect();
    kept.iter().for_each(|input| run(name, target, input));
    let (mut dice, begin) = (Dice::new(SEED), Instant::now());
    while begin.elapsed() < TIME {
        run(name, target, &changed(&kept, &mut dice));
    }
}

fn run(name: &str, target: fn(&[u8]), input: &[u8]) {
    let _told = Told { name, input };
    target(input);
}

/// Prints the input that a target panics at.
struct Told<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} with seed {SEED}, at the input b\"{}\"", self.name, self.input.escape_ascii());
        }
    }
}

/// One of the kept inputs, with a few changes.
fn changed(kept: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut roll = |below: usize| dice.roll(below.max(1) as u64) as usize;
    let mut input = kept[roll(kept.len())].clone();
    for _ in 0..=roll(CHANGES_MAX as usize) {
        let at = roll(input.len());
        let end = (at + roll(BLOCK_BYTES_MAX as usize)).min(input.len());
        match roll(5) {
            0 => input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << roll(8)),
            1 => input.get_mut(at).into_iter().for_each(|byte| *byte = roll(256) as u8),
            2 => drop(input.drain(at..end)),
            3 => input.splice(at..at, input[at..end].to_vec()).for_each(drop),
            _ => {
                let other = &kept[roll(kept.len())];
                input.truncate(at);
                input.extend_from_slice(&other[roll(other.len())..]);
            }
        }
    }
    input
}

#[test]
fn no_call_of_a_guest_breaks_a_promise() {
    check("imports", super::imports);
}

#[test]
fn no_path_leads_where_it_should_not() {
    check("paths", super::paths);
}

#[test]
fn no_backup_is_restored_that_is_not_sound() {
    check("backup", super::backup);
}

#[test]
fn no_archive_is_more_than_a_session_may_hold() {
    check("archive", super::archive);
}

#[test]
fn no_damage_on_disk_makes_a_store_panic() {
    check("store", super::store);
}

#[test]
fn no_request_makes_the_server_fail() {
    check("headers", super::headers);
}
