//! The document is whole, and has the operations of the router and no others.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::fuzzing;
use crate::http::metrics::Route;

use super::*;

const METHODS: [&str; 8] = ["get", "head", "put", "post", "patch", "delete", "options", "trace"];

/// Every operation: its address, its method, and what is said of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&'_ String, &'_ Value)| -> Vec<(String, String)> {
        item.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())).collect()
    };
    assert!(paths.iter().flat_map(of_path).all(|(_, method)| METHODS.contains(&method.as_str())));
    let items = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    items.collect()
}

/// Every value in the document.
fn walk<'v>(value: &'v Value, see: &mut impl FnMut(&'v Value)) {
    see(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Object(fields) => fields.values().for_each(|field| walk(field, see)),
        _ => {}
    }
}

/// What the router takes at an address, as it says itself.
fn allowed(path: &str) -> BTreeSet<String> {
    let path = path.replace(['{', '}'], "");
    let request =
        format!("OPTIONS {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(fuzzing::answer_to(request.as_bytes())).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 405"), "{path}: {answer}");
    let allow = answer.lines().find_map(|line| line.strip_prefix("allow: ")).expect("a 405 says what is allowed");
    allow.split(',').map(|method| method.trim().to_owned()).collect()
}

#[test]
fn the_document_has_every_address_and_method_of_the_router_and_no_other() {
    let document = document();
    let routed: BTreeSet<_> = Route::ALL
        .iter()
        .filter(|route| **route != Route::Other)
        .map(|route| paths::template(route.template()))
        .collect();
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        described.entry(path.to_owned()).or_default().insert(method.to_owned());
    }
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), routed);
    for (path, methods) in &mut described {
        // The document says once, for all, that it is taken wherever `GET` is.
        if methods.contains("get") {
            methods.insert("head".to_owned());
        }
        assert_eq!(*methods, allowed(path), "{path}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads out"));
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            used.insert(pointer.to_owned());
        }
    });
    for (kind, components) in document["components"].as_object().unwrap() {
        for name in components.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
            assert!(used.contains(&format!("/components/{kind}/{name}")), "nothing names {kind}/{name}");
        }
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_a_sentence_and_a_noun() {
    let document = document();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let text = |field: &str| operation[field].as_str().unwrap_or_else(|| panic!("{method} {path} has no {field}"));
        assert!(names.insert(text("operationId")), "{} is there twice", text("operationId"));
        assert!(text("summary").ends_with('.'), "{}", text("summary"));
        assert!(tags.contains(&&operation["tags"][0]), "{method} {path}");
    }
    for tag in tags {
        assert!(operations(&document).iter().any(|(_, _, operation)| operation["tags"][0] == *tag), "{tag}");
    }
}

#[test]
fn every_name_in_an_address_is_described_and_none_is_described_twice() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().unwrap();
        let described = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let described: BTreeSet<&str> = described.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        assert_eq!(described, in_path, "{method} {path}");
        let all: BTreeSet<String> = parameters
            .iter()
            .map(|parameter| format!("{}{}{}", parameter["in"], parameter["name"], parameter["$ref"]))
            .collect();
        assert_eq!(all.len(), parameters.len(), "{method} {path} says one thing twice");
    }
}

#[test]
fn bounds_are_those_of_the_server() {
    let document = document();
    let new_job = &document["components"]["schemas"]["NewJob"];
    assert_eq!(new_job["additionalProperties"], false);
    assert_eq!(new_job["required"], json!(["module"]));
    assert_eq!(new_job["properties"]["retries"]["maximum"], crate::limits::RETRIES_MAX);
    assert_eq!(new_job["properties"]["args"]["maxItems"], crate::limits::ARGS_MAX);
    let limits = &document["components"]["schemas"]["NewJobLimits"]["properties"];
    assert_eq!(limits["memory_bytes"]["maximum"], crate::limits::MEMORY_BYTES_MAX);
    assert_eq!(limits["wall_ms"]["minimum"], 1);
    let job = &document["components"]["schemas"]["Job"];
    let required = job["required"].as_array().unwrap();
    assert!(required.contains(&"outcome".into()) && !required.contains(&"progress".into()), "{required:?}");
}
