//! What the server answered to one request, and what a test may say about it.
//!
//! Promise: a test that expected something else fails with the whole answer in
//! its message.

use serde_json::Value;

/// One answer, read to its end.
#[derive(Debug)]
#[must_use = "an answer that nobody looks at proves nothing"]
pub struct Answer {
    /// What was asked, for the message of a test that fails.
    pub asked: String,
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// Demands a status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} was answered {}: {}", self.asked, self.status, self.text());
        self
    }

    /// Demands any success.
    #[track_caller]
    pub fn good(self) -> Self {
        assert!((200..300).contains(&self.status), "{} was answered {}: {}", self.asked, self.status, self.text());
        self
    }

    /// Demands a refusal in the one shape that refusals have, and gives its detail.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> String {
        let answer = self.expect(status);
        let (asked, problem) = (&answer.asked, answer.json());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{asked}");
        assert_eq!(problem["code"], code, "{asked}: {problem}");
        assert_eq!(problem["type"], format!("/problems/{code}"), "{asked}");
        assert_eq!(problem["status"], status, "{asked}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{asked}: {problem}");
        problem["detail"].as_str().unwrap_or_else(|| panic!("{asked}: no detail in {problem}")).to_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} was not answered with JSON ({error}): {}", self.asked, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("our server's headers are plain text"))
    }
}
