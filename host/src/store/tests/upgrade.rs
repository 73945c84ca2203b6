//! From older formats to this one: as a whole or not at all. What they hold for
//! clients is tried in `tests/it/upgrade.rs`.

use rusqlite::Connection;

use super::*;
use crate::store::Stream;
use crate::store::archive;
use crate::store::check;
use crate::store::restore;
use crate::store::rows;

/// The store that a server of format 1 left.
const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/it/format-1");
const OF_FORMAT_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/it/format-2");
const OF_FORMAT_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/it/format-3");

/// A data directory with its database, and the database for whoever prepares it.
fn old_store() -> (TempDir, Connection) {
    store_of(OLD)
}

fn store_of(old: &str) -> (TempDir, Connection) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("data")).unwrap();
    let database = home.path().join("data/truth.sqlite3");
    std::fs::copy(Path::new(old).join("truth.sqlite3"), &database).unwrap();
    (home, Connection::open(database).unwrap())
}

fn upgraded(home: TempDir) -> Kit {
    let store = open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap();
    Kit { home, store }
}

#[track_caller]
fn unusable(home: &TempDir) -> String {
    match open(home.path(), limits::WORK_BYTES_DEFAULT).map(|_| ()) {
        Err(error) => error.to_string(),
        Ok(()) => panic!("it opened"),
    }
}

#[tokio::test]
async fn an_upgraded_store_is_sound() {
    for old in [OLD, OF_FORMAT_2, OF_FORMAT_3] {
        let (home, db) = store_of(old);
        drop(db);
        let kit = upgraded(home);
        let faults = kit.store.read(check::open_database).await.unwrap();
        assert_eq!(faults, Vec::<String>::new());
        let dangling = |db: &Connection| rows::exists(db, "SELECT 1 FROM pragma_foreign_key_check", []);
        assert!(!kit.store.read(dangling).await.unwrap());
    }
}

/// The newest job is gone by then, so its number is nowhere but in the count; what
/// belongs to the others still does.
#[tokio::test]
async fn jobs_of_format_2_keep_what_is_theirs_and_their_numbers() {
    let (home, db) = store_of(OF_FORMAT_2);
    db.execute_batch("PRAGMA foreign_keys = ON; DELETE FROM job WHERE seq = 5").unwrap();
    drop(db);
    let kit = upgraded(home);
    let owner = Owner { tenant: "dev".parse().unwrap(), principal: "dev".parse().unwrap() };
    let first = kit.store.job(&owner, &"first".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((first.seq, first.labels), (JobSeq(1), BTreeMap::from([("a".to_owned(), "b".to_owned())])));
    assert_eq!(kit.store.printed(first.seq, Stream::Stdout).await.unwrap(), b"0\n0\n");
    kit.store.create_tenant("acme".parse().unwrap(), now()).await.unwrap();
    kit.upload("letter", b"letter 1").await;
    assert_eq!(kit.accept("next").await, JobSeq(6));
    let remove = kit.store.writer().enqueue(|db| rows::change(db, "DELETE FROM job WHERE seq = 1", []));
    remove.await.unwrap();
    assert_eq!(kit.store.printed(first.seq, Stream::Stdout).await.unwrap(), b"");
}

/// A new job in an upgraded table and in one that was made so read alike.
#[tokio::test]
async fn the_columns_of_an_upgraded_table_are_those_of_a_new_one() {
    let columns = "SELECT name || ' ' || type || ' ' || \"notnull\" || ' ' || coalesce(dflt_value, '-') AS what
                   FROM pragma_table_info('job') ORDER BY name";
    let all = |db: &Connection| rows::all(db, columns, [], |row| row.get::<String>("what"));
    let new = Kit::new().await.store.read(all).await.unwrap();
    for old in [OF_FORMAT_2, OF_FORMAT_3] {
        let (home, db) = store_of(old);
        drop(db);
        assert_eq!(upgraded(home).store.read(all).await.unwrap(), new);
    }
}

#[tokio::test]
async fn an_upgrade_of_format_2_that_is_cut_short_leaves_the_old_store() {
    let (home, db) = store_of(OF_FORMAT_2);
    // It trips over this with the old table out of the way already.
    db.execute_batch("CREATE TABLE job_id_order (in_the_way INTEGER)").unwrap();
    assert_eq!(unusable(&home), "the database failed");
    let count = |what: &str| db.query_row(what, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((count("SELECT version FROM schema_version"), count("SELECT count(*) FROM job")), (2, 5));
    assert_eq!(count("SELECT count(*) FROM sqlite_master WHERE sql LIKE '%REFERENCES job %'"), 4);
    db.execute_batch("DROP TABLE job_id_order").unwrap();
    drop(db);
    drop(upgraded(home));
}

/// The newest session is gone by then, so its number is nowhere but in the count.
#[tokio::test]
async fn no_number_of_a_session_is_given_again_after_an_upgrade() {
    let (home, db) = old_store();
    db.execute_batch(
        "PRAGMA foreign_keys = ON; DELETE FROM session; UPDATE sqlite_sequence SET seq = 41 WHERE name = 'session'",
    )
    .unwrap();
    drop(db);
    let kit = upgraded(home);
    kit.store.create_tenant("acme".parse().unwrap(), now()).await.unwrap();
    assert_eq!(kit.session("s").await.key, SessionKey(42));
}

#[tokio::test]
async fn an_upgrade_that_is_cut_short_leaves_the_old_store_and_is_done_again() {
    let (home, db) = old_store();
    // The last step but one trips over this.
    db.execute_batch("CREATE TABLE job_change (in_the_way INTEGER)").unwrap();
    let tables = |db: &Connection| -> Vec<String> {
        let mut list = db.prepare("SELECT name || coalesce(sql, '') FROM sqlite_master ORDER BY 1").unwrap();
        list.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let before = tables(&db);
    assert_eq!(unusable(&home), "the database failed");
    assert_eq!(tables(&db), before);
    let count = |what: &str| db.query_row(what, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT version FROM schema_version"), 1);
    assert_eq!((count("SELECT count(*) FROM node"), count("SELECT sum(length(bytes)) FROM chunk")), (5, 140_012));

    db.execute_batch("DROP TABLE job_change").unwrap();
    drop(db);
    let kit = upgraded(home);
    let owner = Owner { tenant: "dev".parse().unwrap(), principal: "dev".parse().unwrap() };
    let session = kit.store.session(&owner, &"letters".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(kit.read(session.key, "a.txt").await.unwrap(), b"dear reader\n");
}

#[test]
fn a_format_from_the_future_is_refused_and_left_alone() {
    let (home, db) = old_store();
    db.execute_batch("UPDATE schema_version SET version = 5").unwrap();
    let sentence = "the data directory has format 5, and this server knows formats up to 4; use a newer server";
    assert_eq!(unusable(&home), sentence);
    let found: i64 = db.query_row("SELECT version FROM schema_version", [], |row| row.get(0)).unwrap();
    assert_eq!(found, 5);
}

/// A backup that was made when this format was the old one.
#[tokio::test]
async fn a_backup_of_an_old_format_is_upgraded_when_it_is_restored() {
    let home = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read(Path::new(OLD).join(name)).unwrap();
    let module = std::fs::read_dir(Path::new(OLD).join("modules")).unwrap().next().unwrap().unwrap().file_name();
    let module = format!("{}{}", archive::MODULES, module.to_str().unwrap());
    let manifest = archive::Manifest {
        form: archive::FORM,
        database: Digest::of(&read(archive::DATABASE)).to_string(),
        secret: Digest::of(&read(archive::SECRET)).to_string(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut tar = tar::Builder::new(std::fs::File::create(home.path().join("backup")).unwrap());
    let entries = [(module.as_str(), read(&module)), (archive::DATABASE, read(archive::DATABASE))];
    let last = [(archive::SECRET, read(archive::SECRET)), (archive::MANIFEST, manifest)];
    for (name, bytes) in entries.into_iter().chain(last) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap();

    let report = restore::restore(&home.path().join("backup"), &home.path().join("data")).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    let mut names: Vec<_> =
        std::fs::read_dir(home.path().join("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["modules", "secret", "truth.sqlite3"]);
    let kit = upgraded(home);
    let owner = Owner { tenant: "dev".parse().unwrap(), principal: "dev".parse().unwrap() };
    let session = kit.store.session(&owner, &"letters".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((session.commit, kit.read(session.key, "a.txt").await.unwrap()), (4, b"dear reader\n".to_vec()));
}
