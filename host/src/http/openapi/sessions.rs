//! `/v1/sessions`: sessions themselves and their history, described.

use axum::http::Method;

use super::api::Api;
use super::api::Body;
use super::headers as h;
use crate::http::history::CommitView;
use crate::http::history::KeyForm;
use crate::http::history::RevertForm;
use crate::http::problem::Code;
use crate::http::session_form::ChangeForm;
use crate::http::session_form::SessionForm;
use crate::http::session_view::SessionView;
use crate::http::sessions::OwnerQuery;
use crate::http::sessions::SessionQuery;
use crate::http::wire::ListView;
use crate::http::wire::PageQuery;
use crate::model::caller::Scope;

pub(super) const SUBMIT: &[Scope] = &[Scope::Submit];

/// One's own with the first, another's with the second.
const SUBMIT_OR_ADMIN: &[Scope] = &[Scope::Submit, Scope::Admin];

/// What may be said to whoever changes a session or waits in its queue.
pub(super) const NO_CHANGE: &[Code] = &[
    Code::NotFound,
    Code::Conflict,
    Code::SessionBusy,
    Code::SessionKeyMismatch,
    Code::QuotaExceeded,
    Code::QueueFull,
    Code::StorageFull,
];

pub(super) fn describe(api: &mut Api) {
    making(api);
    looking(api);
    changing(api);
    history(api);
    transactions(api);
}

fn making(api: &mut Api) {
    api.on(Method::POST, "/v1/sessions", "createSession", "Make a session, also as a fork of another.")
        .needs(SUBMIT)
        .takes(&[&h::SESSION_ID])
        .json_body::<SessionForm>(Body::Optional)
        .answers(201, "The session.", &[&h::LOCATION, &h::SESSION_ID], &[&h::SESSION_KEY])
        .json::<SessionView>()
        .refuses(&[Code::NotFound, Code::Conflict, Code::QuotaExceeded, Code::StorageFull]);
}

fn looking(api: &mut Api) {
    api.on(Method::GET, "/v1/sessions", "listSessions", "List the caller's sessions, or with `?owner=` another's.")
        .needs(SUBMIT_OR_ADMIN)
        .asked::<SessionQuery>()
        .answers(200, "One page of the list.", &[], &[])
        .json::<ListView<SessionView>>()
        .refuses(&[]);
    api.on(Method::GET, "/v1/sessions/{id}", "getSession", "Look at a session.")
        .needs(SUBMIT_OR_ADMIN)
        .asked::<OwnerQuery>()
        .answers(200, "The session.", &[&h::SESSION_ID], &[])
        .json::<SessionView>()
        .refuses(&[Code::NotFound]);
}

fn changing(api: &mut Api) {
    api.on(Method::PATCH, "/v1/sessions/{id}", "changeSession", "Change a session's times, queue, history or id.")
        .more(
            "What is named changes at once. A new id is a rename, which waits for the session's turn; if it is refused, nothing else changes \
             either.",
        )
        .needs(SUBMIT)
        .takes(&[&h::SESSION_KEY])
        .json_body::<ChangeForm>(Body::Required)
        .answers(200, "The session.", &[&h::SESSION_ID], &[&h::SESSION_KEY])
        .json::<SessionView>()
        .refuses(NO_CHANGE);
    api.on(Method::DELETE, "/v1/sessions/{id}", "dropSession", "Drop a session with all that is in it.")
        .more("With `?owner=` an `admin` drops another's, and needs no session key.")
        .needs(SUBMIT_OR_ADMIN)
        .asked::<OwnerQuery>()
        .takes(&[&h::SESSION_KEY])
        .answers(202, "It is gone when its running job has been stopped.", &[&h::SESSION_ID], &[])
        .answers(204, "It is gone.", &[&h::SESSION_ID], &[])
        .refuses(NO_CHANGE);
}

fn history(api: &mut Api) {
    api.on(Method::GET, "/v1/sessions/{id}/commits", "listCommits", "List the commits that are kept, newest first.")
        .needs(SUBMIT)
        .asked::<PageQuery>()
        .answers(200, "One page of the list.", &[&h::SESSION_ID], &[])
        .json::<ListView<CommitView>>()
        .refuses(&[Code::NotFound]);
    api.on(Method::GET, "/v1/sessions/{id}/commits/{number}", "getCommit", "Look at a commit, and at what it changed.")
        .needs(SUBMIT)
        .answers(200, "The commit.", &[&h::SESSION_ID], &[])
        .json::<CommitView>()
        .refuses(&[Code::NotFound]);
    api.on(Method::POST, "/v1/sessions/{id}/revert", "revertSession", "Make the session what it was at a commit.")
        .more("That is a commit of its own, so nothing is lost.")
        .needs(SUBMIT)
        .takes(&[&h::SESSION_KEY])
        .json_body::<RevertForm>(Body::Required)
        .answers(200, "The session.", &[&h::SESSION_ID, &h::SESSION_COMMIT], &[&h::SESSION_KEY])
        .json::<SessionView>()
        .refuses(NO_CHANGE);
}

fn transactions(api: &mut Api) {
    let ends = [
        ("/v1/sessions/{id}/commit", "commitSession", "Keep what is uncommitted in an explicit transaction."),
        ("/v1/sessions/{id}/rollback", "rollBackSession", "Undo what is uncommitted in an explicit transaction."),
    ];
    for (path, id, summary) in ends {
        api.on(Method::POST, path, id, summary)
            .needs(SUBMIT)
            .takes(&[&h::SESSION_KEY])
            .json_body::<KeyForm>(Body::Optional)
            .answers(200, "The session.", &[&h::SESSION_ID, &h::SESSION_COMMIT], &[&h::SESSION_KEY])
            .json::<SessionView>()
            .refuses(NO_CHANGE);
    }
}
