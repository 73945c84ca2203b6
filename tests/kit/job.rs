//! A job as a test handles it: first to be submitted, then looked at.
//!
//! Promise: the words that demand an ending show the whole job when it ended
//! otherwise.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::Answer;
use crate::Client;
use crate::guests::Dressed;
use crate::until;

/// What a run waits for its job; the server's own limits end a job long before.
const WAIT_S: u32 = 120;

/// A job to be submitted.
#[must_use = "a job is submitted by `run`, `submit` or `answer`"]
#[derive(Clone)]
pub struct NewJob {
    client: Client,
    guest: Dressed,
    body: Map<String, Value>,
    prefer: Option<String>,
}

impl NewJob {
    pub(crate) fn new(client: Client, guest: Dressed) -> Self {
        Self { client, guest, body: Map::new(), prefer: None }
    }

    /// Names a session, whether it exists or not.
    pub fn session(self, id: &str) -> Self {
        self.with("session", id)
    }

    /// Chooses the job's id.
    pub fn id(self, id: &str) -> Self {
        self.with("id", id)
    }

    pub fn args<S: AsRef<str>>(self, args: impl IntoIterator<Item = S>) -> Self {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        self.with("args", args)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        let env = self.body.entry("env").or_insert_with(|| json!({}));
        env[name] = json!(value);
        self
    }

    pub fn stdin(self, text: &str) -> Self {
        self.with("stdin", text)
    }

    /// Sets one limit, by its name in the API.
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        let limits = self.body.entry("limits").or_insert_with(|| json!({}));
        limits[name] = json!(value);
        self
    }

    /// Sets any field of the request.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body.insert(field.to_owned(), value.into());
        self
    }

    /// Sends the header `Prefer`.
    pub fn prefer(mut self, preference: &str) -> Self {
        self.prefer = Some(preference.to_owned());
        self
    }

    /// Submits, whatever the answer; an error is one of the connection.
    pub async fn try_answer(self) -> Result<Answer, reqwest::Error> {
        let mut body = self.body;
        body.insert("module".to_owned(), json!(self.guest.name));
        let mut request = self.client.request(reqwest::Method::POST, "/v1/jobs").json(&body);
        if let Some(preference) = self.prefer {
            request = request.header("prefer", preference);
        }
        self.client.try_send(request).await
    }

    /// Uploads the guest if need be, and submits, whatever the answer.
    pub async fn answer(self) -> Answer {
        self.client.ready(self.guest.clone()).await;
        self.try_answer().await.unwrap_or_else(|error| panic!("the server does not answer: {error:?}"))
    }

    /// Submits, and comes back as soon as the job is accepted.
    pub async fn submit(self) -> Job {
        let client = self.client.clone();
        Job::new(client, self.answer().await.expect(202).json())
    }

    /// Submits, and comes back when the job has ended.
    pub async fn run(self) -> Job {
        let client = self.client.clone();
        Job::new(client, self.prefer(&format!("wait={WAIT_S}")).answer().await.expect(200).json())
    }
}

/// What the server said about a job.
#[derive(Clone, Debug)]
#[must_use = "demand an ending, or the test proves nothing"]
pub struct Job {
    client: Client,
    pub json: Value,
}

impl Job {
    pub(crate) fn new(client: Client, json: Value) -> Self {
        Self { client, json }
    }

    /// Who submitted it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    #[track_caller]
    pub fn id(&self) -> &str {
        self.json["id"].as_str().expect("a job has an id")
    }

    #[track_caller]
    pub fn state(&self) -> &str {
        self.json["state"].as_str().expect("a job has a state")
    }

    /// Why it failed, if it did.
    pub fn reason(&self) -> Option<&str> {
        self.json["outcome"]["reason"].as_str()
    }

    /// The sentence about its end.
    pub fn detail(&self) -> &str {
        self.json["outcome"]["detail"].as_str().unwrap_or("")
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.state(), "succeeded" | "failed" | "cancelled")
    }

    /// Demands success.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.state(), "succeeded", "{:#}", self.json);
        assert_eq!(self.json["outcome"]["exit_code"], 0, "{:#}", self.json);
        self
    }

    /// Demands a failure for a reason.
    #[track_caller]
    pub fn failed(self, reason: &str) -> Self {
        assert_eq!((self.state(), self.reason()), ("failed", Some(reason)), "{:#}", self.json);
        self
    }

    /// Demands that it was cancelled.
    #[track_caller]
    pub fn cancelled(self) -> Self {
        assert_eq!(self.state(), "cancelled", "{:#}", self.json);
        self
    }

    /// The job as it is now.
    pub async fn look(&self) -> Job {
        self.client.job(self.id()).await
    }

    /// The job when it has ended.
    pub async fn wait(&self) -> Job {
        let what = format!("job {} ends", self.id());
        until(&what, || async { Some(self.look().await).filter(Job::has_ended) }).await
    }

    /// The job when its guest has begun. Panics if it ends before.
    pub async fn until_running(&self) -> Job {
        let what = format!("job {} begins", self.id());
        until(&what, || async {
            let now = self.look().await;
            assert!(!now.has_ended(), "the job ended before it was seen running: {:#}", now.json);
            Some(now).filter(|job| job.state() == "running")
        })
        .await
    }

    /// Waits until the guest reports `word` as its progress. Panics if it ends before.
    pub async fn until_says(&self, word: &str) {
        let what = format!("job {} says `{word}`", self.id());
        until(&what, || async {
            let now = self.look().await;
            assert!(!now.has_ended(), "the job ended before it said `{word}`: {:#}", now.json);
            (now.json["progress"]["message"] == word).then_some(())
        })
        .await
    }

    /// Asks for its end; the job is over some time after.
    pub async fn cancel(&self) -> Answer {
        self.client.post(&format!("/v1/jobs/{}/cancel", self.id()), &json!({})).await
    }

    /// Cancels it and waits until it is over.
    pub async fn end(&self) {
        let _ = self.cancel().await.expect(200);
        let _ = self.wait().await.cancelled();
    }

    /// What it printed, line by line.
    pub async fn lines(&self) -> Vec<String> {
        self.stdout().await.lines().map(str::to_owned).collect()
    }

    pub async fn stdout(&self) -> String {
        self.client.get(&format!("/v1/jobs/{}/stdout", self.id())).await.expect(200).text()
    }

    pub async fn stderr(&self) -> String {
        self.client.get(&format!("/v1/jobs/{}/stderr", self.id())).await.expect(200).text()
    }
}
