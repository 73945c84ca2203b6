//! Which address of the API a path is, for counting: one of a fixed list, whatever
//! is asked for.
//!
//! Promise: every address that the router knows is on the list, and a name that a
//! client chose never is.

/// Makes the list, and the way from a path to it, out of one table: by the parts of
/// the path and by how the router spells them.
macro_rules! routes {
    ($($name:ident, $parts:pat, $template:literal;)*) => {
        /// An address of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::http) enum Route {
            $($name,)*
            /// None of them.
            Other,
        }

        impl Route {
            pub(in crate::http) const ALL: &[Route] = &[$(Route::$name,)* Route::Other];

            /// As the router spells it.
            pub(in crate::http) fn template(self) -> &'static str {
                match self {
                    $(Route::$name => $template,)*
                    Route::Other => "other",
                }
            }

            fn of_parts(parts: &[&str]) -> Route {
                match parts {
                    $($parts => Route::$name,)*
                    _ => Route::Other,
                }
            }
        }
    };
}

// What is asked most comes first.
routes! {
    Run, ["v1", "run", _], "/v1/run/{module}";
    Jobs, ["v1", "jobs"], "/v1/jobs";
    Job, ["v1", "jobs", _], "/v1/jobs/{id}";
    File, ["v1", "sessions", _, "files", _, ..], "/v1/sessions/{id}/files/{*path}";
    Files, ["v1", "sessions", _, "files"], "/v1/sessions/{id}/files";
    Param, ["v1", "sessions", _, "params", _], "/v1/sessions/{id}/params/{name}";
    Params, ["v1", "sessions", _, "params"], "/v1/sessions/{id}/params";
    Sessions, ["v1", "sessions"], "/v1/sessions";
    Session, ["v1", "sessions", _], "/v1/sessions/{id}";
    Commits, ["v1", "sessions", _, "commits"], "/v1/sessions/{id}/commits";
    Commit, ["v1", "sessions", _, "commits", _], "/v1/sessions/{id}/commits/{number}";
    CommitFile, ["v1", "sessions", _, "commits", _, "files", _, ..], "/v1/sessions/{id}/commits/{number}/files/{*path}";
    Archive, ["v1", "sessions", _, "archive"], "/v1/sessions/{id}/archive";
    Revert, ["v1", "sessions", _, "revert"], "/v1/sessions/{id}/revert";
    Keep, ["v1", "sessions", _, "commit"], "/v1/sessions/{id}/commit";
    RollBack, ["v1", "sessions", _, "rollback"], "/v1/sessions/{id}/rollback";
    Stdout, ["v1", "jobs", _, "stdout"], "/v1/jobs/{id}/stdout";
    Stderr, ["v1", "jobs", _, "stderr"], "/v1/jobs/{id}/stderr";
    Events, ["v1", "jobs", _, "events"], "/v1/jobs/{id}/events";
    Cancel, ["v1", "jobs", _, "cancel"], "/v1/jobs/{id}/cancel";
    Modules, ["v1", "modules"], "/v1/modules";
    Module, ["v1", "modules", _], "/v1/modules/{name}";
    Versions, ["v1", "modules", _, "versions"], "/v1/modules/{name}/versions";
    Version, ["v1", "modules", _, "versions", _], "/v1/modules/{name}/versions/{number}";
    Content, ["v1", "modules", _, "content"], "/v1/modules/{name}/content";
    Tenants, ["v1", "admin", "tenants"], "/v1/admin/tenants";
    Tenant, ["v1", "admin", "tenants", _], "/v1/admin/tenants/{tenant}";
    Quota, ["v1", "admin", "tenants", _, "quota"], "/v1/admin/tenants/{tenant}/quota";
    Keys, ["v1", "admin", "tenants", _, "keys"], "/v1/admin/tenants/{tenant}/keys";
    Key, ["v1", "admin", "tenants", _, "keys", _], "/v1/admin/tenants/{tenant}/keys/{id}";
    Healthz, ["healthz"], "/healthz";
    Readyz, ["readyz"], "/readyz";
    Metrics, ["metrics"], "/metrics";
    Problem, ["problems", _], "/problems/{code}";
    Ui, ["ui"], "/ui";
    UiBelow, ["ui", ""], "/ui/";
    UiFile, ["ui", _], "/ui/{file}";
    Openapi, ["openapi.json"], "/openapi.json";
}

/// The longest template has so many parts; what follows is the rest of a file's path.
const PARTS_MAX: usize = 8;

impl Route {
    /// The address that a request's path is.
    pub(in crate::http) fn of(path: &str) -> Route {
        let mut parts = [""; PARTS_MAX];
        let mut count = 0;
        for (place, part) in parts.iter_mut().zip(path.strip_prefix('/').unwrap_or_default().split('/')) {
            *place = part;
            count += 1;
        }
        let parts = &parts[..count];
        // No name is empty; in what follows `files` there may be anything.
        let rest = parts.iter().position(|part| *part == "files").unwrap_or(count);
        let named = parts == ["ui", ""] || !parts[..rest].contains(&"");
        if named { Route::of_parts(parts) } else { Route::Other }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[track_caller]
    fn check(path: &str, template: &str) {
        assert_eq!(Route::of(path).template(), template, "{path}");
    }

    #[test]
    fn every_address_of_the_router_is_on_the_list_and_is_found_by_its_path() {
        let router = include_str!("../mod.rs");
        let spelled =
            router.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/') && *text != "/v1/sessions/");
        let mut known: BTreeSet<_> = Route::ALL.iter().map(|route| route.template()).collect();
        assert!(known.remove("other"));
        assert_eq!(spelled.collect::<BTreeSet<_>>(), known, "give each address a line in the table of this file");
        for template in known {
            check(&template.replace('*', ""), template);
        }
    }

    #[test]
    fn what_is_no_address_is_other_however_it_looks() {
        for path in [
            "",
            "/",
            "*",
            "/v1",
            "/v1/",
            "/v1/jobs/",
            "//jobs",
            "/v1//jobs",
            "/v1/jobs/a/b/c",
            "/V1/jobs",
            "x",
            "/ui//",
        ] {
            check(path, "other");
        }
        check("/v1/sessions/s/files/a//b/c/d/e/f/g", "/v1/sessions/{id}/files/{*path}");
        check("/v1/sessions/files/files/files", "/v1/sessions/{id}/files/{*path}");
        check("/v1/sessions/s/commits/1/files/a/b/c", "/v1/sessions/{id}/commits/{number}/files/{*path}");
        check("/v1/jobs/files", "/v1/jobs/{id}");
    }
}
