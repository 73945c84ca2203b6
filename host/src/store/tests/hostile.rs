//! What somebody put into a working copy past all guards: pipes, sockets, devices,
//! links that lead out, trees without end.

use std::os::unix::net::UnixListener;
use std::time::Instant;

use rustix::fs::FileType;
use rustix::fs::Mode;

use super::*;

/// Where the working copy of a draft is, for those who are not bound to it.
fn place_of(dir: &Dir) -> std::path::PathBuf {
    use std::os::fd::AsRawFd as _;
    std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).unwrap()
}

/// Puts one of each into the directory, and one in the place of each thing that was there.
fn plant(dir: &Dir, secret: &Path) {
    let fifo = |at: &str| rustix::fs::mknodat(dir, at, FileType::Fifo, Mode::RWXU, 0).unwrap();
    fifo("pipe");
    dir.remove_file("known").unwrap();
    fifo("known");
    // It stays when nobody listens any more.
    drop(UnixListener::bind(place_of(dir).join("d/socket")).unwrap());
    // Needs rights that a server should not have; where it has them, it must not matter.
    let zero = rustix::fs::makedev(1, 5);
    let _ = rustix::fs::mknodat(dir, "zero", FileType::CharacterDevice, Mode::RWXU, zero);
    dir.symlink_contents(secret, "out").unwrap();
    dir.symlink_contents("/dev/zero", "d/device").unwrap();
    dir.remove_dir_all("folder").unwrap();
    dir.symlink_contents(secret, "folder").unwrap();
    let mut deep = dir.open_dir("d").unwrap();
    for _ in 0..200 {
        deep.create_dir("d").unwrap();
        deep = deep.open_dir("d").unwrap();
    }
    fifo("d/d/pipe");
}

/// How a job that found all that may end.
#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    RollBack,
    DryRun,
    Forgotten,
}

async fn end(kit: &Kit, draft: Draft, how: End, id: &str) {
    // Everywhere is what the server believes when it knows nothing.
    match how {
        End::Commit => {
            let (seq, attempt) = kit.running(id).await;
            let done = draft.commit(
                seq,
                attempt,
                ending(Outcome::Succeeded),
                Touched::Everywhere,
                ParamChanges::new(),
                Fate::Stays,
            );
            // A tree that is deeper than any path is refused as a whole.
            assert!(done.await.is_err());
        }
        End::RollBack => draft.roll_back(Touched::Everywhere),
        End::DryRun => assert!(draft.dry_run(Touched::Everywhere, &ParamChanges::new()).await.is_err()),
        End::Forgotten => drop(draft),
    }
}

#[tokio::test]
async fn b15_nothing_that_was_put_into_a_working_copy_is_followed_or_waited_for() {
    let kit = Kit::new().await;
    let secret = kit.home.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "a secret of the host").unwrap();
    let key = kit.session("s").await.key;
    kit.job(key, "first", &["known", "folder", "d"], |dir| {
        dir.write("known", "known").unwrap();
        dir.create_dir("folder").unwrap();
        dir.write("folder/key", "inside").unwrap();
        dir.create_dir("d").unwrap();
    })
    .await;
    let whole = ["directory d 0", "directory folder 0", "file folder/key 6", "file known 5"];
    let begin = Instant::now();
    for how in [End::Commit, End::RollBack, End::DryRun, End::Forgotten] {
        let draft = kit.begin(key).await;
        plant(draft.root().dir(), &secret);
        end(&kit, draft, how, &format!("{how:?}")).await;
        // The next job finds what was committed, and none of the rest.
        assert_eq!(tree_of(kit.begin(key).await.root().dir()), whole, "{how:?}");
        assert_eq!(kit.tree(key).await, whole, "{how:?}");
        assert_eq!(std::fs::read(secret.join("key")).unwrap(), b"a secret of the host");
    }
    // A pipe that is opened for reading waits for ever; nothing here did.
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn b15_a_commit_keeps_files_folders_and_relative_links_and_nothing_else() {
    let kit = Kit::new().await;
    let key = kit.session("s").await.key;
    let (seq, attempt) = kit.running("j").await;
    let draft = kit.begin(key).await;
    let dir = draft.root().dir().try_clone().unwrap();
    dir.write("file", "file").unwrap();
    dir.create_dir("folder").unwrap();
    dir.symlink("file", "link").unwrap();
    dir.symlink_contents("/etc/passwd", "folder/out").unwrap();
    rustix::fs::mknodat(&dir, "folder/pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
    drop(UnixListener::bind(place_of(&dir).join("socket")).unwrap());
    drop(dir);
    let done =
        draft.commit(seq, attempt, ending(Outcome::Succeeded), Touched::Everywhere, ParamChanges::new(), Fate::Stays);
    done.await.unwrap();
    let kept = ["file file 4", "directory folder 0", "link link 4"];
    assert_eq!(kit.tree(key).await, kept);
    // What was not kept is gone from the copy too: the next job does not find it.
    assert_eq!(tree_of(kit.begin(key).await.root().dir()), kept);
}

#[tokio::test]
async fn b18_a_session_goes_whatever_lies_in_its_working_copy() {
    let kit = Kit::new().await;
    let secret = kit.home.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "a secret of the host").unwrap();
    let key = kit.session("s").await.key;
    kit.job(key, "first", &["known", "folder", "d"], |dir| {
        dir.write("known", "known").unwrap();
        dir.create_dir("folder").unwrap();
        dir.create_dir("d").unwrap();
    })
    .await;
    let draft = kit.begin(key).await;
    plant(draft.root().dir(), &secret);
    let place = place_of(draft.root().dir());
    assert!(kit.store.mark_session(key).await.unwrap());
    draft.roll_back(Touched::Everywhere);
    kit.store.remove_marked(vec![key]).await.unwrap();
    assert!(kit.store.session_by_key(key).await.unwrap().is_none());
    // The janitor is waited for when the store is closed.
    let Kit { home, store } = kit;
    drop(store);
    assert!(!place.exists());
    assert_eq!(std::fs::read(secret.join("key")).unwrap(), b"a secret of the host");
    drop(home);
}
