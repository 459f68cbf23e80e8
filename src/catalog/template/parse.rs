//! The template parser: recursive descent over the text, one function per rule of the grammar.

use std::ops::Range;

use super::{Template, TemplateError, TemplateSegment, TemplateVariable};
use crate::http::Path;

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The first mistake, with its position.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<Template, TemplateError> {
    let mut parser = TemplateParser { text, at: 0, segments: Vec::new(), variables: Vec::new() };
    parser.template()
}

struct TemplateParser<'t> {
    text: &'t str,
    /// The byte that is read next.
    at: usize,
    segments: Vec<TemplateSegment>,
    variables: Vec<TemplateVariable>,
}

/// One rule of the grammar each.
impl TemplateParser<'_> {
    fn template(&mut self) -> Result<Template, TemplateError> {
        if !self.take('/') {
            return Err(self.error_here("a template begins with `/`"));
        }
        // The root has no segment. A slash at the end is an empty one.
        while self.peek().is_some() || self.ends_in_slash() {
            match self.peek() {
                None => {
                    self.push(TemplateSegment::Literal("".into()), self.at..self.at)?;
                    break;
                }
                Some('{') => self.variable()?,
                _ => self.segment()?,
            }
            match self.peek() {
                Some('/') => self.advance('/'),
                None | Some(':') => break,
                Some('}') => return Err(self.error_here("`}` closes nothing")),
                Some(_) => {
                    return Err(self
                        .error_here("a variable takes a whole segment")
                        .help("put a `/` before and after it"));
                }
            }
        }
        let verb = self.verb()?;
        Ok(Template {
            segments: std::mem::take(&mut self.segments),
            variables: std::mem::take(&mut self.variables),
            verb,
        })
    }

    fn verb(&mut self) -> Result<Option<Box<str>>, TemplateError> {
        if !self.take(':') {
            return Ok(None);
        }
        let verb = self.literal("verb")?;
        match self.peek() {
            None => Ok(Some(verb)),
            Some(':') => Err(self
                .error_here("a template has one `:`, before its verb")
                .help("a request's verb is the text after its last `:`, so no literal can hold one")),
            Some('/') => {
                Err(self.error_here("the verb ends the template").help("no segment can follow a `:`"))
            }
            Some(_) => Err(self.error_here("a verb is plain text")),
        }
    }

    fn variable(&mut self) -> Result<(), TemplateError> {
        let opened = self.at;
        self.advance('{');
        let named = self.at;
        let field = self.field_path()?;
        self.refuse_overlap(&field, named)?;
        let first = self.segments.len();
        match self.peek() {
            Some('}') => self.push(TemplateSegment::Single, opened..self.at + 1)?,
            Some('=') => {
                self.advance('=');
                self.segments_of_variable(opened)?;
            }
            None => return Err(self.error(opened..self.at, "the variable is not closed").help("add a `}`")),
            Some(_) => {
                return Err(self
                    .error_here("a field path is made of letters, digits and `_`, with `.` between fields"));
            }
        }
        self.advance('}');
        self.variables.push(TemplateVariable { field: field.into(), range: first..self.segments.len() });
        Ok(())
    }

    fn segments_of_variable(&mut self, opened: usize) -> Result<(), TemplateError> {
        loop {
            match self.peek() {
                Some('{') => return Err(self.error_here("a variable cannot stand within a variable")),
                None => {
                    return Err(self.error(opened..self.at, "the variable is not closed").help("add a `}`"));
                }
                _ => self.segment()?,
            }
            match self.peek() {
                Some('}') => return Ok(()),
                Some('/') => self.advance('/'),
                Some(':') => {
                    return Err(self
                        .error_here("a verb cannot stand within a variable")
                        .help("close the variable before the `:`"));
                }
                None => {
                    return Err(self.error(opened..self.at, "the variable is not closed").help("add a `}`"));
                }
                Some(_) => return Err(self.error_here("a literal takes a whole segment")),
            }
        }
    }

    fn segment(&mut self) -> Result<(), TemplateError> {
        let start = self.at;
        if !self.take('*') {
            let literal = self.literal("segment")?;
            return self.push(TemplateSegment::Literal(literal), start..self.at);
        }
        let segment = if self.take('*') { TemplateSegment::Rest } else { TemplateSegment::Single };
        if !matches!(self.peek(), None | Some('/' | ':' | '}')) {
            return Err(self.error(start..self.at, "a wildcard takes a whole segment"));
        }
        self.push(segment, start..self.at)
    }

    fn field_path(&mut self) -> Result<String, TemplateError> {
        let start = self.at;
        loop {
            match self.peek() {
                Some(letter) if letter.is_ascii_alphabetic() || letter == '_' => self.advance(letter),
                _ if self.at == start => return Err(self.error_here("the variable has no name")),
                _ => {
                    return Err(self.error_here(
                        "a field path is made of letters, digits and `_`, with `.` between fields",
                    ));
                }
            }
            while let Some(letter) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                self.advance(letter);
            }
            if !self.take('.') {
                return Ok(self.text.get(start..self.at).unwrap_or_default().to_owned());
            }
        }
    }

    fn literal(&mut self, what: &str) -> Result<Box<str>, TemplateError> {
        let start = self.at;
        while let Some(character) = self.peek().filter(|character| !"/:{}*".contains(*character)) {
            self.advance(character);
        }
        if self.at == start {
            return Err(self.error_here(format!("the {what} is empty")));
        }
        if what == "segment" && self.peek() == Some('*') {
            return Err(self.error_here("a wildcard takes a whole segment"));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        match Path::parse(&format!("/{text}")) {
            Ok(_) => Ok(text.into()),
            Err(denial) => Err(self.error(
                start..self.at,
                format!("no request can have the {what} `{text}`: {}", denial.detail()),
            )),
        }
    }
}

/// What the rules are made of.
impl TemplateParser<'_> {
    /// Whether the text is at an end that a slash behind a segment makes.
    fn ends_in_slash(&self) -> bool {
        self.at == self.text.len() && !self.segments.is_empty()
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn advance(&mut self, over: char) {
        self.at += over.len_utf8();
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.advance(wanted);
        }
        found
    }

    fn push(&mut self, segment: TemplateSegment, range: Range<usize>) -> Result<(), TemplateError> {
        let after_rest = self.segments.contains(&TemplateSegment::Rest);
        if after_rest && !matches!(segment, TemplateSegment::Literal(_)) {
            return Err(self
                .error(range, "no wildcard can follow `**`")
                .help("it would not be clear where the `**` ends"));
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Two variables for one field, or for a message and a field of it, would fight over the request message.
    fn refuse_overlap(&self, field: &str, start: usize) -> Result<(), TemplateError> {
        let within =
            |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
        for other in self.variables.iter().map(|variable| &*variable.field) {
            if other == field {
                return Err(self.error(start..self.at, format!("the variable `{field}` is given twice")));
            }
            if within(field, other) || within(other, field) {
                return Err(self.error(
                    start..self.at,
                    format!("the variables `{other}` and `{field}` overlap: one is a field of the other"),
                ));
            }
        }
        Ok(())
    }

    fn error_here(&self, message: impl Into<String>) -> TemplateError {
        let end = self.at + self.peek().map_or(0, char::len_utf8);
        self.error(self.at..end, message)
    }

    fn error(&self, range: Range<usize>, message: impl Into<String>) -> TemplateError {
        TemplateError { range, message: message.into(), help: None }
    }
}

impl TemplateError {
    fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }
}
