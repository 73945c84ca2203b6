//! What the server publishes about its API, and every answer held against it.
//!
//! Promise: a test that gets an answer which the document does not describe fails, whatever
//! it was looking for. So does one whose request was accepted though the document does not
//! allow it. Unknown fields and headers count as wrong.
//!
//! Not here: whether the document is what was promised (`it/openapi.rs`).

use std::collections::HashMap;
use std::sync::OnceLock;

use boon::Compiler;
use boon::SchemaIndex;
use boon::Schemas;
use reqwest::Request;
use serde_json::Map;
use serde_json::Value;

use crate::Answer;
use crate::Settings;
use crate::Wire;

/// Headers that any answer of any server may have, those that all of ours have, and what
/// browsers are told with the dashboard.
const ORDINARY: &[&str] = &[
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "referrer-policy",
    "transfer-encoding",
    "x-content-type-options",
];

/// Under this name the document is known to itself.
const NAME: &str = "http://sessile.test/openapi.json";

/// The document, ready to be held against answers.
pub struct Contract {
    operations: Vec<Operation>,
    schemas: Schemas,
    /// The document as it came.
    pub document: Value,
}

struct Operation {
    method: String,
    parts: Vec<Option<String>>,
    /// Its last name may hold slashes.
    holds_slashes: bool,
    queries: HashMap<String, SchemaIndex>,
    body: Option<SchemaIndex>,
    responses: HashMap<String, Response>,
}

struct Response {
    headers: HashMap<String, Header>,
    /// By media type; `None` if there is no schema for the bytes.
    content: HashMap<String, Option<SchemaIndex>>,
    events: HashMap<String, SchemaIndex>,
}

struct Header {
    is_always_there: bool,
    schema: SchemaIndex,
}

/// What was asked, as far as the document has a word for it.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub queries: Vec<(String, String)>,
    /// What is no JSON is refused; other tests see to that.
    pub json: Option<Value>,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        let is_json = request.headers().get("content-type").is_some_and(|kind| kind == "application/json");
        let bytes = request.body().filter(|_| is_json).and_then(|body| body.as_bytes());
        Self {
            method: request.method().as_str().to_ascii_lowercase(),
            path: request.url().path().to_owned(),
            queries: request.url().query_pairs().into_owned().collect(),
            json: bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()),
        }
    }
}

impl Contract {
    /// What the server publishes; asked once, of a server of its own, so that no test's server is asked more than
    /// the test asks.
    pub fn published() -> &'static Contract {
        static PUBLISHED: OnceLock<Contract> = OnceLock::new();
        PUBLISHED.get_or_init(|| {
            let server = Settings::default().start_unheld();
            let heard = Wire::open(&server).get(&server, "/openapi.json").hear();
            assert_eq!(heard.status, 200, "there is no document");
            Contract::read(serde_json::from_slice(&heard.body).expect("the document is JSON"))
        })
    }

    fn read(document: Value) -> Contract {
        let mut closed = document.clone();
        closed["components"]["schemas"].as_object_mut().into_iter().flat_map(Map::values_mut).for_each(close);
        let mut reader = Reader { compiler: Compiler::new(), schemas: Schemas::new() };
        reader.compiler.add_resource(NAME, closed.clone()).expect("it is JSON");
        let mut operations = Vec::new();
        for (path, item) in fields(&closed["paths"]) {
            for (method, operation) in fields(item) {
                let at = format!("/paths/{}/{method}", escaped(path));
                operations.push(reader.operation(&closed, &at, path, method, operation));
            }
        }
        Contract { operations, schemas: reader.schemas, document }
    }

    /// Panics if the answer is not as the document says.
    pub(crate) fn check(&self, asked: &Asked, answer: &Answer) {
        let wrong = self.wrong(asked, answer);
        assert!(
            wrong.is_empty(),
            "/openapi.json does not say so: {} was answered {} {}: {wrong:#?}",
            answer.asked,
            answer.status,
            answer.text().chars().take(2_000).collect::<String>()
        );
    }

    /// What the document does not say of this answer.
    pub fn wrong(&self, asked: &Asked, answer: &Answer) -> Vec<String> {
        let here: Vec<&Operation> = self.operations.iter().filter(|operation| operation.is_at(&asked.path)).collect();
        let operation = here.iter().find(|operation| operation.method == asked.method);
        // It says once, for all, that `HEAD` is taken wherever `GET` is.
        let operation =
            operation.or_else(|| here.iter().find(|operation| asked.method == "head" && operation.method == "get"));
        let Some(operation) = operation else {
            // A stranger is told that first, and what is no request at all does not get as far as an address.
            let expected: &[u16] =
                if here.is_empty() { &[401, 404, 400, 429, 431] } else { &[401, 405, 400, 429, 431] };
            let is_expected = expected.contains(&answer.status);
            return if is_expected { Vec::new() } else { vec!["there is no such operation".to_owned()] };
        };
        let mut wrong = self.wrong_answer(operation, asked, answer);
        if (200..300).contains(&answer.status) {
            wrong.extend(self.wrong_request(operation, asked));
        }
        wrong
    }

    fn wrong_request(&self, operation: &Operation, asked: &Asked) -> Vec<String> {
        let mut wrong: Vec<String> = asked
            .queries
            .iter()
            .filter(|(name, value)| !operation.queries.get(name).is_some_and(|schema| self.is_valid(value, *schema)))
            .map(|(name, value)| format!("the query `{name}={value}` was accepted"))
            .collect();
        if let (Some(json), Some(schema)) = (&asked.json, operation.body) {
            wrong.extend(self.invalid(json, schema).map(|why| format!("the request was accepted: {why}")));
        }
        wrong
    }

    fn wrong_answer(&self, operation: &Operation, asked: &Asked, answer: &Answer) -> Vec<String> {
        let kind = answer.header("content-type");
        let status = answer.status.to_string();
        let refusal = operation.responses.get("default").filter(|_| answer.status >= 400);
        let Some(response) = operation.responses.get(&status).or(refusal) else {
            return vec!["the status is not listed".to_owned()];
        };
        let mut wrong = self.wrong_headers(response, answer);
        if asked.method == "head" {
            return wrong;
        }
        match kind.and_then(|kind| response.content.get(kind)) {
            Some(None) => {}
            Some(Some(schema)) if kind.is_some_and(|kind| kind.contains("json")) => {
                wrong.extend(self.invalid(&answer.json(), *schema));
            }
            Some(Some(_)) => {
                wrong.extend(std::str::from_utf8(&answer.body).err().map(|error| error.to_string()));
            }
            None if kind.is_none() && response.content.is_empty() && answer.body.is_empty() => {}
            None => wrong.push(format!("the content type {kind:?} is not listed")),
        }
        wrong
    }

    /// Panics if an event's data is not as the document says.
    pub(crate) fn check_event(&self, name: &str, data: &Value) {
        let follow = self.operations.iter().find(|operation| operation.is_at("/v1/jobs/j/events"));
        let response = follow.and_then(|operation| operation.responses.get("200")).expect("events are described");
        let schema = response.events.get(name).unwrap_or_else(|| panic!("/openapi.json has no event `{name}`"));
        if let Some(why) = self.invalid(data, *schema) {
            panic!("/openapi.json does not say so of the event `{name}`: {why}: {data}");
        }
    }

    fn wrong_headers(&self, response: &Response, answer: &Answer) -> Vec<String> {
        let absent =
            response.headers.iter().filter(|(name, header)| header.is_always_there && answer.header(name).is_none());
        let mut wrong: Vec<String> = absent.map(|(name, _)| format!("the header `{name}` is not there")).collect();
        for name in answer.headers.keys().map(|name| name.as_str()) {
            let value = answer.header(name).unwrap_or_default();
            match response.headers.get(name) {
                Some(header) if self.is_valid(value, header.schema) => {}
                Some(_) => wrong.push(format!("the header `{name}` is `{value}`")),
                None if ORDINARY.contains(&name) => {}
                None => wrong.push(format!("the header `{name}` is not listed")),
            }
        }
        wrong
    }

    /// Whether a text outside of JSON can be read as something that the schema allows.
    fn is_valid(&self, text: &str, schema: SchemaIndex) -> bool {
        let mut readings = vec![Value::from(text), Value::from(vec![text])];
        readings
            .extend(serde_json::from_str(text).ok().filter(|value: &Value| value.is_number() || value.is_boolean()));
        readings.iter().any(|reading| self.invalid(reading, schema).is_none())
    }

    fn invalid(&self, value: &Value, schema: SchemaIndex) -> Option<String> {
        self.schemas.validate(value, schema).err().map(|error| format!("{error:#}"))
    }
}

/// Makes operations out of what is said of them.
struct Reader {
    compiler: Compiler,
    schemas: Schemas,
}

impl Reader {
    fn operation(&mut self, document: &Value, at: &str, path: &str, method: &str, said: &Value) -> Operation {
        let parameters: Vec<&Value> = said["parameters"].as_array().into_iter().flatten().collect();
        let queries = parameters.iter().enumerate().filter(|(_, parameter)| parameter["in"] == "query");
        let queries = queries.map(|(number, parameter)| {
            let name = parameter["name"].as_str().expect("a parameter has a name");
            (name.to_owned(), self.schema(&format!("{at}/parameters/{number}/schema")))
        });
        let queries = queries.collect();
        let body = said.pointer("/requestBody/content/application~1json/schema");
        let responses = fields(&said["responses"]).map(|(status, response)| {
            let (at, response) = resolved(document, format!("{at}/responses/{status}"), response);
            (status.clone(), self.response(document, &at, response))
        });
        let responses = responses.collect();
        Operation {
            method: method.to_owned(),
            parts: path.split('/').map(|part| (!part.starts_with('{')).then(|| part.to_owned())).collect(),
            holds_slashes: parameters.iter().any(|parameter| parameter["x-holds-slashes"] == true),
            queries,
            body: body.map(|_| self.schema(&format!("{at}/requestBody/content/application~1json/schema"))),
            responses,
        }
    }

    fn response(&mut self, document: &Value, at: &str, said: &Value) -> Response {
        let headers = fields(&said["headers"]).map(|(name, header)| {
            let (at, header) = resolved(document, format!("{at}/headers/{name}"), header);
            let schema = self.schema(&format!("{at}/schema"));
            (name.to_ascii_lowercase(), Header { is_always_there: header["required"] == true, schema })
        });
        let headers = headers.collect();
        let (mut content, mut events) = (HashMap::new(), HashMap::new());
        for (kind, said) in fields(&said["content"]) {
            let at = format!("{at}/content/{}", escaped(kind));
            content.insert(kind.clone(), said.get("schema").map(|_| self.schema(&format!("{at}/schema"))));
            for (name, _) in fields(&said["x-events"]) {
                events.insert(name.clone(), self.schema(&format!("{at}/x-events/{name}")));
            }
        }
        Response { headers, content, events }
    }

    /// The schema that lies at a place in the document.
    fn schema(&mut self, at: &str) -> SchemaIndex {
        let compiled = self.compiler.compile(&format!("{NAME}#{}", percent(at)), &mut self.schemas);
        compiled.unwrap_or_else(|error| panic!("{at} is no schema: {error:#}"))
    }
}

impl Operation {
    fn is_at(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |(part, known): (&&str, &Option<String>)| match known {
            Some(known) => part == known,
            None => !part.is_empty() || self.holds_slashes,
        };
        let is_as_long = parts.len() == self.parts.len() || self.holds_slashes && parts.len() > self.parts.len();
        is_as_long && parts.iter().zip(&self.parts).all(fits)
    }
}

/// What is said somewhere, or what it refers to, and where that is said.
fn resolved<'v>(document: &'v Value, at: String, said: &'v Value) -> (String, &'v Value) {
    match said["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => (pointer.to_owned(), document.pointer(pointer).expect("a reference leads somewhere")),
        None => (at, said),
    }
}

/// An answer may have no field that is not listed: what clients are not told of is forgotten.
fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) && !fields.contains_key("additionalProperties") {
                fields.insert("unevaluatedProperties".to_owned(), false.into());
            }
            fields.values_mut().for_each(close);
        }
        _ => {}
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A JSON pointer as a part of an address.
fn percent(pointer: &str) -> String {
    pointer.replace('{', "%7B").replace('}', "%7D").replace(' ', "%20")
}
