//! Path templates of google.api.http, in full.
//!
//! ```text
//! Template  = "/" [ Segments [ "/" | Verb ] ] ;      Segments = Segment { "/" Segment } ;
//! Segment   = "*" | "**" | LITERAL | Variable ;
//! Variable  = "{" FieldPath [ "=" Segments ] "}" ;
//! FieldPath = IDENT { "." IDENT } ;        Verb = ":" LITERAL ;
//! ```
//!
//! (google/api/http.proto.) `*` stands for one segment, `**` for zero or more; `{v}` is `{v=*}`. The proto wants `**`
//! to be last, but Google's own transcoder takes literals after it and published files use that
//! (`/v2/{name=operations/projects/**}/operations`). So literals may follow and wildcards may not: then the end of a
//! `**` is always clear. As in the transcoder, `/` is the root and `/v1/x/` another path than `/v1/x`: the slash at the end
//! is an empty literal, which no wildcard takes.
//!
//! A literal must be text that [`Path`] accepts as a segment. No request can reach a rule with any other literal, and
//! its author would believe that it has an effect.

mod parse;

use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use crate::http::Path;
use crate::http::path::normalize_literal;

/// A parsed template. Its [`fmt::Display`] form parses to the same template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<TemplateSegment>,
    variables: Vec<TemplateVariable>,
    verb: Option<Box<str>>,
}

/// What stands between two slashes, once variables are replaced by what they contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateSegment {
    /// This text, compared byte for byte with the segment as it was sent.
    Literal(Box<str>),
    /// `*`: one segment.
    Single,
    /// `**`: zero or more segments.
    Rest,
}

/// A named stretch of segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateVariable {
    /// The field of the request message: `name`, `book.name`.
    pub field: Arc<str>,
    /// Its segments, as indices into [`Template::segments`].
    range: Range<usize>,
}

/// Why a text is not a template, and which piece of it is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The bytes of the template to underline; may be empty, at the place where something is missing.
    pub range: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub help: Option<&'static str>,
}

impl Template {
    /// The segments, with variables replaced by what they contain.
    pub fn segments(&self) -> &[TemplateSegment] {
        &self.segments
    }

    /// What a variable stands for: the shape of its values.
    pub fn shape_of(&self, field: &str) -> Option<&[TemplateSegment]> {
        let variable = self.variables.iter().find(|variable| &*variable.field == field)?;
        self.segments.get(variable.range.clone())
    }

    /// The segments with each variable by its name, as a resource could be called: `v1/projects/{project}/jobs/{job}`.
    pub fn resource_like(&self) -> String {
        let mut pieces = Vec::new();
        let mut index = 0;
        while let Some(segment) = self.segments.get(index) {
            match self.variables.iter().find(|variable| variable.range.start == index) {
                Some(variable) => {
                    pieces.push(format!("{{{}}}", variable.field));
                    index = variable.range.end;
                }
                None => {
                    pieces.push(segment.to_string());
                    index += 1;
                }
            }
        }
        pieces.join("/")
    }

    /// The variables, in the order written.
    pub fn variables(&self) -> &[TemplateVariable] {
        &self.variables
    }

    /// The text after the colon, where there is one.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// The template without its variables: `/v1/projects/*/operations/*:cancel`. Two templates of one shape match
    /// exactly the same paths.
    pub fn shape(&self) -> String {
        Self { variables: Vec::new(), ..self.clone() }.to_string()
    }

    /// Whether every literal and the verb are normal: folding changes no letter, and there is no punctuation but `-`.
    pub fn is_normal(&self) -> bool {
        let mut texts = self.segments.iter().filter_map(TemplateSegment::literal).chain(self.verb());
        texts.all(|text| *normalize_literal(text) == *text)
    }

    /// Whether the literals and the verb stand in a path as they are written here. The path is one that this template
    /// matches in some reading, so that it has enough segments.
    pub fn is_spelled_as(&self, path: &Path) -> bool {
        path.verb() == self.verb()
            && self.segments.iter().enumerate().all(|(index, segment)| match segment {
                TemplateSegment::Literal(text) => path.raw_segment(self.index_in(path, index)) == Some(text),
                TemplateSegment::Single | TemplateSegment::Rest => true,
            })
    }

    /// Whether it ends in a slash behind a segment.
    pub fn ends_in_slash(&self) -> bool {
        self.segments.last().and_then(TemplateSegment::literal) == Some("")
    }

    /// [`Template::shape`] as a backend compares it that decodes literals, ignores the case of letters and a slash at the
    /// end.
    pub fn normal_shape(&self) -> String {
        let normal = |segment: &TemplateSegment| match segment {
            TemplateSegment::Literal(text) => TemplateSegment::Literal(normalize_literal(text)),
            other => other.clone(),
        };
        let mut segments: Vec<TemplateSegment> = self.segments.iter().map(normal).collect();
        // Many backends take `/v1/x/` for `/v1/x`.
        segments.pop_if(|last| last.literal() == Some(""));
        let verb = self.verb().map(normalize_literal);
        Self { segments, variables: Vec::new(), verb }.to_string()
    }

    /// What the variables capture from a path that this template matches, decoded once.
    pub fn capture(&self, path: &Path) -> Vec<(Arc<str>, String)> {
        self.variables
            .iter()
            .map(|variable| {
                let range =
                    self.index_in(path, variable.range.start)..self.index_in(path, variable.range.end);
                (variable.field.clone(), path.join(range).into_owned())
            })
            .collect()
    }

    /// The place in a path where the template's segment `index` begins: `**` shifts what follows it.
    fn index_in(&self, path: &Path, index: usize) -> usize {
        match self.segments.iter().position(|segment| *segment == TemplateSegment::Rest) {
            Some(rest) if index > rest => (index + path.len()).saturating_sub(self.segments.len()),
            _ => index,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut variables = self.variables.iter().peekable();
        let mut open: Option<&TemplateVariable> = None;
        if self.segments.is_empty() {
            formatter.write_char('/')?;
        }
        for (index, segment) in self.segments.iter().enumerate() {
            formatter.write_char('/')?;
            if let Some(variable) = variables.next_if(|variable| variable.range.start == index) {
                write!(formatter, "{{{}", variable.field)?;
                if variable.range.len() == 1 && *segment == TemplateSegment::Single {
                    formatter.write_char('}')?;
                    continue;
                }
                formatter.write_char('=')?;
                open = Some(variable);
            }
            write!(formatter, "{segment}")?;
            if open.take_if(|variable| variable.range.end == index + 1).is_some() {
                formatter.write_char('}')?;
            }
        }
        match &self.verb {
            Some(verb) => write!(formatter, ":{verb}"),
            None => Ok(()),
        }
    }
}

impl TemplateSegment {
    /// The text of a literal.
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Single | Self::Rest => None,
        }
    }
}

impl fmt::Display for TemplateSegment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Literal(text) => text,
            Self::Single => "*",
            Self::Rest => "**",
        })
    }
}

#[cfg(test)]
mod tests;
