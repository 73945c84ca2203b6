//! Puts the document together, operation by operation.
//!
//! Promise: what is so for every operation is written here once: the names in its path,
//! `Request-Id`, and the refusals that have nothing to do with what it does.

use std::collections::BTreeMap;

use axum::http::Method;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::headers;
use super::headers::Header;
use super::paths;
use super::schemas::Schemas;
use crate::http::problem::Code;
use crate::http::problem::ProblemBody;
use crate::limits;
use crate::model::caller::Scope;

/// The name of the security scheme.
pub(super) const API_KEY: &str = "apiKey";

/// What any request may be answered, whatever it asks for.
const ANY: &[Code] = &[Code::RequestTimeout, Code::HeadTooLarge, Code::StorageFull, Code::Internal, Code::Unavailable];

/// All operations, as far as they were described.
pub(super) struct Api {
    schemas: Schemas,
    paths: Map<String, Value>,
    responses: Map<String, Value>,
}

/// Whether a request must have a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Required,
    Optional,
}

/// One operation that is being described; [`refuses`](Operation::refuses) is its end.
pub(super) struct Operation<'a> {
    api: &'a mut Api,
    method: Method,
    path: &'static str,
    fields: Map<String, Value>,
    scopes: &'static [Scope],
    parameters: Vec<Value>,
    answers: Vec<(u16, Value)>,
    codes: Vec<Code>,
    has_head: bool,
}

impl Api {
    pub(super) fn new() -> Self {
        Self { schemas: Schemas::new(), paths: Map::new(), responses: Map::new() }
    }

    /// Begins with the operation that `method` is at `path`, as the router spells it.
    pub(super) fn on(
        &mut self,
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Operation<'_> {
        let mut fields = Map::new();
        fields.insert("operationId".to_owned(), id.into());
        fields.insert("summary".to_owned(), summary.into());
        fields.insert("tags".to_owned(), json!([paths::tag(path)]));
        let (parameters, answers, codes) = (paths::parameters(path), Vec::new(), Vec::new());
        Operation { api: self, method, path, fields, scopes: &[], parameters, answers, codes, has_head: false }
    }

    /// The paths, and the components that they name.
    pub(super) fn finish(self) -> (Value, Value) {
        let components = json!({
            "schemas": self.schemas.finish(),
            "responses": self.responses,
            "parameters": { "RequestId": headers::REQUEST_ID.parameter() },
            "headers": { "RequestId": headers::REQUEST_ID.answered(true) },
            "securitySchemes": { API_KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key of one principal of one tenant. The scopes that an operation needs stand in its `security`: \
                    any one of the alternatives is enough.",
            } },
        });
        (self.paths.into(), components)
    }

    /// The refusals of one status, as a component that is made once.
    fn refusal(&mut self, status: Option<StatusCode>, codes: &[Code]) -> Value {
        let name: Vec<String> = codes.iter().map(|code| pascal(code.word())).collect();
        let name = if status.is_none() { "Any".to_owned() } else { name.join("-or-") };
        if !self.responses.contains_key(&name) {
            let mut headers = json!({ "Request-Id": { "$ref": "#/components/headers/RequestId" } });
            let mut add = |header: &Header, required| headers[header.name] = header.answered(required);
            add(&headers::SESSION_ID, false);
            match status.map(|status| status.as_u16()) {
                Some(401) => add(&headers::WWW_AUTHENTICATE, true),
                Some(416) => {
                    add(&headers::CONTENT_RANGE, true);
                    add(&headers::SESSION_COMMIT, false);
                    add(&headers::VARY, false);
                }
                Some(422) if codes.contains(&Code::JobFailed) => {
                    add(&headers::JOB_ID, false);
                    add(&headers::JOB_SESSION_ACTIVE, false);
                    add(&headers::SESSION_KEY, false);
                }
                Some(429 | 503) => add(&headers::RETRY_AFTER, true),
                None => {
                    add(&headers::RETRY_AFTER, false);
                    add(&headers::JOB_ID, false);
                    add(&headers::JOB_SESSION_ACTIVE, false);
                    add(&headers::SESSION_KEY, false);
                }
                _ => {}
            }
            let words: Vec<&str> = codes.iter().map(|code| code.word()).collect();
            let mut schema = self.schemas.written::<ProblemBody<'static>>();
            schema["properties"] = json!({ "code": { "enum": words } });
            let lines = codes.iter().map(|code| format!("`{}`: {}.", code.word(), code.title()));
            let response = json!({
                "description": lines.collect::<Vec<_>>().join(" "),
                "headers": headers,
                "content": { "application/problem+json": { "schema": schema } },
            });
            self.responses.insert(name.clone(), response);
        }
        json!({ "$ref": format!("#/components/responses/{name}") })
    }
}

impl Operation<'_> {
    /// More than the summary says.
    pub(super) fn more(mut self, description: impl Into<String>) -> Self {
        self.fields.insert("description".to_owned(), description.into().into());
        self
    }

    /// A key with one of these scopes is needed.
    pub(super) fn needs(mut self, scopes: &'static [Scope]) -> Self {
        self.scopes = scopes;
        self
    }

    /// A key may be needed, as the server's settings say.
    pub(super) fn may_need(mut self, scope: Scope) -> Self {
        self.fields.insert("security".to_owned(), json!([{}, { API_KEY: [scope.to_string()] }]));
        self.codes.extend([Code::Unauthorized, Code::Forbidden, Code::RateLimited]);
        self
    }

    /// Headers that mean something in the request.
    pub(super) fn takes(mut self, headers: &[&Header]) -> Self {
        self.parameters.extend(headers.iter().map(|header| header.parameter()));
        self
    }

    /// The names of its query string.
    pub(super) fn asked<T: JsonSchema>(mut self) -> Self {
        self.parameters.extend(self.api.schemas.query::<T>());
        self
    }

    /// Names of its query string, written out.
    pub(super) fn asked_as(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// A name in its path that is another kind of name than there usually.
    pub(super) fn named<T: JsonSchema>(mut self, name: &str, says: &str) -> Self {
        let parameter = self.parameters.iter_mut().find(|parameter| parameter["name"] == name);
        let parameter = parameter.expect("the path has that name");
        parameter["schema"] = self.api.schemas.read::<T>();
        parameter["description"] = says.into();
        self
    }

    /// A body of JSON.
    pub(super) fn json_body<T: JsonSchema>(mut self, body: Body) -> Self {
        let schema = self.api.schemas.read::<T>();
        let content = json!({ "application/json": { "schema": schema } });
        let (bytes, depth) = (limits::JSON_BYTES_MAX, limits::JSON_DEPTH_MAX);
        let body = json!({
            "description": format!("At most {bytes} bytes, and nested at most {depth} levels deep."),
            "required": body == Body::Required,
            "content": content,
        });
        self.fields.insert("requestBody".to_owned(), body);
        self.codes.extend([Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType]);
        self
    }

    /// A body of bytes.
    pub(super) fn bytes_body(mut self, description: &str, types: &[&str]) -> Self {
        let content: Map<_, _> = types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
        self.fields.insert(
            "requestBody".to_owned(),
            json!({ "description": description, "required": false, "content": content }),
        );
        self.codes.push(Code::RequestTimeout);
        self
    }

    /// A success, with the headers that it always and that it sometimes has.
    pub(super) fn answers(mut self, status: u16, says: &str, always: &[&Header], maybe: &[&Header]) -> Self {
        let mut headers = json!({ "Request-Id": { "$ref": "#/components/headers/RequestId" } });
        for (header, required) in always.iter().map(|h| (h, true)).chain(maybe.iter().map(|h| (h, false))) {
            headers[header.name] = header.answered(required);
        }
        self.answers.push((status, json!({ "description": says, "headers": headers })));
        self
    }

    /// The last answer has JSON.
    pub(super) fn json<T: JsonSchema>(mut self) -> Self {
        let schema = self.api.schemas.written::<T>();
        self.content("application/json", json!({ "schema": schema }));
        self
    }

    /// The last answer has bytes.
    pub(super) fn bytes(mut self, kind: &str) -> Self {
        self.content(kind, json!({}));
        self
    }

    /// The last answer has text.
    pub(super) fn text(mut self, kind: &str) -> Self {
        self.content(kind, json!({ "schema": { "type": "string" } }));
        self
    }

    /// The last answer is a stream of events; each has data of the schema that is told for it.
    pub(super) fn events(mut self, says: &str, data: impl FnOnce(&mut Schemas) -> Value) -> Self {
        let events = data(&mut self.api.schemas);
        self.content(
            "text/event-stream",
            json!({ "schema": { "type": "string", "description": says }, "x-events": events }),
        );
        self
    }

    fn content(&mut self, kind: &str, content: Value) {
        let (_, answer) = self.answers.last_mut().expect("content belongs to an answer");
        answer["content"][kind] = content;
    }

    /// `HEAD` is asked here too.
    pub(super) fn and_head(mut self) -> Self {
        self.has_head = true;
        self
    }

    /// The refusals that are its own. The description is complete.
    pub(super) fn refuses(mut self, codes: &[Code]) {
        let is_for_anybody = self.scopes.is_empty();
        if is_for_anybody {
            self.fields.entry("security").or_insert_with(|| json!([]));
        } else {
            // Which allows everything.
            let root = [Scope::Root].iter().filter(|root| !self.scopes.contains(root));
            let alternatives = self.scopes.iter().chain(root).map(|scope| json!({ API_KEY: [scope.to_string()] }));
            let alternatives: Vec<Value> = alternatives.collect();
            self.fields.insert("security".to_owned(), alternatives.into());
            self.codes.extend([Code::Unauthorized, Code::Forbidden, Code::RateLimited]);
        }
        self.codes.push(Code::InvalidRequest);
        self.codes.extend(codes);
        let mut responses: BTreeMap<String, Value> =
            self.answers.iter().map(|(status, answer)| (status.to_string(), answer.clone())).collect();
        for (status, codes) in by_status(&self.codes) {
            responses.insert(status.as_str().to_owned(), self.api.refusal(Some(status), &codes));
        }
        responses.insert("default".to_owned(), self.api.refusal(None, ANY));
        self.parameters.push(json!({ "$ref": "#/components/parameters/RequestId" }));
        self.fields.insert("parameters".to_owned(), self.parameters.clone().into());
        self.fields.insert("responses".to_owned(), json!(responses));
        self.enter();
    }

    fn enter(self) {
        let item = self.api.paths.entry(paths::template(self.path)).or_insert_with(|| json!({}));
        let method = self.method.as_str().to_ascii_lowercase();
        assert!(item.get(&method).is_none(), "{method} {} is described twice", self.path);
        if self.has_head {
            item["head"] = head(&self.fields);
        }
        item[method] = self.fields.into();
    }
}

/// The same operation without what only its body is for.
fn head(get: &Map<String, Value>) -> Value {
    let mut head = Value::Object(get.clone());
    let id = get["operationId"].as_str().unwrap_or_default();
    head["operationId"] = format!("head{}", pascal(id.trim_start_matches("get"))).into();
    head["summary"] = format!("{} Only the headers.", get["summary"].as_str().unwrap_or_default()).into();
    for response in head["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        response.as_object_mut().map(|response| response.remove("content"));
    }
    head
}

/// Codes by the status that they have, each once.
fn by_status(codes: &[Code]) -> Vec<(StatusCode, Vec<Code>)> {
    let mut by_status: Vec<(StatusCode, Vec<Code>)> = Vec::new();
    // In the order of the list of all codes, so that the same set has the same name.
    for code in Code::ALL.into_iter().filter(|code| codes.contains(code)) {
        match by_status.iter_mut().find(|(status, _)| *status == code.status()) {
            Some((_, same)) => same.push(code),
            None => by_status.push((code.status(), vec![code])),
        }
    }
    by_status
}

/// `a-word` as `AWord`.
fn pascal(word: &str) -> String {
    let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    word.split('-').filter(|part| !part.is_empty()).map(capital).collect()
}
