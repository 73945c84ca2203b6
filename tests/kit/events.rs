//! The events of a job, as a browser would read them.
//!
//! Promise: a line that is not in the form of server-sent events fails the test.

use reqwest::Method;
use reqwest::Response;
use serde_json::Value;

use crate::Answer;
use crate::Client;
use crate::Job;
use crate::contract::Asked;
use crate::contract::Contract;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

/// A stream of events that goes on.
pub struct Events {
    response: Response,
    read: Vec<u8>,
}

impl Events {
    /// Follows a job from its beginning.
    pub async fn of(job: &Job) -> Events {
        Self::after(job.client(), job.id(), None).await.expect("events come")
    }

    /// Follows a job from an event on; nothing if the server says that nothing comes.
    pub async fn after(client: &Client, job: &str, last: Option<&str>) -> Option<Events> {
        let mut request = client.request(Method::GET, &format!("/v1/jobs/{job}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let (http, request) = request.build_split();
        let request = request.unwrap_or_else(|error| panic!("the request is wrong: {error:?}"));
        let asked = Asked::of(&request);
        let response =
            http.execute(request).await.unwrap_or_else(|error| panic!("the server does not answer: {error:?}"));
        if response.status() == 204 {
            return None;
        }
        assert_eq!(response.status(), 200);
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { asked: asked.path.clone(), status, headers, body: Vec::new() };
        Contract::published().check(&asked, &answer);
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        Some(Self { response, read: Vec::new() })
    }

    /// The next event; none when the server has ended the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("events are text");
                match parsed(block.trim_end_matches('\n')) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            match self.response.chunk().await.expect("the stream is whole") {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => {
                    assert_eq!(self.read, b"", "an event is cut short");
                    return None;
                }
            }
        }
    }

    /// All that come until the server ends the stream.
    pub async fn all(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The event that a block of lines is; none if it is a comment.
fn parsed(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (None, None, None);
    for line in block.split('\n').filter(|line| !line.starts_with(':')) {
        let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is no field"));
        let into = match field {
            "id" => &mut id,
            "event" => &mut name,
            "data" => &mut data,
            _ => panic!("{field:?} is no field that the server sends"),
        };
        assert_eq!(into.replace(value.to_owned()), None, "{field} is there twice: {block}");
    }
    let (Some(id), Some(name), Some(data)) = (id, name, data) else {
        assert!(block.starts_with(':'), "{block:?} is no event");
        return None;
    };
    let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{data}: {error}"));
    Contract::published().check_event(&name, &data);
    Some(Event { id, name, data })
}
