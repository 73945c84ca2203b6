//! Requests as no client would send them.
//!
//! Comes in: bytes, as they come from a connection; in place of `KEY` they have a
//! valid key, since none could be guessed.
//!
//! Promise: whatever is sent, the server does not fail, each refusal has the one
//! shape, and what is sent of some content is what the answer says it is.

use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;
use hyper_util::server::graceful::GracefulShutdown;
use percent_encoding::percent_decode_str;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use super::*;
use crate::clock::Clock;
use crate::engine::CompileLimits;
use crate::engine::Engine;
use crate::engine::EngineConfig;
use crate::http::Readers;
use crate::http::content::Bytes;
use crate::http::content::Meta;
use crate::http::places::Places;
use crate::http::wire::whole_body;
use crate::model::caller::Scope;
use crate::model::quota::Quota;
use crate::queue::admission::UnknownSessions;
use crate::service::Settings;
use crate::store::Store;
use crate::store::StoreConfig;

const CONTENT: &[u8] = b"0123456789";

/// Longer than an answer takes, and short enough to wait for one that does not come.
const PATIENCE: Duration = Duration::from_millis(20);

/// A server, connection by connection.
struct Server {
    runtime: Mutex<tokio::runtime::Runtime>,
    router: Router,
    key: String,
    listener: TcpListener,
    places: Places,
    graceful: GracefulShutdown,
    _home: TempDir,
}

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

impl Server {
    fn start() -> Server {
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (data, work) = (home.path().join("data"), Some(home.path().join("work")));
        let config = StoreConfig { data, work, work_bytes_max: 1 << 20, quota: Quota::of_machine(4, 1) };
        let store = Store::open(config).expect("a new store");
        let engine = Engine::start(EngineConfig {
            seats: 1,
            open_files_max: crate::limits::OPEN_FILES_MAX,
            memory_bytes_max: u64::MAX,
            compile: CompileLimits::default(),
        })
        .expect("an engine");
        let settings = Settings {
            slots: 1,
            queue_max: 10,
            unknown_sessions: UnknownSessions::Serialize,
            sweep_interval: Duration::from_secs(3_600),
            reply_timeout: Duration::from_secs(1),
        };
        let (service, key, listener) = runtime.block_on(async {
            let service = Service::start(store, engine, settings, Clock::system()).await.expect("a service");
            let (tenant, principal) = ("t".parse().expect("a name"), "p".parse().expect("a name"));
            service.create_tenant(tenant).await.expect("a first tenant");
            let scopes = [Scope::Submit, Scope::Modules, Scope::Admin].into();
            let (_, key) = service.create_key("t".parse().expect("a name"), principal, scopes).await.expect("a key");
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            (service, key, listener)
        });
        let router = router(service, Readers::Anybody).layer(axum::middleware::map_response(checked));
        let (places, graceful) = (Places::new(100), GracefulShutdown::new());
        Server { runtime: Mutex::new(runtime), router, key, listener, places, graceful, _home: home }
    }

    /// What a connection is answered that sends this and no more.
    async fn answer(&self, request: &[u8]) -> Vec<u8> {
        let address = self.listener.local_addr().expect("it is bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), self.listener.accept());
        let (mut client, (stream, _)) = (client.expect("a connection"), accepted.expect("the same connection"));
        // Its end leaves nothing behind, or ports would run out.
        client.set_zero_linger().expect("an open socket");
        let patience = Patience { head: PATIENCE, body: PATIENCE, idle: PATIENCE, write: PATIENCE };
        server::connect(stream, &self.router, patience, &self.places, &self.graceful);
        let (mut from, mut to) = client.split();
        let mut answer = Vec::new();
        let talk = async {
            // The server may have had enough before the end, and says so or not.
            let (_, _) = tokio::join!(to.write_all(request), from.read_to_end(&mut answer));
        };
        let _ = tokio::time::timeout(100 * PATIENCE, talk).await;
        answer
    }
}

/// See [`fuzzing`](crate::fuzzing).
pub fn headers(bytes: &[u8]) {
    let server = &*SERVER;
    let request = with_key(bytes, &server.key);
    let runtime = server.runtime.lock().expect("an input that panics is the last one");
    let answer = runtime.block_on(server.answer(&request));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    let headers = header_map(bytes);
    for size in [0, CONTENT.len()] {
        runtime.block_on(check_content(&headers, &CONTENT[..size]));
    }
    check_location(&String::from_utf8_lossy(bytes));
}

/// What a request is answered, as it comes from the connection.
#[cfg(test)]
pub(super) fn answer_to(request: &[u8]) -> Vec<u8> {
    let server = &*SERVER;
    let runtime = server.runtime.lock().expect("an input that panics is the last one");
    runtime.block_on(server.answer(&with_key(request, &server.key)))
}

fn with_key(bytes: &[u8], key: &str) -> Vec<u8> {
    let mut request = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(3).position(|word| word == b"KEY") {
        request.extend_from_slice(&rest[..at]);
        request.extend_from_slice(key.as_bytes());
        rest = &rest[at + 3..];
    }
    request.extend_from_slice(rest);
    request
}

/// What must hold of every answer.
async fn checked(response: Response) -> Response {
    let (status, headers) = (response.status(), response.headers());
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{response:?}");
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(kind, Some(&b"application/problem+json"[..]), "{response:?}");
    }
    response
}

/// The lines that are headers.
fn header_map(bytes: &[u8]) -> HeaderMap {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let header = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(header).take(100) {
        headers.append(name, value);
    }
    headers
}

/// A part is the part that its answer names, and everything else is the whole,
/// nothing, or a refusal.
async fn check_content(request: &HeaderMap, content: &[u8]) {
    let meta = Meta {
        size: content.len() as u64,
        etag: Some("tag".to_owned()),
        modified_at: None,
        kind: HeaderValue::from_static("text/plain"),
    };
    let Ok(response) = content::answer(request, meta, Bytes::Memory(content.to_vec())) else { return };
    let (head, body) = response.into_parts();
    let body = whole_body(body, 1 << 20).await.unwrap_or_else(|_| panic!("it is in memory"));
    let range = head.headers.get(header::CONTENT_RANGE).map(|range| range.to_str().expect("it is ours").to_owned());
    match head.status {
        StatusCode::OK => assert_eq!((&body[..], range), (content, None)),
        StatusCode::PARTIAL_CONTENT => {
            let (first, last) = part(range.as_deref(), content.len());
            assert_eq!(&body[..], &content[first..=last], "{range:?}");
        }
        StatusCode::NOT_MODIFIED => assert!(body.is_empty()),
        StatusCode::RANGE_NOT_SATISFIABLE => assert_eq!(range, Some(format!("bytes */{}", content.len()))),
        status => panic!("{status} for {request:?}"),
    }
}

/// The first byte and the last.
fn part(range: Option<&str>, size: usize) -> (usize, usize) {
    let read = || {
        let (part, whole) = range?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = part.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?, whole.parse::<usize>().ok()?))
    };
    let (first, last, whole): (usize, usize, usize) = read().expect("a part is named");
    assert!(first <= last && last < size && whole == size, "{range:?}");
    (first, last)
}

/// What is put into a `Location` comes out of it again, and is one line of it.
fn check_location(text: &str) {
    let location = content::location(&[text]);
    assert!(HeaderValue::from_str(&location).is_ok() && location.matches('/').count() == 1, "{location}");
    assert_eq!(percent_decode_str(&location[1..]).decode_utf8().as_deref(), Ok(text));
}
