//! The paths of OpenAPI, and the path templates that match the same requests.
//!
//! A path of OpenAPI is text with `{parameters}` anywhere in it. A template of google.api.http has variables that take whole
//! segments. So `/files/{name}.json` has no template; `/files/*` takes more than it, and is what stands for it where it is not
//! exposed.

use std::collections::BTreeSet;

use super::words::identifier;
use crate::http::path::normalize_literal;

/// A path, as far as a template can say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImportedPath {
    pub(super) pieces: Vec<Piece>,
    pub(super) verb: Option<String>,
    /// Whether it ends in a slash behind a segment: another path to many backends.
    pub(super) ends_in_slash: bool,
    /// Why no template says it, in words. The pieces match more than it then.
    pub(super) loose: Option<String>,
}

/// One segment, or a variable of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    /// A field, and what it matches where that is not one segment: `projects/*/jobs/*`.
    Variable(String, Option<String>),
    /// One segment without a name.
    Single,
    /// Any number of segments without a name.
    Rest,
}

impl ImportedPath {
    /// Reads a path of OpenAPI. `base` is the path of the server in front of it.
    pub(super) fn parse(text: &str, base: &str) -> Self {
        let mut path = Self { pieces: Vec::new(), verb: None, ends_in_slash: false, loose: None };
        let whole = format!("{}{}", base.trim_end_matches('/'), text);
        let mut segments: Vec<&str> = split(&whole);
        if segments.len() > 1 && segments.last() == Some(&"") {
            segments.pop();
            path.ends_in_slash = true;
        }
        let last = segments.len().saturating_sub(1);
        let mut seen = BTreeSet::new();
        for (index, segment) in segments.into_iter().enumerate() {
            let may_have_verb = index == last && !path.ends_in_slash;
            let (segment, verb) = if may_have_verb { split_verb(segment) } else { (segment, None) };
            path.verb = verb.map(str::to_owned);
            if index == 0 && index == last && segment.is_empty() {
                continue;
            }
            let verb_is_plain = verb.map_or(Ok(()), |verb| literal(verb).map(drop));
            let piece =
                piece(segment).and_then(|piece| verb_is_plain.map(|()| piece)).and_then(
                    |piece| match &piece {
                        Piece::Variable(name, _)
                            if !seen.insert(name.replace('_', "").to_ascii_lowercase()) =>
                        {
                            Err(format!("`{{{name}}}` stands in it twice"))
                        }
                        _ => Ok(piece),
                    },
                );
            path.pieces.push(piece.unwrap_or_else(|why| {
                path.loose.get_or_insert(why);
                if takes_several(segment) { Piece::Rest } else { Piece::Single }
            }));
        }
        // Nothing but literals may follow a `**`.
        if let Some(rest) = path.pieces.iter().position(takes_any_number) {
            let after = path.pieces.iter().skip(rest + 1);
            if after.clone().any(|piece| !matches!(piece, Piece::Literal(_))) {
                path.pieces.truncate(rest + 1);
                path.verb = None;
                path.ends_in_slash = false;
                path.loose.get_or_insert_with(|| {
                    "a parameter follows one that takes any number of segments".to_owned()
                });
            }
        }
        path
    }

    /// The template.
    pub(super) fn template(&self) -> String {
        let mut template = String::new();
        for piece in &self.pieces {
            template.push('/');
            template.push_str(&match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Variable(name, None) => format!("{{{name}}}"),
                Piece::Variable(name, Some(pattern)) => format!("{{{name}={pattern}}}"),
                Piece::Single => "*".to_owned(),
                Piece::Rest => "**".to_owned(),
            });
        }
        if template.is_empty() || self.ends_in_slash {
            template.push('/');
        }
        if let Some(verb) = &self.verb {
            template.push(':');
            template.push_str(verb);
        }
        template
    }

    /// The template without names, as a backend compares paths that ignores case, punctuation and a slash at the end: what it
    /// matches.
    pub(super) fn shape(&self) -> String {
        let normal = |piece: Piece| match piece {
            Piece::Literal(text) => Piece::Literal(normalize_literal(&text).into()),
            other => other,
        };
        let pieces = self.flat().into_iter().map(normal).collect();
        let verb = self.verb.as_deref().map(|verb| normalize_literal(verb).into());
        Self { pieces, verb, ends_in_slash: false, loose: None }.template()
    }

    /// The shape of the collection that the path names a member of, or something of a member.
    pub(super) fn above(&self) -> Option<String> {
        let mut pieces = self.flat();
        // `/jobs/{id}/cancel` shows as well that `/jobs` is a collection.
        while matches!(pieces.last(), Some(Piece::Literal(_))) {
            pieces.pop();
        }
        pieces.pop()?;
        Some(Self { pieces, verb: None, ends_in_slash: false, loose: None }.shape())
    }

    /// The pieces without names.
    fn flat(&self) -> Vec<Piece> {
        let part = |part: &str| match part {
            "*" => Piece::Single,
            "**" => Piece::Rest,
            text => Piece::Literal(text.to_owned()),
        };
        let flat = |piece: &Piece| match piece {
            Piece::Variable(_, None) => vec![Piece::Single],
            Piece::Variable(_, Some(pattern)) => pattern.split('/').map(part).collect(),
            other => vec![other.clone()],
        };
        self.pieces.iter().flat_map(flat).collect()
    }

    /// Says what a variable matches, by the regular expression that protoc-gen-openapiv2 writes for it:
    /// `projects/[^/]+/jobs/[^/]+`.
    pub(super) fn refine(&mut self, name: &str, expression: &str) {
        let pattern = expression.trim_start_matches('^').trim_end_matches('$');
        let pattern = pattern.replace("[^/]+", "*").replace(".+", "**").replace(".*", "**");
        let parts: Vec<&str> = pattern.split('/').collect();
        let is_plain = parts.iter().all(|part| matches!(*part, "*" | "**") || literal(part).is_ok());
        if !is_plain || pattern == "*" {
            return;
        }
        for piece in &mut self.pieces {
            if let Piece::Variable(known, written @ None) = piece
                && *known == identifier(name)
            {
                *written = Some(pattern.clone());
            }
        }
    }

    /// The pieces without the server's path and a version at the front: what names the resource.
    pub(super) fn named(&self, base: &str) -> &[Piece] {
        let base =
            split(base.trim_end_matches('/')).into_iter().filter(|segment| !segment.is_empty()).count();
        let named = self.pieces.get(base..).unwrap_or_default();
        match named.split_first() {
            Some((Piece::Literal(text), rest)) if is_version(text) => rest,
            _ => named,
        }
    }

    /// Why the path names no resource.
    pub(super) fn names_nothing(&self) -> Option<String> {
        unbounded(&self.pieces).map(|why| format!("its resource cannot be named: {why}"))
    }

    /// The resource that the path names, below `parent` unless it begins at the top of the resource tree.
    pub(super) fn resource(&self, base: &str, parent: &str) -> String {
        let named = self.named(base);
        let begins_at_the_top = match named.first() {
            Some(Piece::Literal(text)) => ROOTS.contains(&text.as_str()) && named.len() > 1,
            Some(Piece::Variable(_, Some(pattern))) => {
                ROOTS.iter().any(|root| pattern.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')))
            }
            _ => false,
        };
        if let ([Piece::Variable(name, _)], true) = (named, begins_at_the_top) {
            return name.clone();
        }
        let mut texts: Vec<String> = if begins_at_the_top { Vec::new() } else { vec![parent.to_owned()] };
        texts.extend(named.iter().map(|piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Variable(name, _) => format!("{{{name}}}"),
            Piece::Single | Piece::Rest => "-".to_owned(),
        }));
        texts.join("/")
    }
}

/// Why no resource can be named by a path, where a parameter of any number of segments has something behind it: a caller
/// could move that to another place.
fn unbounded(pieces: &[Piece]) -> Option<String> {
    let rest = pieces.iter().position(takes_any_number).filter(|rest| rest + 1 < pieces.len());
    rest.map(|_| "something follows the parameter that takes any number of segments".to_owned())
}

/// Collections at the top of the resource tree.
const ROOTS: [&str; 3] = ["projects", "folders", "organizations"];

fn is_version(text: &str) -> bool {
    text.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn takes_any_number(piece: &Piece) -> bool {
    match piece {
        Piece::Rest => true,
        Piece::Variable(_, Some(pattern)) => pattern.ends_with("**"),
        _ => false,
    }
}

/// The segments of a path; braces hold slashes together.
fn split(path: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split(move |letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == '/' && depth == 0
    })
    .collect()
}

/// The verb behind the last colon of the last segment, outside of braces.
fn split_verb(segment: &str) -> (&str, Option<&str>) {
    match segment.rsplit_once(':') {
        Some((before, verb)) if !verb.is_empty() && !before.is_empty() && !verb.contains(['}', '{']) => {
            (before, Some(verb))
        }
        _ => (segment, None),
    }
}

/// Whether a segment that has no template may match several.
fn takes_several(segment: &str) -> bool {
    let inside = segment.trim_matches(['{', '}']);
    segment.contains("**")
        || segment.starts_with("{+")
        || inside.ends_with('*')
        || inside.contains(".*")
        || inside.contains(".+")
}

/// One segment of the path.
fn piece(segment: &str) -> Result<Piece, String> {
    if !segment.contains(['{', '}']) {
        return literal(segment);
    }
    let Some(inside) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return Err(format!(
            "`{segment}` is part text and part parameter, and a variable takes a whole segment"
        ));
    };
    if inside.contains(['{', '}']) {
        return Err(if inside.contains("}{") {
            format!("`{segment}` has two parameters in one segment")
        } else {
            format!(
                "`{segment}` holds a regular expression, and a variable takes whatever stands in its segment"
            )
        });
    }
    if let Some((name, pattern)) = inside.split_once('=') {
        let is_plain = pattern.split('/').all(|part| matches!(part, "*" | "**") || literal(part).is_ok());
        return if is_plain {
            Ok(Piece::Variable(identifier(name), Some(pattern.to_owned()).filter(|pattern| pattern != "*")))
        } else {
            Err(format!("`{segment}` is not a path template"))
        };
    }
    if inside.contains(':') {
        return Err(format!(
            "`{segment}` holds a regular expression, and a variable takes whatever stands in its segment"
        ));
    }
    if inside.starts_with([';', '.', '/', '+', '#', '?', '&']) || inside.ends_with('*') {
        return Err(format!(
            "`{segment}` is not one plain segment (RFC 6570 operators, matrix and label parameters)"
        ));
    }
    Ok(Piece::Variable(identifier(inside), None))
}

/// Text that the path of a request and the name of a resource can hold as it is.
fn literal(segment: &str) -> Result<Piece, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'(),=@".contains(&byte);
    if segment.is_empty() {
        return Err("it has an empty segment, which no request has here".to_owned());
    }
    if segment.contains(':') {
        return Err(format!(
            "`{segment}` holds a `:`, and a verb is behind the only one, at the end of the path"
        ));
    }
    if !segment.bytes().all(is_plain) || crate::http::Path::parse(&format!("/{segment}")).is_err() {
        return Err(format!("no rule can have the segment `{}`", segment.escape_debug()));
    }
    Ok(Piece::Literal(segment.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, base: &str) -> (String, String) {
        let path = ImportedPath::parse(text, base);
        assert_eq!(path.loose, None, "{text}");
        (path.template(), path.resource(base, "projects/lab"))
    }

    #[test]
    fn a_path_is_a_template_and_names_a_resource() {
        for (path, base, template, resource) in [
            ("/jobs/{id}", "", "/jobs/{id}", "projects/lab/jobs/{id}"),
            ("/jobs", "/api/v1", "/api/v1/jobs", "projects/lab/jobs"),
            ("/v2/jobs/{job-id}:cancel", "", "/v2/jobs/{job_id}:cancel", "projects/lab/jobs/{job_id}"),
            (
                "/v1/projects/{project}/jobs/{job}",
                "",
                "/v1/projects/{project}/jobs/{job}",
                "projects/{project}/jobs/{job}",
            ),
            ("/v1/{name=projects/*/jobs/*}", "", "/v1/{name=projects/*/jobs/*}", "name"),
            ("/v1/{name=projects/*}/log", "", "/v1/{name=projects/*}/log", "{name}/log"),
            ("/files/{path=**}", "/", "/files/{path=**}", "projects/lab/files/{path}"),
            ("/", "", "/", "projects/lab"),
            ("/status", "", "/status", "projects/lab/status"),
            ("/users/{id}/profile", "", "/users/{id}/profile", "projects/lab/users/{id}/profile"),
            ("/projects", "", "/projects", "projects/lab/projects"),
            ("/jobs/{id}/", "/api/", "/api/jobs/{id}/", "projects/lab/jobs/{id}"),
        ] {
            assert_eq!(of(path, base), (template.to_owned(), resource.to_owned()), "{path}");
        }
    }

    #[test]
    fn what_no_template_says_is_matched_by_a_wider_one() {
        for (path, template, why) in [
            ("/files/{name}.json", "/files/*", "part text and part parameter"),
            ("/files/{id:[0-9]+}", "/files/*", "regular expression"),
            ("/files/{id:[0-9]{3}}", "/files/*", "regular expression"),
            ("/files/{id:.*}", "/files/**", "regular expression"),
            ("/files/{+path}", "/files/**", "RFC 6570"),
            ("/files/{path*}", "/files/**", "RFC 6570"),
            ("/map/{;x}", "/map/*", "matrix"),
            ("/a/{x}{y}", "/a/*", "two parameters"),
            ("/a/{x}/b/{x}", "/a/{x}/b/*", "twice"),
            ("/a//b", "/a/*/b", "empty segment"),
            ("/a b/c", "/*/c", "no rule"),
            ("/a:b/c", "/*/c", "holds a `:`"),
            ("/{id}/{ID}", "/{id}/*", "twice"),
            ("/f/{p=**}/x/{q}", "/f/{p=**}", "any number"),
        ] {
            let path = ImportedPath::parse(path, "");
            assert_eq!(path.template(), template);
            assert!(path.loose.as_ref().unwrap().contains(why), "{path:?}");
        }
    }

    #[test]
    fn a_generated_expression_says_what_a_variable_matches() {
        let refined = |path: &str, expression: &str| {
            let mut path = ImportedPath::parse(path, "");
            path.refine("name", expression);
            path.template()
        };
        assert_eq!(
            refined("/v1/{name}:run", "projects/[^/]+/jobs/[^/]+"),
            "/v1/{name=projects/*/jobs/*}:run"
        );
        assert_eq!(refined("/v1/{name}", "^files/.+$"), "/v1/{name=files/**}");
        for other in ["[^/]+", "[a-z]+", "projects/[a-z]+", ""] {
            assert_eq!(refined("/v1/{name}", other), "/v1/{name}", "{other}");
        }
    }

    #[test]
    fn names_do_not_matter_to_what_a_path_matches() {
        let shape = |text| ImportedPath::parse(text, "").shape();
        assert_eq!(shape("/files/{name}"), shape("/files/{id}.json"));
        assert_ne!(shape("/files/{name}"), shape("/files/{name}:run"));
    }
}
