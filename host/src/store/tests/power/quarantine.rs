//! A power cut, or a disk that fails, while foreign things are put into quarantine
//! leaves each of them once: where it was, or there.

use std::fs;
use std::path::PathBuf;

use super::dice::Dice;
use super::disk::Disk;
use super::disk::Event;
use super::disk::Fault;
use super::disk::Lasts;
use super::disk::Trouble;
use super::image::Cut;
use super::image::Model;
use super::load::Act;
use super::load::home;
use super::load::steps;
use crate::store::tests::*;

/// What is planted, by where it lies and where in quarantine it belongs.
const PLANTED: [(&str, &str); 5] = [
    ("notes", "1-data/notes"),
    ("folder/inner", "1-data/folder/inner"),
    ("tmp", "1-data/tmp"),
    ("modules/notes", "2-modules/notes"),
    ("artefacts/notes", "3-artefacts/notes"),
];

/// A store that was used, with foreign things in it; and what its track shows.
async fn planted() -> (TempDir, String) {
    let home = home();
    let kit = Kit { store: open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap(), home };
    for step in steps(&[Act::Tenant, Act::Upload, Act::Create, Act::Put]) {
        kit.take("ann", step).await.unwrap();
    }
    let state = kit.state("ann").await.unwrap();
    let Kit { home, store } = kit;
    drop(store);
    let data = home.path().join("data");
    fs::create_dir(data.join("folder")).unwrap();
    fs::remove_dir(data.join("tmp")).unwrap();
    for (at, _) in PLANTED {
        fs::write(data.join(at), at).unwrap();
    }
    (home, state)
}

/// Each planted thing is there once. Numbers are given anew where a ward was lost.
fn each_is_there_once(data: &Path, what: &str) {
    let wards: Vec<PathBuf> = match fs::read_dir(data.join("quarantine")) {
        Ok(wards) => wards.map(|ward| ward.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    for (at, ward) in PLANTED {
        let within = Path::new(ward).iter().skip(1).collect::<PathBuf>();
        let places = wards.iter().map(|ward| ward.join(&within)).chain([data.join(at)]);
        let there: Vec<_> = places.filter(|path| fs::read(path).is_ok_and(|bytes| bytes == at.as_bytes())).collect();
        assert_eq!(there.len(), 1, "{what}: {at} is at {there:?}");
    }
}

fn all_are_in_quarantine(data: &Path, what: &str) {
    each_is_there_once(data, what);
    for (at, _) in PLANTED {
        assert!(!data.join(at).is_file(), "{what}: {at}");
    }
}

#[tokio::test]
async fn b36_a_power_cut_leaves_what_is_foreign_in_its_place_or_in_quarantine() {
    let (home, state) = planted().await;
    let disk = Disk::under(home.path());
    drop(open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap());
    for (at, ward) in PLANTED {
        assert_eq!(fs::read(home.path().join("data/quarantine").join(ward)).unwrap(), at.as_bytes());
    }
    let record = disk.record();
    let found = record.iter().take_while(|event| matches!(event, Event::Found(..))).count();
    let mut model = Model::after(&record[..found], &mut Cut::Everything);
    for at in found..=record.len() {
        for mut cut in
            [Cut::Everything, Cut::Synced, Cut::ByChance(Dice::new(at as u64)), Cut::ByChance(Dice::new(!at as u64))]
        {
            let what = format!("{} before event {at}", cut.word());
            let image = super::load::home();
            model.write(disk.root(), image.path(), &mut cut);
            let data = image.path().join("data");
            each_is_there_once(&data, &what);
            let store = open(image.path(), limits::WORK_BYTES_DEFAULT);
            let kit = Kit { home: image, store: store.unwrap_or_else(|error| panic!("{what}: {error:?}")) };
            all_are_in_quarantine(&data, &what);
            assert_eq!(kit.state("ann").await.unwrap(), state, "{what}");
        }
        let Some(event) = record.get(at) else { break };
        model.follow(event, &mut Cut::Everything);
    }
}

#[tokio::test]
async fn b36_a_start_that_the_disk_fails_can_be_tried_again() {
    for trouble in [Trouble::Full, Trouble::Broken] {
        for after in 0.. {
            let (home, state) = planted().await;
            let (disk, data) = (Disk::under(home.path()), home.path().join("data"));
            disk.fail(Fault { trouble, after, lasts: Lasts::Once });
            let what = format!("{trouble:?} at call {after}");
            let opened = open(home.path(), limits::WORK_BYTES_DEFAULT);
            each_is_there_once(&data, &what);
            let has_failed = opened.is_err();
            drop(opened);
            if !disk.mend() {
                assert!(after > 20 && !has_failed);
                break;
            }
            let store = open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap();
            all_are_in_quarantine(&data, &what);
            assert_eq!(Kit { home, store }.state("ann").await.unwrap(), state, "{what}");
        }
    }
}
