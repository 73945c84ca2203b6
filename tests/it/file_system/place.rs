//! One session and its model, side by side: what is done to the one is done to
//! the other, and they are compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem;

use sessile_kit::Job;
use sessile_kit::NewJob;
use sessile_kit::Session;
use sessile_kit::guests::Dressed;

use super::chance::TIMES;
use super::model::Entry;
use super::model::Model;
use super::model::Node;
use super::model::digest;
use super::model::pattern;

/// How a script ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Kept,
    Exit,
    Trap,
    Cancel,
    TimeOut,
}

impl End {
    pub(super) const ALL: [End; 5] = [End::Kept, End::Exit, End::Trap, End::Cancel, End::TimeOut];

    fn line(self) -> &'static str {
        match self {
            End::Kept => "exit 0",
            End::Exit => "exit 3",
            End::Trap => "trap",
            End::Cancel => "wait",
            End::TimeOut => "spin",
        }
    }

    async fn of(self, order: NewJob) -> Job {
        match self {
            End::Kept => order.run().await.succeeded(),
            End::Exit => order.run().await.failed("exit"),
            End::Trap => order.run().await.failed("trap"),
            End::TimeOut => order.limit("wall_ms", 150).run().await.failed("wall-timeout"),
            End::Cancel => {
                let job = order.submit().await;
                job.until_says("waiting").await;
                job.end().await;
                job
            }
        }
    }
}

/// See the room card.
pub(super) struct Place {
    /// For the message of a test that fails: the seed and what was done last.
    pub(super) story: String,
    pub(super) session: Session,
    pub(super) model: Model,
    dress: Dressed,
    /// The last kept state as a guest sees it, with all times.
    shown: Vec<String>,
}

impl Place {
    pub(super) fn new(session: Session, dress: Dressed, story: &str) -> Self {
        let story = format!("{story} as {}", dress.name);
        Self { story, session, model: Model::empty(), dress, shown: Vec::new() }
    }

    /// A job that performs the lines, shows what it sees, and ends so.
    pub(super) fn order(&mut self, lines: &[String], end: End) -> NewJob {
        let script = format!("{}\ndump\n{}\n", lines.join("\n"), end.line());
        write!(self.story, "\n--- {end:?}\n{script}").expect("a string takes it");
        self.session.new_job(self.dress.clone()).stdin(&script)
    }

    /// Runs the lines to such an end and compares everything.
    pub(super) async fn run(&mut self, lines: &[String], end: End) {
        let before = self.model.clone();
        let expected: Vec<String> = lines.iter().map(|line| self.model.answer(line)).collect();
        self.model.close_all();
        let job = end.of(self.order(lines, end)).await;
        let told = job.lines().await;
        // Time may have run out before anything was done.
        if end != End::TimeOut {
            self.check_told(lines, &expected, &told);
        }
        if end == End::Kept {
            self.shown = told[expected.len()..].to_vec();
        } else {
            self.model = before;
        }
        self.check().await;
    }

    /// Puts a file over HTTP, unless a job gave its name to something else.
    pub(super) async fn put(&mut self, path: &str, len: u32, seed: u32) {
        if self.model.paths(|node| !matches!(node, Node::File(_))).iter().any(|other| other == path) {
            return;
        }
        write!(self.story, "\n--- PUT {path} {len} {seed}\n").expect("a string takes it");
        assert_eq!(self.model.answer(&format!("put /{path} {len} {seed}")), "ok", "{}", self.story);
        self.session.put_file(path, pattern(len, seed)).await;
        self.check_only_changed(path).await;
    }

    /// Deletes over HTTP what is there, with all in it.
    pub(super) async fn delete(&mut self, path: &str) {
        write!(self.story, "\n--- DELETE {path}\n").expect("a string takes it");
        let is_folder = self.model.tree()[path] == Entry::Folder;
        let removal = if is_folder { "remove-all" } else { "unlink" };
        assert_eq!(self.model.answer(&format!("{removal} /{path}")), "ok", "{}", self.story);
        self.session.delete_file(path).await;
        self.check_only_changed(path).await;
    }

    /// Takes the job that was running when the server was killed for done.
    pub(super) async fn kept(&mut self, lines: &[String], job: &Job) {
        for line in lines {
            self.model.answer(line);
        }
        self.model.close_all();
        self.shown = job.lines().await[lines.len()..].to_vec();
        self.check().await;
    }

    /// Of all that is there, only what has this path may look other than before, and
    /// the times of the folders above it.
    async fn check_only_changed(&mut self, path: &str) {
        let now = self.dump().await;
        let before = mem::replace(&mut self.shown, now);
        let above = path.match_indices('/').map(|(at, _)| format!("directory /{} ", &path[..at]));
        let may: Vec<_> = above.chain([format!("file /{path} ")]).collect();
        for line in self.shown.iter().filter(|line| !may.iter().any(|may| line.starts_with(may))) {
            assert!(before.contains(line), "{line} is new; {}", self.story);
        }
        self.check().await;
    }

    /// Compares what HTTP shows and what a guest sees with the model.
    pub(super) async fn check(&self) {
        self.check_http().await;
        let dump = self.dump().await;
        self.check_dump(&dump);
        assert_eq!(dump, self.shown, "a later job sees other times; {}", self.story);
    }

    async fn dump(&self) -> Vec<String> {
        let order = self.session.new_job(self.dress.clone()).stdin("dump\nexit 0\n");
        order.run().await.succeeded().lines().await
    }

    fn check_told(&self, lines: &[String], expected: &[String], told: &[String]) {
        for (at, expected) in expected.iter().enumerate() {
            let told = told.get(at).map(String::as_str);
            assert_eq!(
                told,
                Some(expected.as_str()),
                "line {}, `{}`, of the last script; {}",
                at + 1,
                lines[at],
                self.story
            );
        }
        self.check_dump(&told[expected.len()..]);
    }

    fn check_dump(&self, dump: &[String]) {
        let mut expected = Vec::new();
        for (path, entry) in self.model.tree() {
            expected.push(match entry {
                Entry::Folder => (format!("directory /{path}"), None),
                Entry::Link { target, modified_ns } => (format!("link /{path} {target}"), Some(modified_ns)),
                Entry::File { content, modified_ns } => {
                    (format!("file /{path} {} {}", content.len(), digest(&content)), Some(modified_ns))
                }
            });
        }
        let mut seen: Vec<_> = dump.iter().map(|line| timed(line)).collect();
        seen.sort();
        expected.sort();
        let names = |of: &[(String, _)]| of.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>();
        assert_eq!(seen.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>(), names(&expected), "{}", self.story);
        for ((text, seen), (_, expected)) in seen.iter().zip(&expected) {
            if let Some(Some(expected)) = expected {
                assert_eq!(*seen, Some(*expected), "the time of {text}; {}", self.story);
            }
        }
    }

    async fn check_http(&self) {
        let items = self.session.list().await;
        let listed: BTreeMap<_, _> =
            items.iter().map(|item| (item["path"].as_str().unwrap().to_owned(), item)).collect();
        let tree = self.model.tree();
        let paths = |of: Vec<&String>| of.into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(paths(listed.keys().collect()), paths(tree.keys().collect()), "over HTTP; {}", self.story);
        let mut bytes = 0;
        for (path, entry) in &tree {
            let item = listed[path];
            let (kind, size, modified_ns) = match entry {
                Entry::File { content, modified_ns } => ("file", content.len(), *modified_ns),
                Entry::Folder => ("directory", 0, None),
                Entry::Link { target, modified_ns } => ("link", target.len(), *modified_ns),
            };
            assert_eq!(
                (item["kind"].as_str(), item["size"].as_u64()),
                (Some(kind), Some(size as u64)),
                "{path}; {}",
                self.story
            );
            if let Some((_, text)) = TIMES.iter().find(|(ns, _)| Some(*ns) == modified_ns) {
                assert_eq!(item["modified_at"], *text, "the time of {path}; {}", self.story);
            }
            if let Entry::File { content, .. } = entry {
                let same = self.session.file(path).await.as_ref() == Some(content);
                assert!(same, "the content of {path} over HTTP; {}", self.story);
                bytes += content.len() as u64;
            }
        }
        let shown = self.session.show().await;
        let held = (shown["bytes"].as_u64(), shown["files"].as_u64());
        assert_eq!(held, (Some(bytes), Some(tree.len() as u64)), "{}", self.story);
    }
}

/// A line of a dump without its time, and the time.
fn timed(line: &str) -> (String, Option<u64>) {
    let (text, time) = line.rsplit_once(' ').expect("each line ends with a time");
    (text.to_owned(), Some(time.parse().unwrap()))
}
