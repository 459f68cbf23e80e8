//! The `resource` of an iam rule: how the path of a request names the resource that IAM is asked about.
//!
//! ```text
//! resource: name                              the value of a path variable
//! resource: projects/{project}/jobs/{job}     a template over several
//! resource: projects/acme/status              a constant
//! ```
//!
//! A value never adds a segment to a template or takes one away, or a caller could move what follows it to another
//! place: a `*` cannot hold a `/` ([`crate::http::Path`] refuses an encoded one), and a variable with `**` may only
//! come last.

use std::fmt;
use std::sync::Arc;

use super::template::{Template, TemplateSegment};

/// How a resource name is made of path variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceTemplate {
    pieces: Vec<ResourcePiece>,
}

/// One or more segments of a resource name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ResourcePiece {
    /// One segment, as written.
    Literal(Box<str>),
    /// The value of a path variable.
    Variable(Arc<str>),
}

/// Why a text does not say how a resource is named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResourceError {
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub help: &'static str,
}

impl ResourceTemplate {
    /// The value of one path variable.
    pub fn variable(field: &str) -> Self {
        Self { pieces: vec![ResourcePiece::Variable(field.into())] }
    }

    /// Reads what stands behind `resource:`. A text without `/` and braces is the name of a variable.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        if !text.contains(['/', '{', '}']) {
            return if is_field_path(text) { Ok(Self::variable(text)) } else { Err(not_a_variable(text)) };
        }
        if text.starts_with('/') {
            return Err(ResourceError {
                message: format!("`{text}` begins with `/`"),
                help: "write the relative name, without the service: `projects/{project}/jobs/{job}`",
            });
        }
        let pieces: Vec<_> = text.split('/').map(piece).collect::<Result<_, _>>()?;
        let mut seen: Vec<&Arc<str>> = Vec::new();
        for piece in &pieces {
            let ResourcePiece::Variable(field) = piece else { continue };
            if seen.contains(&field) {
                return Err(ResourceError {
                    message: format!("the variable `{field}` is given twice"),
                    help: "name each part of the resource once",
                });
            }
            seen.push(field);
        }
        Ok(Self { pieces })
    }

    /// The variables, in the order written.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            ResourcePiece::Variable(field) => Some(&**field),
            ResourcePiece::Literal(_) => None,
        })
    }

    /// The variable whose value is the whole name, where there is one.
    pub fn whole(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [ResourcePiece::Variable(field)] => Some(field),
            _ => None,
        }
    }

    /// The name that these values make; `None` where it is the value of one variable, which needs no other text. A `**`
    /// that matched nothing leaves no segment.
    pub fn name(&self, bindings: &[(Arc<str>, String)]) -> Option<Box<str>> {
        if self.whole().is_some() {
            return None;
        }
        let mut name = String::new();
        for piece in &self.pieces {
            let text = match piece {
                ResourcePiece::Literal(text) => text,
                ResourcePiece::Variable(field) => {
                    bindings.iter().find(|(bound, _)| bound == field).map_or("", |(_, value)| value.as_str())
                }
            };
            if !text.is_empty() {
                name.push_str(if name.is_empty() { "" } else { "/" });
                name.push_str(text);
            }
        }
        Some(name.into())
    }

    /// The shape of the names that requests of a path template make; `None` where the path lacks a variable.
    pub fn shape(&self, path: &Template) -> Option<Vec<TemplateSegment>> {
        let mut shape = Vec::new();
        for piece in &self.pieces {
            match piece {
                ResourcePiece::Literal(text) => shape.push(TemplateSegment::Literal(text.clone())),
                ResourcePiece::Variable(field) => shape.extend_from_slice(path.shape_of(field)?),
            }
        }
        Some(shape)
    }

    /// A variable of any number of segments that another piece follows.
    pub fn unbounded_before_the_end(&self, path: &Template) -> Option<&str> {
        let (_, before) = self.pieces.split_last()?;
        before.iter().find_map(|piece| match piece {
            ResourcePiece::Variable(field) => {
                path.shape_of(field)?.contains(&TemplateSegment::Rest).then_some(&**field)
            }
            ResourcePiece::Literal(_) => None,
        })
    }

    /// A template that fits a path: its segments, without the version at the front.
    pub fn proposal(path: &Template) -> Option<String> {
        let text = path.resource_like();
        let is_version = |text: &str| {
            text.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        };
        let rest = match text.split_once('/') {
            Some((first, rest)) if is_version(first) => rest,
            _ => &text,
        };
        (rest.contains('/') && rest.contains('{') && !rest.contains('*')).then(|| rest.to_owned())
    }
}

impl fmt::Display for ResourceTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.whole() {
            return formatter.write_str(field);
        }
        for (index, piece) in self.pieces.iter().enumerate() {
            formatter.write_str(if index == 0 { "" } else { "/" })?;
            match piece {
                ResourcePiece::Literal(text) => formatter.write_str(text)?,
                ResourcePiece::Variable(field) => write!(formatter, "{{{field}}}")?,
            }
        }
        Ok(())
    }
}

fn piece(text: &str) -> Result<ResourcePiece, ResourceError> {
    if let Some(field) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return if is_field_path(field) {
            Ok(ResourcePiece::Variable(field.into()))
        } else {
            Err(not_a_variable(field))
        };
    }
    if text.contains(['{', '}']) {
        return Err(ResourceError {
            message: format!("`{text}` is part text and part variable"),
            help: "a variable takes a whole segment: `jobs/{job}`; what it may hold is in the path of the http rule",
        });
    }
    let is_plain =
        |letter: char| !letter.is_control() && !letter.is_whitespace() && !"*%?#\\;".contains(letter);
    if matches!(text, "" | "." | "..") || !text.chars().all(is_plain) {
        return Err(ResourceError {
            message: format!("`{}` cannot stand in a resource name", text.escape_debug()),
            help: "write a row of `collection/id` pairs: `projects/{project}/jobs/{job}`",
        });
    }
    Ok(ResourcePiece::Literal(text.into()))
}

fn not_a_variable(text: &str) -> ResourceError {
    ResourceError {
        message: format!("`{text}` is not the name of a path variable"),
        help: "write `name`, a template like `projects/{project}/jobs/{job}`, or a constant like \
               `projects/acme/status`",
    }
}

/// `IDENT { "." IDENT }`, as path templates name variables.
fn is_field_path(text: &str) -> bool {
    text.split('.').all(|step| {
        step.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && step.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(resource: &str, bindings: &[(&str, &str)]) -> Option<String> {
        let bindings: Vec<(Arc<str>, String)> =
            bindings.iter().map(|(field, value)| ((*field).into(), (*value).to_owned())).collect();
        ResourceTemplate::parse(resource).unwrap().name(&bindings).map(Into::into)
    }

    #[test]
    fn a_name_is_made_of_variables_and_text() {
        let bindings = [("project", "demo"), ("job", "7"), ("path", "")];
        assert_eq!(name("projects/{project}/jobs/{job}", &bindings).as_deref(), Some("projects/demo/jobs/7"));
        assert_eq!(name("projects/acme/jobs/{job}", &bindings).as_deref(), Some("projects/acme/jobs/7"));
        assert_eq!(name("projects/acme/status", &bindings).as_deref(), Some("projects/acme/status"));
        assert_eq!(name("projects/acme/files/{path}", &bindings).as_deref(), Some("projects/acme/files"));
        assert_eq!(name("project", &bindings), None, "one variable needs no other text");
        assert_eq!(name("{project}", &bindings), None);
    }

    #[test]
    fn what_is_written_is_shown() {
        for text in ["name", "book.name", "projects/{project}/jobs/{book.job}", "projects/acme/status"] {
            assert_eq!(ResourceTemplate::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(ResourceTemplate::parse("{name}").unwrap().to_string(), "name");
    }

    #[test]
    fn texts_that_name_no_resource_are_refused() {
        for text in [
            "",
            "a b",
            "name.",
            "7",
            "/projects/{p}",
            "//x.example.com/projects/{p}",
            "projects/",
            "projects//x",
            "projects/*",
            "projects/{p=*}",
            "projects/{p",
            "projects/p}",
            "projects/x{p}",
            "projects/{}",
            "projects/..",
            "projects/{p}/jobs/{p}",
            "projects/a%2Fb",
            "projects/a b",
        ] {
            assert!(ResourceTemplate::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_variable_of_any_length_comes_last() {
        let path = Template::parse("/files/{path=**}").unwrap();
        let of = |text: &str| ResourceTemplate::parse(text).unwrap();
        assert_eq!(of("projects/acme/files/{path}").unbounded_before_the_end(&path), None);
        assert_eq!(of("projects/{path}/files").unbounded_before_the_end(&path), Some("path"));
        assert_eq!(of("path").unbounded_before_the_end(&path), None);
    }

    #[test]
    fn a_template_is_proposed_for_a_path() {
        let proposed = |path: &str| ResourceTemplate::proposal(&Template::parse(path).unwrap());
        assert_eq!(
            proposed("/v2/projects/{project}/jobs/{job}:run").as_deref(),
            Some("projects/{project}/jobs/{job}")
        );
        assert_eq!(proposed("/users/{id}").as_deref(), Some("users/{id}"));
        assert_eq!(proposed("/status"), None);
        assert_eq!(proposed("/v1/users/*/posts/{id}"), None);
    }
}
