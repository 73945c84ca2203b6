//! Strings of the API that mean something, as JSON schemas: ids, names, times, and words
//! out of a fixed list.
//!
//! Promise: a list of words is read from the rules that print it, and a bound from
//! `limits`, so neither can be written twice.

use std::borrow::Cow;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;

use crate::http::problem::Code;
use crate::ids::NAME_BYTES_MAX;
use crate::limits;
use crate::model::caller::Scope;
use crate::model::entry::EntryKind;
use crate::model::history::Cause;
use crate::model::history::Change;
use crate::model::history::TransactionMode;
use crate::model::job::JobState;
use crate::model::outcome::Reason;
use crate::model::session::ListedState;

/// Makes types that stand for a schema, wherever a field is a plain string.
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident = $schema:expr;)*) => {
        $(
            $(#[doc = $doc])*
            pub(in crate::http) enum $name {}

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    $schema
                }
            }
        )*
    };
}

words! {
    /// A moment in UTC.
    Moment = json_schema!({ "type": "string", "format": "date-time" });
    /// The id of a session or job, or the name of a principal.
    Id = json_schema!({ "type": "string", "pattern": format!("^{}$", id()) });
    /// The name of a tenant or module.
    Name = json_schema!({ "type": "string", "pattern": format!("^{}$", name()) });
    /// A module, or one version of it.
    ModuleReference = json_schema!({
        "type": "string",
        "pattern": format!("^{}(@([0-9]+|{DIGEST}))?$", name()),
        "examples": ["letter", "letter@3"],
    });
    /// The SHA-256 of some bytes.
    Digest = json_schema!({ "type": "string", "pattern": format!("^{DIGEST}$") });
    /// A path in a session's directory.
    FilePath = json_schema!({ "type": "string", "minLength": 1, "maxLength": limits::PATH_BYTES_MAX });
    /// The name of a parameter.
    ParamName = json_schema!({ "type": "string", "minLength": 1, "maxLength": limits::PARAM_NAME_BYTES_MAX });
    /// Parameters by their names.
    Params = json_schema!({
        "type": "object",
        "maxProperties": limits::PARAMS_MAX,
        "propertyNames": { "minLength": 1, "maxLength": limits::PARAM_NAME_BYTES_MAX },
        "additionalProperties": { "type": "string", "maxLength": limits::PARAM_VALUE_BYTES_MAX },
    });
    /// New values of parameters; `null` deletes one.
    ParamsChange = json_schema!({
        "type": "object",
        "propertyNames": { "minLength": 1, "maxLength": limits::PARAM_NAME_BYTES_MAX },
        "additionalProperties": { "type": ["string", "null"], "maxLength": limits::PARAM_VALUE_BYTES_MAX },
    });
    /// Environment variables by their names.
    Variables = json_schema!({
        "type": "object",
        "maxProperties": limits::ENV_MAX,
        "propertyNames": { "pattern": "^[^=\\u0000]+$", "not": { "pattern": "^SESSILE_" } },
        "additionalProperties": { "type": "string" },
    });
    /// Labels by their names.
    Labels = json_schema!({
        "type": "object",
        "maxProperties": limits::LABELS_MAX,
        "propertyNames": { "pattern": "^[^=]+$", "maxLength": limits::LABEL_BYTES_MAX },
        "additionalProperties": { "type": "string", "maxLength": limits::LABEL_BYTES_MAX },
    });
    /// How many items a page of a list has.
    Limit = json_schema!({ "type": "integer", "minimum": 1, "maximum": limits::PAGE_MAX, "default": limits::PAGE_DEFAULT });
    CodeWord = one_of(Code::ALL.map(Code::word));
    JobStateWord = one_of(JobState::ALL.map(JobState::word));
    ReasonWord = one_of(Reason::ALL.map(Reason::word));
    SessionStateWord = one_of(ListedState::ALL.map(ListedState::word));
    TransactionWord = one_of(TransactionMode::ALL.map(TransactionMode::word));
    EntryKindWord = one_of(EntryKind::ALL.map(EntryKind::word));
    ChangeWord = one_of(Change::ALL.map(Change::word));
    CauseWord = one_of(Cause::ALL.map(Cause::word));
    ScopeWord = one_of(Scope::ALL.map(|scope| scope.to_string()));
}

const DIGEST: &str = "sha256:[0-9a-f]{64}";

fn id() -> String {
    format!("[A-Za-z0-9][A-Za-z0-9._-]{{0,{}}}", NAME_BYTES_MAX - 1)
}

fn name() -> String {
    format!("[a-z0-9][a-z0-9._-]{{0,{}}}", NAME_BYTES_MAX - 1)
}

fn one_of<W: serde::Serialize, const N: usize>(words: [W; N]) -> Schema {
    json_schema!({ "type": "string", "enum": words.as_slice() })
}
