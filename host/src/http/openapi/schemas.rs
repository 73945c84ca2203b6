//! The schemas of bodies and query strings, from the types that serde reads and writes.
//!
//! Promise: each name stands for one schema. What is read (requests) refuses unknown
//! fields, as the server does; what is written says which fields are always there.

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::Map;
use serde_json::Value;

/// Collects the schemas that operations name.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        let read = settings().for_deserialize().with_transform(without_empty_defaults);
        let written = settings().for_serialize().with_transform(absent_or_there);
        Self { read: read.into_generator(), written: written.into_generator() }
    }

    /// What a request says.
    pub(super) fn read<T: JsonSchema>(&mut self) -> Value {
        self.read.subschema_for::<T>().into()
    }

    /// What an answer says.
    pub(super) fn written<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().into()
    }

    /// The names of a query string, each as a parameter of a request.
    pub(super) fn query<T: JsonSchema>(&mut self) -> Vec<Value> {
        let mut whole = T::json_schema(&mut self.read);
        without_empty_defaults(&mut whole);
        let properties = whole.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        properties.into_iter().map(|(name, schema)| parameter(&name, schema)).collect()
    }

    /// All that was named.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        for (name, schema) in self.written.take_definitions(true) {
            assert!(all.insert(name.clone(), schema).is_none(), "two schemas are named {name}");
        }
        all
    }
}

/// A query string has no `null`: what may be that is left out.
fn parameter(name: &str, mut schema: Value) -> Value {
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    not_null(&mut schema);
    serde_json::json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

/// A field that is left out is as good as `null`, so that default says nothing.
fn without_empty_defaults(schema: &mut Schema) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(Value::is_null),
        _ => false,
    };
    if schema.get("default").is_some_and(is_empty) {
        schema.remove("default");
    }
    transform_subschemas(&mut without_empty_defaults, schema);
}

/// What is written either leaves a field out or, if it always writes it, may write `null`; never both.
fn absent_or_there(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|names| names.iter().any(|known| known == name));
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.iter_mut().filter(|(name, _)| !is_required(name)).for_each(|(_, schema)| not_null(schema));
    }
    transform_subschemas(&mut absent_or_there, schema);
}

fn not_null(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let null = serde_json::json!({ "type": "null" });
    let only = schema.get_mut("anyOf").and_then(Value::as_array_mut).and_then(|choices| {
        choices.retain(|choice| *choice != null);
        if let [Value::Object(only)] = choices.as_slice() { Some(only.clone()) } else { None }
    });
    if let Some(only) = only {
        schema.remove("anyOf");
        schema.extend(only);
    }
}
