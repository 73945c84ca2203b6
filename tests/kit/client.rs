//! One caller of the API: a key, and the words for what it can ask.
//!
//! Promise: a client finds its server again after a restart, on whatever port
//! that then listens.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::RwLock;
use std::time::Duration;

use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::redirect::Policy;
use serde_json::Value;
use serde_json::json;

use crate::Answer;
use crate::Job;
use crate::NewJob;
use crate::NewSession;
use crate::Session;
use crate::contract::Asked;
use crate::contract::Contract;
use crate::guests::Dressed;

/// Longer than any `Prefer: wait` of the kit: a server that does not answer fails the test.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(150);

/// Speaks for one principal. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Arc<RwLock<String>>,
    key: Option<String>,
    /// The guests that are known to be on the server.
    uploaded: Arc<Mutex<HashSet<String>>>,
}

impl Client {
    pub(crate) fn new(url: Arc<RwLock<String>>, key: Option<String>) -> Self {
        // Each answer is looked at as it is, so nothing is followed.
        let http = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).no_proxy().redirect(Policy::none());
        let http = http.build().expect("a plain HTTP client needs nothing that could be missing");
        Self { http, url, key, uploaded: Arc::default() }
    }

    /// The same server, with another key or with none, on connections of its own.
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self::new(self.url.clone(), key.map(str::to_owned))
    }

    /// The same caller on connections of its own.
    pub fn another(&self) -> Self {
        Self { uploaded: self.uploaded.clone(), ..self.with_key(self.key.as_deref()) }
    }

    /// Where the server listens now.
    pub fn url(&self) -> String {
        self.url.read().expect("no thread panics while it writes a string").clone()
    }

    /// A request to `path`, with the caller's key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url()));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends and reads the answer to its end; an error is one of the connection. An answer
    /// that is not as `/openapi.json` says fails the test.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let request = request.build()?;
        let asked = format!("{} {}", request.method(), request.url().path());
        let said = Asked::of(&request);
        let response = self.http.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { asked, status, headers, body: response.bytes().await?.to_vec() };
        Contract::published().check(&said, &answer);
        Ok(answer)
    }

    /// Sends, and panics if the connection fails.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("the server does not answer: {error:?}"))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request(Method::PUT, path).body(body)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// Every item of a list, page after page.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{joint}limit=500{cursor}")).await.expect(200).json();
            items.extend(page["items"].as_array().expect("a list has items").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Uploads a module under a name.
    pub async fn upload(&self, name: &str, wasm: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::PUT, &format!("/v1/modules/{name}"));
        self.send(request.header("content-type", "application/wasm").body(wasm)).await
    }

    /// Uploads a guest unless this client has done so, and gives the name to run it by.
    pub async fn ready(&self, guest: impl Into<Dressed>) -> String {
        let guest = guest.into();
        let known = self.uploaded.lock().expect("nothing panics under this lock").contains(&guest.name);
        if !known {
            let _ = self.upload(&guest.name, guest.bytes()).await.good();
            self.uploaded.lock().expect("nothing panics under this lock").insert(guest.name.clone());
        }
        guest.name
    }

    /// A session to be made; await it.
    pub fn new_session(&self) -> NewSession {
        NewSession::new(self.clone())
    }

    /// A session that may or may not exist.
    pub fn session(&self, id: &str) -> Session {
        Session::new(self.clone(), id)
    }

    /// A job to be submitted, outside any session unless it is told one.
    pub fn new_job(&self, guest: impl Into<Dressed>) -> NewJob {
        NewJob::new(self.clone(), guest.into())
    }

    /// The job of that id, as the server shows it now.
    pub async fn job(&self, id: &str) -> Job {
        let answer = self.get(&format!("/v1/jobs/{id}")).await.expect(200);
        Job::new(self.clone(), answer.json())
    }

    /// Another principal of the tenant `dev`, with the scopes given.
    pub async fn principal(&self, name: &str, scopes: &[&str]) -> Self {
        self.principal_of("dev", name, scopes).await
    }

    /// A principal of any tenant; the tenant must be there.
    pub async fn principal_of(&self, tenant: &str, name: &str, scopes: &[&str]) -> Self {
        let request = json!({"principal": name, "scopes": scopes});
        let made = self.post(&format!("/v1/admin/tenants/{tenant}/keys"), &request).await.expect(201).json();
        self.with_key(Some(made["key"].as_str().expect("a new key is shown once")))
    }
}
