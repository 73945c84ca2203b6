//! A session as a test handles it.
//!
//! Promise: a [`Snapshot`] holds everything that a job could have changed, so
//! that "nothing stays" is one comparison.

use std::collections::BTreeMap;
use std::pin::Pin;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::Answer;
use crate::Client;
use crate::Job;
use crate::NewJob;
use crate::guests::Dressed;

/// A session to be made. Await it to make it.
#[must_use = "a session is made when it is awaited"]
pub struct NewSession {
    client: Client,
    body: Map<String, Value>,
    files: Vec<(String, Vec<u8>)>,
}

impl NewSession {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, body: Map::new(), files: Vec::new() }
    }

    /// Chooses the id.
    pub fn with_id(self, id: &str) -> Self {
        self.with("id", id)
    }

    /// Sets any field of the request.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body.insert(field.to_owned(), value.into());
        self
    }

    /// Gives it a parameter from the start.
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        let params = self.body.entry("params").or_insert_with(|| json!({}));
        params[name] = json!(value);
        self
    }

    /// Gives it a file, right after it is made.
    pub fn with_file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Asks for it, whatever the answer.
    pub async fn answer(&self) -> Answer {
        self.client.post("/v1/sessions", &Value::Object(self.body.clone())).await
    }
}

impl IntoFuture for NewSession {
    type Output = Session;
    type IntoFuture = Pin<Box<dyn Future<Output = Session> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let made = self.answer().await.expect(201).json();
            let session = self.client.session(made["id"].as_str().expect("a session has an id"));
            for (path, content) in self.files {
                session.put_file(&path, content).await;
            }
            session
        })
    }
}

/// A session by its id. Clones mean the same session.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    id: String,
}

/// What a session holds: files with their contents, folders, and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub files: BTreeMap<String, Vec<u8>>,
    pub folders: Vec<String>,
    pub params: BTreeMap<String, String>,
}

impl Session {
    pub(crate) fn new(client: Client, id: &str) -> Self {
        Self { client, id: id.to_owned() }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The path of the session in the API, with `rest` after it.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/sessions/{}{rest}", self.id)
    }

    /// The session as the server shows it.
    pub async fn show(&self) -> Value {
        self.client.get(&self.path("")).await.expect(200).json()
    }

    /// A job of this session, to be submitted.
    pub fn new_job(&self, guest: impl Into<Dressed>) -> NewJob {
        self.client.new_job(guest).session(&self.id)
    }

    /// Runs a guest in this session to its end.
    pub async fn run(&self, guest: impl Into<Dressed>) -> Job {
        self.new_job(guest).run().await
    }

    /// Lets a guest hold the session's turn, which has begun when this returns.
    /// Cancel it to let the next one in.
    pub async fn hold(&self) -> Job {
        self.new_job(crate::guests::STAY).limit("wall_ms", 600_000).submit().await.until_running().await
    }

    pub async fn param(&self, name: &str) -> Option<String> {
        let answer = self.client.get(&self.path(&format!("/params/{name}"))).await;
        if answer.status == 404 {
            return None;
        }
        Some(answer.expect(200).text())
    }

    pub async fn params(&self) -> BTreeMap<String, String> {
        let all = self.client.get(&self.path("/params")).await.expect(200).json();
        let all = all.as_object().expect("parameters are one object");
        all.iter().map(|(name, value)| (name.clone(), value.as_str().expect("a value is text").to_owned())).collect()
    }

    pub async fn set_param(&self, name: &str, value: &str) {
        let _ = self.client.put(&self.path(&format!("/params/{name}")), value.to_owned()).await.good();
    }

    pub async fn file(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.client.get(&self.path(&format!("/files/{path}"))).await;
        if answer.status == 404 {
            return None;
        }
        Some(answer.expect(200).body)
    }

    /// A file that must be there, as text.
    pub async fn text(&self, path: &str) -> String {
        let content = self.file(path).await.unwrap_or_else(|| panic!("there is no {path} in session {}", self.id));
        String::from_utf8(content).unwrap_or_else(|_| panic!("{path} is not text"))
    }

    pub async fn put_file(&self, path: &str, content: impl Into<reqwest::Body>) {
        let _ = self.client.put(&self.path(&format!("/files/{path}")), content).await.good();
    }

    /// Deletes what is at `path`, with everything in it.
    pub async fn delete_file(&self, path: &str) {
        let _ = self.client.delete(&self.path(&format!("/files/{path}?recursive=true"))).await.good();
    }

    /// Everything in the directory, as the server lists it.
    pub async fn list(&self) -> Vec<Value> {
        self.client.list(&self.path("/files?recursive=true")).await
    }

    /// Everything in the directory, as `(path, kind)`, sorted by path.
    pub async fn entries(&self) -> Vec<(String, String)> {
        let items = self.list().await;
        let word = |item: &Value, name: &str| item[name].as_str().expect("an entry has a path and a kind").to_owned();
        let mut entries: Vec<_> = items.iter().map(|item| (word(item, "path"), word(item, "kind"))).collect();
        entries.sort();
        entries
    }

    /// The paths of everything in the directory.
    pub async fn files(&self) -> Vec<String> {
        self.entries().await.into_iter().map(|(path, _)| path).collect()
    }

    /// All that a job could have changed.
    pub async fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { files: BTreeMap::new(), folders: Vec::new(), params: self.params().await };
        for (path, kind) in self.entries().await {
            if kind == "file" {
                let content = self.file(&path).await.expect("what is listed can be read");
                snapshot.files.insert(path, content);
            } else {
                snapshot.folders.push(path);
            }
        }
        snapshot
    }
}
