//! What the store is made to do, and what it shows afterwards.
//!
//! A *track* is the work of one principal: a line of steps, each one call of the
//! store. What a track shows depends on its own steps alone, so after a power cut
//! each track must be where it was after its last step that was said to be done,
//! or after the one that was under way.

use std::fmt::Write as _;
use std::io::Read as _;

use super::dice::Dice;
use crate::model::job::Job;
use crate::model::job::NamedSession;
use crate::model::outcome::Reason;
use crate::model::session::ListedState;
use crate::store::JobFilter;
use crate::store::Origin;
use crate::store::SessionFilter;
use crate::store::Stream;
use crate::store::check;
use crate::store::tests::history::bytes_of;
use crate::store::tests::*;

/// A call of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Tenant,
    Create,
    Accept,
    Claim,
    /// Runs the job and commits what it did.
    Work,
    /// Ends the job without keeping anything of it.
    Fail,
    Put,
    Param,
    /// Ends the explicit transaction of a track that has them.
    Commit,
    RollBack,
    /// Back to the oldest commit that is kept.
    Revert,
    /// Makes a second session out of the first.
    Fork,
    Mark,
    Remove,
    Upload,
    /// Deletes the version that was uploaded last.
    Unload,
    CarryOver,
}

/// A call with a number from which all it writes is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) act: Act,
    pub(super) number: u64,
}

pub(super) fn steps(acts: &[Act]) -> Vec<Step> {
    acts.iter().zip(1..).map(|(act, number)| Step { act: *act, number }).collect()
}

/// A line of steps by chance, for a principal whose tenant and module are there.
pub(super) fn random_steps(count: usize, dice: &mut Dice) -> Vec<Step> {
    let mut acts = vec![Act::Create];
    while acts.len() < count {
        acts.extend(match dice.roll(15) {
            0..5 => vec![Act::Accept, Act::Claim, Act::Work],
            5 => vec![Act::Accept, Act::Claim, Act::Fail],
            6..8 => vec![Act::Put],
            8 => vec![Act::Param],
            9 => vec![Act::Mark, Act::Remove, Act::Create],
            10 => vec![Act::Upload, Act::Upload, Act::Unload],
            11 => vec![Act::Commit],
            12 => vec![Act::RollBack],
            13 => vec![Act::Commit, Act::Revert],
            _ => vec![Act::CarryOver],
        });
    }
    steps(&acts)
}

impl Kit {
    /// Takes one step of a track.
    pub(super) async fn take(&self, track: &str, step: Step) -> Result<(), StoreError> {
        let number = step.number;
        match step.act {
            Act::Tenant => self.store.create_tenant("acme".parse().unwrap(), now()).await?,
            Act::Create => drop(self.store.create_session(new_session(track)).await?),
            Act::Accept => drop(self.store.accept(self.job_of(track, number).await?).await?),
            Act::Claim => drop(self.store.claim(self.last_job(track).await?.seq, true, now()).await?),
            Act::Work => self.work(track, number).await?,
            Act::Fail => {
                let job = self.last_job(track).await?;
                self.store.end(job.seq, job.attempt, ending(Outcome::failed(Reason::Trap, "no"))).await?;
            }
            Act::Put => {
                let bytes = Dice::new(number).bytes(number as usize * 7_919 % 9_000);
                self.put(self.session_of(track).await?, "put", &bytes).await?;
            }
            Act::Param => {
                let changes = ParamChanges::from([("written".to_owned(), Some(number.to_string()))]);
                self.store.write_params(self.session_of(track).await?, changes, now()).await?;
            }
            Act::Commit if is_explicit(track) => {
                self.store.commit_transaction(self.session_of(track).await?, now()).await?;
            }
            Act::RollBack if is_explicit(track) => {
                self.store.roll_back_transaction(self.session_of(track).await?, now()).await?;
            }
            Act::Commit | Act::RollBack => {}
            Act::Revert => {
                let key = self.session_of(track).await?;
                let oldest = self.store.session_by_key(key).await?.unwrap().oldest_commit;
                self.store.revert(key, oldest, now()).await?;
            }
            Act::Fork => {
                let from = Some(Origin { session: self.session_of(track).await?, commit: None });
                let fork = NewSession { id: "fork".parse().unwrap(), from, ..new_session(track) };
                self.store.create_session(fork).await?;
            }
            Act::Mark => drop(self.store.mark_session(self.session_of(track).await?).await?),
            Act::Remove => {
                let (owner, state) = (Some(track.parse().unwrap()), Some(ListedState::Marked));
                let filter = SessionFilter { owner, state };
                let marked = self.store.sessions(&"acme".parse().unwrap(), filter, all()).await?.items;
                self.store.remove_session(marked[0].key).await?;
            }
            Act::Upload => self.upload_of(track, number).await?,
            Act::Unload => {
                let (tenant, name) = ("acme".parse().unwrap(), module(track));
                let newest = self.store.versions(&tenant, &name, all()).await?.items[0].version;
                self.store.delete_version(tenant, name, newest).await?;
            }
            Act::CarryOver => self.store.inner._checkpointer.carry_over_now(),
        }
        Ok(())
    }

    async fn session_of(&self, track: &str) -> Result<SessionKey, StoreError> {
        Ok(self.store.session(&owner(track), &"s".parse().unwrap()).await?.unwrap().key)
    }

    async fn last_job(&self, track: &str) -> Result<Job, StoreError> {
        Ok(self.store.jobs(&owner(track), JobFilter::default(), all()).await?.items.remove(0))
    }

    async fn job_of(&self, track: &str, number: u64) -> Result<NewJob, StoreError> {
        let versions = self.store.versions(&"acme".parse().unwrap(), &module("ann"), all()).await?;
        let version = versions.items.into_iter().last().unwrap();
        let key = Some(self.session_of(track).await?);
        Ok(NewJob {
            owner: owner(track),
            module: version.name,
            version: version.version,
            digest: version.digest,
            session: Some(NamedSession { id: "s".parse().unwrap(), key }),
            ..self.new_job(&format!("job-{number}"))
        })
    }

    async fn upload_of(&self, track: &str, number: u64) -> Result<(), StoreError> {
        let bytes = format!("module {number} of {track}").into_bytes();
        let digest = Digest::of(&bytes);
        self.store.save_wasm(digest, bytes).await?;
        let new = NewVersion {
            tenant: "acme".parse().unwrap(),
            name: module(track),
            digest,
            size_bytes: 0,
            kind: ModuleKind::Core,
            imports: Vec::new(),
            created_by: "ann".parse().unwrap(),
            now: now(),
        };
        self.store.add_version(new).await.map(|_| ())
    }

    /// A job that writes its number into a file, a parameter and its result, and
    /// changes a few files besides.
    async fn work(&self, track: &str, number: u64) -> Result<(), StoreError> {
        let job = self.last_job(track).await?;
        let draft = self.store.begin(Some(self.session_of(track).await?)).await?;
        let (dir, mut dice) = (draft.root().dir().try_clone().unwrap(), Dice::new(number));
        dir.write("number", number.to_string()).unwrap();
        dir.create_dir_all("data").unwrap();
        let size = [0, 3_000, 20_000, 70_000][dice.roll(4) as usize];
        dir.write(format!("data/{}", number % 3), dice.bytes(size)).unwrap();
        let other = format!("data/{}", (number + 1) % 3);
        if dice.roll(3) == 0 && dir.exists(&other) {
            dir.remove_file(&other).unwrap();
        }
        let text = Some(number.to_string());
        let end = Ending { result: text.clone(), ..ending(Outcome::Succeeded) };
        let params = ParamChanges::from([("number".to_owned(), text)]);
        let changed = paths(&["number", "data/0", "data/1", "data/2"]);
        let committed = draft.commit(job.seq, job.attempt, end, changed, params, Fate::Stays).await;
        committed.map_err(|error| match error {
            CommitError::Store(error) => error,
            CommitError::SessionGone => panic!("nobody drops the session of `{track}`"),
        })
    }

    /// All that a track can see, in a text that is the same for the same state.
    pub(super) async fn state(&self, track: &str) -> Result<String, StoreError> {
        let mut text = String::new();
        let (tenant, store) = ("acme".parse().unwrap(), &self.store);
        let filter = SessionFilter { owner: Some(track.parse().unwrap()), state: None };
        for session in store.sessions(&tenant, filter, all()).await?.items {
            writeln!(text, "{session:?}").unwrap();
            if session.state.takes_requests() {
                self.contents(session.key, &mut text).await?;
            }
        }
        for job in store.jobs(&owner(track), JobFilter::default(), all()).await?.items {
            let printed = store.printed(job.seq, Stream::Stdout).await?;
            writeln!(text, "{job:?} {printed:?}").unwrap();
        }
        for version in store.versions(&tenant, &module(track), all()).await?.items {
            let mut bytes = Vec::new();
            if let Some(mut file) = store.wasm(version.digest).await? {
                file.read_to_end(&mut bytes).unwrap();
            }
            writeln!(text, "{version:?} {}", Digest::of(&bytes) == version.digest).unwrap();
        }
        writeln!(text, "{}", store.tenant(&tenant).await?.is_some()).unwrap();
        Ok(text)
    }

    /// What a session holds, and held at each commit that is kept.
    async fn contents(&self, key: SessionKey, text: &mut String) -> Result<(), StoreError> {
        for commit in self.store.commits(key, all()).await?.items {
            writeln!(text, "{commit:?}").unwrap();
            let at = Some(commit.number);
            writeln!(text, "{:?}", self.store.params(key, at).await?).unwrap();
            for entry in self.store.files(key, at, None, Recursive::Yes, all()).await?.0.items {
                let content = self.store.file(key, at, entry.path.clone()).await?;
                let digest = content.map(|content| Digest::of(&bytes_of(content.body)));
                writeln!(text, "{} {} {} {digest:?}", entry.kind.word(), entry.path, entry.size).unwrap();
            }
        }
        Ok(())
    }

    /// What is wrong with the store by its own rules.
    pub(super) async fn faults(&self) -> Result<Vec<String>, StoreError> {
        self.store.read(check::open_database).await
    }
}

fn new_session(track: &str) -> NewSession {
    NewSession {
        id: "s".parse().unwrap(),
        owner: owner(track),
        queue: QueueMode::Wait,
        limits: SessionLimits::default(),
        terms: Terms::default(),
        params: BTreeMap::from([("count".to_owned(), "1".to_owned())]),
        creator: None,
        keyed: false,
        transaction: if is_explicit(track) { TransactionMode::Explicit } else { TransactionMode::Job },
        retention: Retention { commits: 3, age: None },
        from: None,
        now: now(),
    }
}

/// Whether a track's jobs are kept by `commit` only (R23).
fn is_explicit(track: &str) -> bool {
    track == "eve"
}

/// A directory in memory: nothing here waits for a real disk.
pub(super) fn home() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Each track has a module of its own; jobs run the oldest
/// version of that of the track `ann`.
fn module(track: &str) -> ModuleName {
    format!("of-{track}").parse().unwrap()
}
