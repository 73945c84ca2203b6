//! The demo's HTTP: few words, and every refusal ends the demo with the
//! server's own sentence.

use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;
use ureq::Agent;
use ureq::Body;
use ureq::http::Response;

use crate::server::Server;

/// No step of the demo takes longer on any machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Speaks to one server with its key.
pub(super) struct Client {
    agent: Agent,
    url: String,
    authorization: String,
}

impl Client {
    pub(super) fn new(server: &Server) -> Self {
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None);
        let agent = config.build().new_agent();
        Self { agent, url: server.url.clone(), authorization: format!("Bearer {}", server.key) }
    }

    /// The body of a GET, as text.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<String> {
        let request = self.agent.get(self.to(path)).header("authorization", &self.authorization);
        good(path, request.call())
    }

    /// Sends bytes; the answer is JSON or nothing.
    pub(super) fn put(&self, path: &str, kind: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        let request = self.agent.put(self.to(path)).header("authorization", &self.authorization);
        json(path, &good(path, request.header("content-type", kind).send(bytes))?)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(self.to(path)).header("authorization", &self.authorization);
        json(path, &good(path, request.send_json(body))?)
    }

    /// Submits a job and waits for its end.
    pub(super) fn run(&self, order: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(self.to("/v1/jobs")).header("authorization", &self.authorization);
        json("/v1/jobs", &good("/v1/jobs", request.header("prefer", "wait=60").send_json(order))?)
    }

    fn to(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// A word in the server's JSON; a missing one shows as such.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn good(path: &str, answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<String> {
    let mut answer = answer.with_context(|| format!("the server does not answer {path}"))?;
    let body = answer.body_mut().read_to_string().with_context(|| format!("cannot read the answer to {path}"))?;
    if !answer.status().is_success() {
        bail!("{path} was answered {}: {body}", answer.status());
    }
    Ok(body)
}

fn json(path: &str, body: &str) -> anyhow::Result<Value> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(body).with_context(|| format!("{path} was not answered with JSON"))
}
