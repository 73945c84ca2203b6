//! The addresses of the router as the document spells them, and the names in them.

use schemars::JsonSchema;
use schemars::SchemaGenerator;
use serde_json::Value;
use serde_json::json;

use super::words;

/// The nouns, and what each is.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("modules", "WebAssembly that jobs run: immutable versions under a name."),
    ("sessions", "A directory, parameters and a queue under one id."),
    ("jobs", "One run of a module, in a session or outside of any."),
    ("run", "A job whose stdin is the request and whose stdout is the answer, both as they come."),
    ("admin", "Tenants, their keys and quotas, for the operator."),
    ("server", "The server itself."),
];

/// The noun that an address is about.
pub(super) fn tag(path: &str) -> &str {
    match path.strip_prefix("/v1/") {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => "server",
    }
}

/// As OpenAPI spells it: it has no word for a name that may hold slashes.
pub(super) fn template(path: &str) -> String {
    path.replace("{*", "{")
}

/// The names in an address.
pub(super) fn parameters(path: &str) -> Vec<Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let named = parts.windows(2).filter_map(|pair| {
        let name = pair[1].strip_prefix('{')?.strip_suffix('}')?;
        Some(parameter(pair[0], name.trim_start_matches('*'), name.starts_with('*')))
    });
    named.collect()
}

/// The name that follows `noun` in an address.
fn parameter(noun: &str, name: &str, is_rest: bool) -> Value {
    let (says, schema) = match (noun, name) {
        ("sessions", _) => ("The session's id.", schema::<words::Id>()),
        ("jobs", _) => ("The job's id.", schema::<words::Id>()),
        ("modules", _) => ("The module's name.", schema::<words::Name>()),
        ("run", _) => ("The module: `name`, `name@3` or `name@sha256:…`.", schema::<words::ModuleReference>()),
        ("params", _) => ("The parameter's name.", schema::<words::ParamName>()),
        ("files", _) => (
            "The path in the session's directory; slashes may be sent as they are or as `%2F`.",
            schema::<words::FilePath>(),
        ),
        ("commits", _) => ("The commit's number.", schema::<u64>()),
        ("versions", _) => ("The version's number.", schema::<u32>()),
        ("tenants", _) => ("The tenant's name.", schema::<words::Name>()),
        ("keys", _) => ("The key's id.", json!({ "type": "string" })),
        ("ui", _) => ("The file's name.", json!({ "type": "string" })),
        ("problems", _) => ("The code.", schema::<words::CodeWord>()),
        _ => panic!("say in this list what `{name}` behind `{noun}` is"),
    };
    let mut parameter = json!({ "name": name, "in": "path", "required": true, "description": says, "schema": schema });
    if is_rest {
        parameter["x-holds-slashes"] = true.into();
    }
    parameter
}

fn schema<T: JsonSchema>() -> Value {
    T::json_schema(&mut SchemaGenerator::default()).into()
}
