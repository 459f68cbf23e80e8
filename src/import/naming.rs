//! The names that are made up: of selectors, variables and permissions. The same description gives the same names.

use super::path::{ImportedPath, Piece};
use super::words::{identifier, word};

/// The selector's last part where there is no `operationId`: `get_jobs_id`.
pub(super) fn operation_of(http_method: &str, path: &ImportedPath) -> String {
    let mut parts = vec![http_method.to_ascii_lowercase()];
    parts.extend(path.pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Variable(name, _) => name.clone(),
        Piece::Single => "any".to_owned(),
        Piece::Rest => "rest".to_owned(),
    }));
    parts.extend(path.verb.clone());
    identifier(&parts.join("_"))
}

/// Collection and verb of a method's permission. `is_collection` tells whether the description also has paths of single
/// members below the one in hand.
///
/// | request | verb |
/// |---|---|
/// | a custom verb, `/jobs/{id}:cancel` | the verb |
/// | POST to `/jobs/{id}/cancel`, which has nothing below it | the last segment, of the collection before it |
/// | GET, HEAD of a collection | `list` |
/// | GET, HEAD of anything else | `get` |
/// | POST to a collection or to a lone name | `create` |
/// | POST to a member, PUT, PATCH | `update` |
/// | DELETE | `delete` |
/// | any other HTTP method | its name in small letters; `any` for any |
pub(super) fn permission(
    http_method: &str,
    named: &[Piece],
    verb: Option<&str>,
    is_collection: bool,
) -> (String, String) {
    let literals: Vec<&str> = named
        .iter()
        .flat_map(|piece| match piece {
            Piece::Literal(text) => vec![text.as_str()],
            Piece::Variable(_, Some(pattern)) => {
                pattern.split('/').filter(|part| !part.contains('*')).collect()
            }
            _ => Vec::new(),
        })
        .collect();
    let collection = |from_the_end: usize| {
        let found = literals.iter().rev().nth(from_the_end).copied();
        word(found.unwrap_or("items"))
    };
    if let Some(verb) = verb {
        return (collection(0), word(verb));
    }
    let ends_in_text = matches!(named.last(), Some(Piece::Literal(_)));
    let follows_a_member = matches!(named, [.., Piece::Variable(..), Piece::Literal(_)]);
    let verb = match http_method {
        "POST" if follows_a_member && !is_collection => {
            let action = literals.last().copied().unwrap_or("create");
            return (collection(1), word(action));
        }
        "GET" | "HEAD" if ends_in_text && is_collection => "list",
        "GET" | "HEAD" => "get",
        "POST" if ends_in_text => "create",
        "POST" | "PUT" | "PATCH" => "update",
        "DELETE" => "delete",
        "*" => "any",
        other => return (collection(0), word(&other.to_ascii_lowercase())),
    };
    (collection(0), verb.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_says_what_is_done_to_what() {
        for (method, path, is_collection, expected) in [
            ("GET", "/jobs", true, "jobs.list"),
            ("POST", "/jobs", true, "jobs.create"),
            ("GET", "/jobs/{id}", false, "jobs.get"),
            ("PUT", "/jobs/{id}", false, "jobs.update"),
            ("PATCH", "/jobs/{id}", false, "jobs.update"),
            ("POST", "/jobs/{id}", false, "jobs.update"),
            ("DELETE", "/jobs/{id}", false, "jobs.delete"),
            ("POST", "/jobs/{id}:cancel", false, "jobs.cancel"),
            ("POST", "/jobs/{id}/cancel", false, "jobs.cancel"),
            ("POST", "/jobs/{id}/runs", true, "runs.create"),
            ("GET", "/users/{id}/profile", false, "profile.get"),
            ("GET", "/status", false, "status.get"),
            ("POST", "/login", false, "login.create"),
            ("GET", "/{id}", false, "items.get"),
            ("GET", "/", false, "items.get"),
            ("GET", "/v1/{name=projects/*/job-runs/*}", false, "job_runs.get"),
            ("OPTIONS", "/jobs", true, "jobs.options"),
            ("GET", "/v1/2fa", false, "x_2fa.get"),
        ] {
            let path = ImportedPath::parse(path, "");
            let (collection, verb) = permission(method, path.named(""), path.verb.as_deref(), is_collection);
            assert_eq!(format!("{collection}.{verb}"), expected, "{method} {path:?}");
        }
    }

    #[test]
    fn an_operation_without_an_id_is_named_for_its_request() {
        assert_eq!(operation_of("GET", &ImportedPath::parse("/jobs/{id}:run", "")), "get_jobs_id_run");
    }
}
