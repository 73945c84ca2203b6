//! What a data directory cannot do without is not replaced: neither by what was put
//! in its place nor by something new. And whose directory it is at all.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::store::backup;
use crate::store::check;
use crate::store::tests::quarantine::Ground;
use crate::store::tests::quarantine::Plant;
use crate::store::tests::quarantine::everything;
use crate::store::tests::quarantine::move_to;

/// Each name with what may not be changed of it.
fn left_as_it_is(data: &Path) -> Vec<(String, u64, u64)> {
    let mut found: Vec<_> = fs::read_dir(data)
        .unwrap()
        .map(|entry| {
            let meta = entry.as_ref().unwrap().path().symlink_metadata().unwrap();
            (entry.unwrap().file_name().into_string().unwrap(), meta.ino(), meta.len())
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn b36_a_needed_file_that_is_not_ours_is_neither_used_nor_replaced() {
    use Plant::*;
    let wrong =
        [LinkToFile, LinkToDir, LinkToNothing, Pipe, Socket, Device, Dir, HardLink, OthersCanWrite, AnothersFile];
    for name in ["truth.sqlite3", "truth.sqlite3-wal", "truth.sqlite3-journal", "secret", "lock"] {
        for plant in wrong {
            let what = format!("{plant:?} as {name}");
            let ground = Ground::new(true).await;
            if !ground.plant(name, plant) {
                continue;
            }
            let before = left_as_it_is(&ground.data());
            let refused = open(ground.home.path(), 0).map(|_| ()).unwrap_err();
            assert!(matches!(refused, StoreError::Unusable(_)), "{what}: {refused:?}");
            let (refused, at) = (refused.to_string(), ground.data().canonicalize().unwrap().join(name));
            assert!(refused.starts_with(&format!("{} ", at.display())), "{what}: {refused}");
            assert!(refused.contains("so it cannot be trusted and is left as it is; "), "{what}: {refused}");
            // Whoever only looks says the same, and a copy is not made of what is elsewhere.
            let is_read = matches!(plant, HardLink | OthersCanWrite | AnothersFile);
            match check::check(&ground.data()) {
                Ok(report) => assert!(is_read && report.faults.contains(&refused), "{what}: {:?}", report.faults),
                // Nobody who only looks can undo what a journal says.
                Err(StoreError::Sql(_)) => assert!(is_read && name.ends_with("-journal"), "{what}"),
                Err(error) => assert!(!is_read && error.to_string() == refused, "{what}: {error}"),
            }
            let saved = backup::back_up(&ground.data(), &ground.home.path().join("backup"));
            // Of a log that was made up it is SQLite that says what it is worth.
            assert!(is_read || saved.unwrap_err().to_string() == refused, "{what}");
            assert_eq!(left_as_it_is(&ground.data()), before, "{what}");
            ground.nothing_else_was_touched(&what);
            put_right(&ground, name, plant);
            drop(ground.start().await);
        }
    }
}

/// What the sentence says is the way out.
fn put_right(ground: &Ground, name: &str, plant: Plant) {
    let (at, aside) = (ground.data().join(name), ground.home.path().join("aside"));
    let is_made_up = name.ends_with("-journal");
    match plant {
        Plant::OthersCanWrite => fs::set_permissions(&at, Permissions::from_mode(0o600)).unwrap(),
        // For root SQLite gives the files beside a database to the database's owner.
        Plant::AnothersFile => fs::read_dir(ground.data()).unwrap().for_each(|entry| {
            std::os::unix::fs::chown(entry.unwrap().path(), Some(rustix::process::geteuid().as_raw()), None).unwrap();
        }),
        Plant::HardLink => fs::remove_file(ground.home.path().join("other name")).unwrap(),
        Plant::Dir => fs::remove_dir_all(&at).unwrap(),
        _ => fs::remove_file(&at).unwrap(),
    }
    if aside.exists() {
        move_to(&aside, &at);
    } else if is_made_up && at.exists() {
        fs::remove_file(&at).unwrap();
    }
}

#[tokio::test]
async fn b36_a_directory_that_only_looks_like_ours_keeps_what_is_in_it() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    // As other programs have it too.
    fs::write(data.join("lock"), "").unwrap();
    fs::set_permissions(data.join("lock"), Permissions::from_mode(0o600)).unwrap();
    fs::write(data.join("status"), "of a package manager").unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let before = everything(&data);
    let refused = open(home.path(), 0).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("is not empty and not a data directory of Sessile"), "{refused}");
    assert_eq!(everything(&data), before);
    assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o755);
    // This is what a first start leaves that was cut short.
    fs::remove_file(data.join("status")).unwrap();
    fs::create_dir(data.join("modules")).unwrap();
    assert!(open(home.path(), 0).is_ok());
}

#[tokio::test]
async fn b36_without_its_database_a_used_directory_does_not_begin_anew() {
    for killed in [false, true] {
        let ground = Ground::new(killed).await;
        let (database, aside) = (ground.data().join("truth.sqlite3"), ground.home.path().join("aside"));
        move_to(&database, &aside);
        let before = left_as_it_is(&ground.data());
        let refused = open(ground.home.path(), 0).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("truth.sqlite3 is missing, though there are modules"), "{refused}");
        assert_eq!(left_as_it_is(&ground.data()), before);
        move_to(&aside, &database);
        drop(ground.start().await);
    }
}

#[tokio::test]
async fn b36_out_of_a_newer_servers_directory_nothing_is_moved() {
    let ground = Ground::new(false).await;
    let db = rusqlite::Connection::open(ground.data().join("truth.sqlite3")).unwrap();
    db.execute("UPDATE schema_version SET version = 99", []).unwrap();
    drop(db);
    fs::write(ground.data().join("something-new"), "of a newer server").unwrap();
    let before = everything(&ground.data());
    let newer = open(ground.home.path(), 0).map(|_| ()).unwrap_err().to_string();
    assert!(newer.contains("format 99"), "{newer}");
    assert_eq!(everything(&ground.data()), before);
}

/// An operator may keep the directory elsewhere; what counts is what it is there.
#[tokio::test]
async fn b36_the_data_directory_itself_may_be_a_link_to_one_of_ours() {
    let ground = Ground::new(false).await;
    let other = tempfile::tempdir().unwrap();
    let link = other.path().join("data");
    symlink(ground.data(), &link).unwrap();
    fs::set_permissions(ground.data(), Permissions::from_mode(0o777)).unwrap();
    assert!(ground.plant("planted", Plant::LinkToDir));
    drop(ground.holds_all(open(other.path(), 0).unwrap()).await);
    assert!(link.is_symlink() && ground.data().join("quarantine/1-data/planted").is_symlink());
    assert_eq!(ground.data().metadata().unwrap().mode() & 0o777, 0o700);
    ground.nothing_else_was_touched("a link to the data directory");

    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(ground.data(), Some(4_321), None).unwrap();
        let refused = open(other.path(), 0).map(|_| ()).unwrap_err().to_string();
        assert!(refused.ends_with("belongs to another user"), "{refused}");
    }
    fs::remove_file(&link).unwrap();
    symlink(ground.elsewhere.path(), &link).unwrap();
    let refused = open(other.path(), 0).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("is not empty and not a data directory of Sessile"), "{refused}");
    ground.nothing_else_was_touched("a link to somebody else's directory");
}

#[tokio::test]
async fn b36_whoever_only_reads_names_what_is_foreign_and_moves_nothing() {
    let ground = Ground::new(false).await;
    let names = ["planted", "tmp", "modules/planted", "artefacts/planted"];
    for name in names {
        assert!(ground.plant(name, if name == "tmp" { Plant::LinkToDir } else { Plant::Pipe }));
    }
    // Where there is no log, a reader beside a server makes one.
    let left = || {
        let mut left = everything(&ground.data());
        left.retain(|thing| !thing.starts_with("truth.sqlite3-"));
        left
    };
    let before = left();
    let faults = check::check(&ground.data()).unwrap().faults;
    assert_eq!(faults.len(), names.len(), "{faults:?}");
    for name in names {
        let told = |fault: &String| {
            fault.contains(&format!("/data/{name}\" ")) && fault.ends_with("; the next start puts it into quarantine")
        };
        assert!(faults.iter().any(told), "{name}: {faults:?}");
    }
    let to = ground.home.path().join("backup");
    assert_eq!(backup::back_up(&ground.data(), &to).unwrap().faults, Vec::<String>::new());
    assert_eq!(left(), before);
    // What is in quarantine is no fault, and in no backup.
    drop(ground.start().await);
    assert_eq!(check::check(&ground.data()).unwrap().faults, Vec::<String>::new());
    let again = ground.home.path().join("again");
    assert_eq!(backup::back_up(&ground.data(), &again).unwrap().faults, Vec::<String>::new());
    let mut tar = tar::Archive::new(fs::File::open(&again).unwrap());
    let held = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    assert!(held.into_iter().all(|name| !name.contains("planted") && !name.contains("quarantine")));
    ground.nothing_else_was_touched("only read");
}
