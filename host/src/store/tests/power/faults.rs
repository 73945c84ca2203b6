//! Any one call of the disk fails: what was asked for fails with a reason, what
//! was done stays done, and the store goes on, or says that it does not.

use std::ops::RangeInclusive;

use super::dice::Dice;
use super::disk::Disk;
use super::disk::Fault;
use super::disk::Lasts;
use super::disk::Trouble;
use super::image::Cut;
use super::image::Model;
use super::load::Act;
use super::load::Step;
use super::load::home;
use super::load::steps;
use crate::store::tests::*;

const TRACK: &str = "ann";

/// What is there before the disk begins to fail.
const BEFORE: [Act; 7] = [Act::Tenant, Act::Upload, Act::Create, Act::Accept, Act::Claim, Act::Work, Act::Put];

/// What is done while it fails.
const MEANWHILE: [Act; 10] = [
    Act::Accept,
    Act::Claim,
    Act::Work,
    Act::CarryOver,
    Act::Upload,
    Act::Unload,
    Act::Put,
    Act::Upload,
    Act::Mark,
    Act::Remove,
];

/// A data directory, what is to be done there, and what the track shows after each
/// step of that if nothing fails.
struct Base {
    home: TempDir,
    steps: Vec<Step>,
    states: Vec<String>,
}

impl Base {
    async fn new(before: &[Act], meanwhile: &[Act]) -> Base {
        let home = if before.is_empty() { home() } else { prepared(before).await };
        let numbered = |step: Step| Step { number: step.number + 100, ..step };
        let steps: Vec<_> = steps(meanwhile).into_iter().map(numbered).collect();
        let twin = copy(&home);
        let kit = Kit { store: open(twin.path(), limits::WORK_BYTES_DEFAULT).unwrap(), home: twin };
        let mut states = vec![kit.state(TRACK).await.unwrap()];
        for step in &steps {
            kit.take(TRACK, *step).await.unwrap();
            states.push(kit.state(TRACK).await.unwrap());
        }
        Base { home, steps, states }
    }
}

/// A directory in which these steps were taken.
async fn prepared(before: &[Act]) -> TempDir {
    let home = home();
    let kit = Kit { store: open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap(), home };
    for step in steps(before) {
        kit.take(TRACK, step).await.unwrap();
    }
    let Kit { home, store } = kit;
    drop(store);
    home
}

/// Another directory with the same in it.
fn copy(home: &TempDir) -> TempDir {
    let (data, twin) = (home.path().join("data"), super::load::home());
    if data.exists() {
        crate::store::tests::crash::copy_dir(&data, &twin.path().join("data"));
    }
    twin
}

/// A store on a disk that fails at one call, or from it on.
struct Trial<'a> {
    base: &'a Base,
    fault: Fault,
    disk: Arc<Disk>,
    kit: Kit,
    /// How many steps are done.
    done: usize,
}

impl<'a> Trial<'a> {
    /// Opens the store; if the disk fails at that, once more when it is mended.
    fn begin(base: &'a Base, fault: Fault) -> Trial<'a> {
        let home = copy(&base.home);
        let disk = Disk::under(home.path());
        disk.fail(fault);
        let store = open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap_or_else(|error| {
            assert_plain(&error, fault);
            assert!(disk.mend(), "{fault:?}: {error:?}");
            open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap()
        });
        Trial { base, fault, disk, kit: Kit { home, store }, done: 0 }
    }

    /// Does all steps, each again when the disk is mended; says whether the fault
    /// hit anything.
    async fn go(mut self) -> bool {
        while let Some(step) = self.base.steps.get(self.done).copied() {
            match self.kit.take(TRACK, step).await {
                Ok(()) => self.done += 1,
                Err(error) => self = self.failed(step, &error).await,
            }
        }
        let struck = self.disk.mend();
        let state = self.kit.state(TRACK).await.unwrap();
        assert_eq!(state, self.base.states[self.done], "{:?}", self.fault);
        self.cut_power(Cut::Synced, self.done..=self.done).await;
        struck
    }

    /// A step has failed: nothing of it may be there, and nothing else be gone.
    async fn failed(self, step: Step, error: &StoreError) -> Trial<'a> {
        let what = format!("{:?} at {step:?}: {error:?}", self.fault);
        assert_plain(error, self.fault);
        assert!(self.disk.mend(), "{what}");
        let state = self.kit.state(TRACK).await.unwrap();
        assert_eq!(state, self.base.states[self.done], "{what}");
        self.cut_power(Cut::ByChance(Dice::new(self.fault.after as u64)), self.done..=self.done + 1).await;
        if self.kit.store.takes_writes() { self } else { self.restarted(step, &what).await }
    }

    /// The store takes no more writes until it is opened again; only then it is
    /// known whether the step was done.
    async fn restarted(self, step: Step, what: &str) -> Trial<'a> {
        let refused = self.kit.store.create_tenant("other".parse().unwrap(), now()).await;
        assert!(matches!(refused, Err(StoreError::Poisoned)), "{what}");
        let Trial { base, fault, disk, kit: Kit { home, store }, mut done } = self;
        drop(store);
        let store = open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let kit = Kit { home, store };
        let state = kit.state(TRACK).await.unwrap();
        if step.act != Act::CarryOver && state == base.states[done + 1] {
            done += 1;
        }
        assert_eq!(state, base.states[done], "{what}");
        Trial { base, fault, disk, kit, done }
    }

    /// What the disk holds, and not merely the kernel, is the state after one of
    /// these numbers of steps.
    async fn cut_power(&self, mut cut: Cut, done: RangeInclusive<usize>) {
        let what = format!("{:?}, then a power cut {}", self.fault, cut.word());
        let home = home();
        Model::after(&self.disk.record(), &mut cut).write(self.disk.root(), home.path(), &mut cut);
        let store = open(home.path(), limits::WORK_BYTES_DEFAULT);
        let kit = Kit { home, store: store.unwrap_or_else(|error| panic!("{what}: {error:?}")) };
        let state = kit.state(TRACK).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let may_be = &self.base.states[done];
        assert!(may_be.contains(&state), "{what}: {state}\nis none of\n{}", may_be.join("\nor\n"));
    }
}

/// The error is one that says what is wrong with the disk.
#[track_caller]
fn assert_plain(error: &StoreError, fault: Fault) {
    let plain = match fault.trouble {
        // A sync that finds no room leaves as much in doubt as any that fails.
        Trouble::Full => matches!(error, StoreError::Full | StoreError::Poisoned) || cannot_open(error),
        Trouble::Broken | Trouble::Unsynced => {
            matches!(error, StoreError::Poisoned | StoreError::Io { .. } | StoreError::Sql(_))
        }
    };
    assert!(plain, "{fault:?}: {error:?}");
}

fn cannot_open(error: &StoreError) -> bool {
    matches!(error, StoreError::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen))
}

/// Lets every call fail that can fail in this way, one after the other.
async fn every_call_fails(base: &Base, trouble: Trouble, lasts: Lasts) {
    let mut after = 0;
    while Trial::begin(base, Fault { trouble, after, lasts }).go().await {
        after += 1;
    }
    println!("{after} calls that failed: {trouble:?}, {lasts:?}");
    assert!(after > 100);
}

#[tokio::test]
async fn b23_a_disk_that_is_full_at_any_call_loses_nothing() {
    every_call_fails(&Base::new(&BEFORE, &MEANWHILE).await, Trouble::Full, Lasts::UntilMended).await;
}

#[tokio::test]
async fn b23_a_disk_that_fails_from_any_call_on_loses_nothing() {
    every_call_fails(&Base::new(&BEFORE, &MEANWHILE).await, Trouble::Broken, Lasts::UntilMended).await;
}

/// The worst of all: the kernel says once that it could not write, and then goes
/// on as if it had.
#[tokio::test]
async fn b23_a_disk_that_fails_at_any_one_call_loses_nothing() {
    every_call_fails(&Base::new(&BEFORE, &MEANWHILE).await, Trouble::Broken, Lasts::Once).await;
}

/// From an empty directory on.
#[tokio::test]
async fn b23_a_first_start_that_the_disk_fails_can_be_tried_again() {
    let base = Base::new(&[], &[Act::Tenant, Act::Upload]).await;
    every_call_fails(&base, Trouble::Full, Lasts::Once).await;
    every_call_fails(&base, Trouble::Broken, Lasts::Once).await;
}

/// Also if it is one of the checkpoint, for which nobody waits.
#[tokio::test]
async fn b23_after_a_failed_sync_the_store_takes_no_more_writes() {
    let base = Base::new(&BEFORE, &[]).await;
    let mut failed = Vec::new();
    for after in 0.. {
        let home = copy(&base.home);
        let disk = Disk::under(home.path());
        let kit = Kit { store: open(home.path(), limits::WORK_BYTES_DEFAULT).unwrap(), home };
        disk.fail(Fault { trouble: Trouble::Unsynced, after, lasts: Lasts::Once });
        for step in steps(&[Act::Put, Act::CarryOver, Act::Param]) {
            let taken = kit.take(TRACK, step).await;
            assert_eq!(kit.store.takes_writes(), !disk.has_struck(), "{step:?}: {taken:?}");
            if disk.has_struck() {
                failed.push(step.act);
                break;
            }
        }
        if !disk.has_struck() {
            break;
        }
    }
    // The header of a log that begins, and the commit itself; the log before the
    // database, both for the checkpoint; and once more as at the beginning.
    assert_eq!(failed, [Act::Put, Act::Put, Act::CarryOver, Act::CarryOver, Act::Param, Act::Param]);
}
