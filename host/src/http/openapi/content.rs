//! What is in a session, described: parameters, files, the archive of all of them.

use axum::http::Method;

use super::api::Api;
use super::api::Body;
use super::headers as h;
use super::headers::Header;
use super::sessions::NO_CHANGE;
use super::sessions::SUBMIT;
use super::words;
use crate::http::files::CommitQuery;
use crate::http::files::DeleteQuery;
use crate::http::files::FileView;
use crate::http::files::ListQuery;
use crate::http::problem::Code;
use crate::http::wire::ListView;
use crate::limits;

/// What every read of a session's content says.
const READ: &[&Header] = &[&h::SESSION_ID, &h::SESSION_COMMIT];

/// What every write of it says.
const WRITTEN: &[&Header] = &[&h::SESSION_ID, &h::SESSION_COMMIT];

/// What asks for a part, or for nothing if the client has it.
pub(super) const CONDITIONS: &[&Header] = &[&h::IF_MATCH, &h::IF_NONE_MATCH, &h::RANGE, &h::IF_RANGE];

const NO_BYTES: &[Code] = &[Code::NotFound, Code::PreconditionFailed, Code::RangeNotSatisfiable];

pub(super) fn describe(api: &mut Api) {
    params(api);
    one_param(api);
    files(api);
    reading(api);
    writing(api);
    archive(api);
}

fn params(api: &mut Api) {
    api.on(Method::GET, "/v1/sessions/{id}/params", "listParams", "Read all parameters.")
        .needs(SUBMIT)
        .asked::<CommitQuery>()
        .answers(200, "The parameters, as one object.", READ, &[])
        .json::<words::Params>()
        .refuses(&[Code::NotFound]);
    api.on(Method::PATCH, "/v1/sessions/{id}/params", "mergeParams", "Set and delete several parameters at once.")
        .needs(SUBMIT)
        .takes(&[&h::SESSION_KEY])
        .json_body::<words::ParamsChange>(Body::Required)
        .answers(200, "All parameters, as of the last commit.", WRITTEN, &[&h::SESSION_KEY])
        .json::<words::Params>()
        .refuses(NO_CHANGE);
}

fn one_param(api: &mut Api) {
    let path = "/v1/sessions/{id}/params/{name}";
    api.on(Method::GET, path, "getParam", "Read a parameter.")
        .needs(SUBMIT)
        .asked::<CommitQuery>()
        .answers(200, "The value.", READ, &[])
        .text("text/plain; charset=utf-8")
        .refuses(&[Code::NotFound]);
    api.on(Method::PUT, path, "setParam", "Set a parameter.")
        .needs(SUBMIT)
        .takes(&[&h::SESSION_KEY])
        .bytes_body(
            &at_most("The value, as UTF-8 of any type", limits::PARAM_VALUE_BYTES_MAX as u64),
            &["text/plain; charset=utf-8"],
        )
        .answers(204, "It is set.", WRITTEN, &[&h::SESSION_KEY])
        .refuses(&[NO_CHANGE, &[Code::PayloadTooLarge]].concat());
    api.on(Method::DELETE, path, "deleteParam", "Delete a parameter.")
        .needs(SUBMIT)
        .takes(&[&h::SESSION_KEY])
        .answers(204, "It is gone.", WRITTEN, &[&h::SESSION_KEY])
        .refuses(NO_CHANGE);
}

fn files(api: &mut Api) {
    api.on(Method::GET, "/v1/sessions/{id}/files", "listFiles", "List what lies in a directory, by path.")
        .needs(SUBMIT)
        .asked::<ListQuery>()
        .answers(200, "One page of the list.", READ, &[])
        .json::<ListView<FileView>>()
        .refuses(&[Code::NotFound]);
}

/// The two places where a file is read.
fn reading(api: &mut Api) {
    let here = api
        .on(Method::GET, "/v1/sessions/{id}/files/{*path}", "getFile", "Read a file.")
        .needs(SUBMIT)
        .asked::<CommitQuery>();
    read(here);
    let path = "/v1/sessions/{id}/commits/{number}/files/{*path}";
    read(api.on(Method::GET, path, "getFileOfCommit", "Read a file as it was at a commit.").needs(SUBMIT));
}

fn read(operation: super::api::Operation<'_>) {
    let said = [READ, &[&h::ETAG, &h::LAST_MODIFIED, &h::ACCEPT_RANGES]].concat();
    operation
        .takes(CONDITIONS)
        .answers(200, "The bytes.", &said, &[])
        .bytes("application/octet-stream")
        .answers(206, "The range that was asked for.", &[said.as_slice(), &[&h::CONTENT_RANGE]].concat(), &[])
        .bytes("application/octet-stream")
        .answers(304, "The file is one of `If-None-Match`.", &said, &[])
        .and_head()
        .refuses(NO_BYTES);
}

fn writing(api: &mut Api) {
    let path = "/v1/sessions/{id}/files/{*path}";
    api.on(Method::PUT, path, "putFile", "Write a file as a whole, at once or not at all.")
        .more("Directories above it are made.")
        .needs(SUBMIT)
        .takes(&[&h::IF_MATCH, &h::IF_NONE_MATCH, &h::SESSION_KEY])
        .bytes_body(&at_most("All its bytes, of any type", limits::FILE_BYTES_MAX), &["application/octet-stream"])
        .answers(201, "It is made.", &[WRITTEN, &[&h::ETAG, &h::LOCATION]].concat(), &[&h::SESSION_KEY])
        .answers(204, "It is written.", &[WRITTEN, &[&h::ETAG]].concat(), &[&h::SESSION_KEY])
        .refuses(&[NO_CHANGE, &[Code::PreconditionFailed, Code::PayloadTooLarge, Code::UnsupportedMediaType]].concat());
    api.on(Method::DELETE, path, "deleteFile", "Delete a file, a link or a directory.")
        .needs(SUBMIT)
        .asked::<DeleteQuery>()
        .takes(&[&h::IF_MATCH, &h::IF_NONE_MATCH, &h::SESSION_KEY])
        .answers(204, "It is gone.", WRITTEN, &[&h::SESSION_KEY])
        .refuses(&[NO_CHANGE, &[Code::PreconditionFailed]].concat());
}

/// What a body is, and how long.
pub(super) fn at_most(what: &str, bytes: u64) -> String {
    format!("{what}: at most {bytes} bytes.")
}

fn archive(api: &mut Api) {
    let path = "/v1/sessions/{id}/archive";
    let said = [READ, &[&h::ETAG, &h::LAST_MODIFIED, &h::ACCEPT_RANGES, &h::VARY]].concat();
    api.on(Method::GET, path, "getArchive", "Read the whole directory as one tar.")
        .more("It has the same bytes for the same commit. One that is compressed has no ranges.")
        .needs(SUBMIT)
        .asked::<CommitQuery>()
        .takes(&[CONDITIONS, &[&h::ACCEPT_ENCODING]].concat())
        .answers(200, "The archive.", &said, &[&h::CODED])
        .bytes("application/x-tar")
        .answers(206, "The range that was asked for.", &[said.as_slice(), &[&h::CONTENT_RANGE]].concat(), &[])
        .bytes("application/x-tar")
        .answers(304, "The archive is one of `If-None-Match`.", &said, &[])
        .and_head()
        .refuses(&[NO_BYTES, &[Code::StorageFull]].concat());
    api.on(
        Method::PUT,
        path,
        "putArchive",
        "Make the directory what a tar holds, and nothing else, at once or not at all.",
    )
    .needs(SUBMIT)
    .takes(&[&h::IF_MATCH, &h::IF_NONE_MATCH, &h::CONTENT_ENCODING, &h::SESSION_KEY])
    .bytes_body(
        "The archive; compressed if its coding or its type says so.",
        &["application/x-tar", "application/gzip"],
    )
    .answers(204, "The directory is that.", WRITTEN, &[&h::ETAG, &h::SESSION_KEY])
    .refuses(&[NO_CHANGE, &[Code::PreconditionFailed, Code::PayloadTooLarge, Code::UnsupportedMediaType]].concat());
}
