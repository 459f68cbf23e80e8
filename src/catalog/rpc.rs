//! What a descriptor says of an RPC: its messages, which of the two sides stream, and where the message names the resource.

use std::sync::Arc;

use prost_reflect::{MessageDescriptor, MethodDescriptor};

use super::resource::ResourceTemplate;
use super::service::HttpBinding;
use super::template::TemplateSegment;
use crate::grpc::{FieldFault, MessageFields, name};

/// An RPC whose messages are known.
#[derive(Clone, Debug)]
pub struct RpcDescriptor {
    /// The request message. Its pool has every type of the service.
    pub input: MessageDescriptor,
    /// The response message.
    pub output: MessageDescriptor,
    /// Whether the client sends any number of messages.
    pub is_client_streaming: bool,
    /// Whether the server answers with any number of messages.
    pub is_server_streaming: bool,
    /// Whether its descriptor is built in, so that any service may have it.
    pub is_built_in: bool,
    /// Whether an http rule of it is a GET: it reads.
    pub is_read: bool,
    /// The fields of the request message that name the resource. None where no permission is asked, or the resource is a
    /// constant.
    pub fields: Arc<MessageFields>,
    /// The shapes that the values of these fields may have, in their order: one list for each http rule. Without an http rule,
    /// any name will do.
    shapes: Vec<Vec<Box<[TemplateSegment]>>>,
}

impl RpcDescriptor {
    pub(super) fn of(method: &MethodDescriptor) -> Self {
        Self {
            input: method.input(),
            output: method.output(),
            is_client_streaming: method.is_client_streaming(),
            is_server_streaming: method.is_server_streaming(),
            is_built_in: false,
            is_read: false,
            fields: Arc::default(),
            shapes: Vec::new(),
        }
    }

    /// The same, of a descriptor that is built in.
    pub(super) fn built_in(self) -> Self {
        Self { is_built_in: true, ..self }
    }

    /// The same, as these http rules have it.
    pub(super) fn bound<'b>(self, mut bindings: impl Iterator<Item = &'b HttpBinding>) -> Self {
        let is_read = bindings.any(|binding| binding.http_method == Some(::http::Method::GET));
        Self { is_read, ..self }
    }

    /// The same, with the fields that name the resource, and the shapes that the http rules give them.
    ///
    /// # Errors
    /// Where the message has no such text.
    pub(super) fn naming<'b>(
        mut self,
        resource: &ResourceTemplate,
        bindings: impl Iterator<Item = &'b HttpBinding>,
    ) -> Result<Self, FieldFault> {
        self.fields = Arc::new(MessageFields::find(&self.input, resource.variables())?);
        let shapes = |binding: &HttpBinding| {
            let shape = |field| binding.template.shape_of(field).map(Into::into);
            resource.variables().map(shape).collect::<Option<Vec<_>>>()
        };
        for shapes in bindings.filter_map(shapes) {
            if !self.shapes.contains(&shapes) {
                self.shapes.push(shapes);
            }
        }
        Ok(self)
    }

    /// Whether either side sends any number of messages.
    pub fn is_streaming(&self) -> bool {
        self.is_client_streaming || self.is_server_streaming
    }

    /// What is wrong with the values of the fields, or nothing: each is a clean name, and all have the shapes of one http rule.
    ///
    /// # Errors
    /// In words, with the name of the field.
    pub fn judge_values(&self, resource: &ResourceTemplate, values: &[&str]) -> Result<(), String> {
        for (path, value) in self.fields.paths().iter().zip(values) {
            name::judge(value).map_err(|why| format!("the field `{path}` {why}"))?;
            // A value never adds a segment to a template.
            if self.shapes.is_empty() && resource.whole().is_none() && value.contains('/') {
                return Err(format!("the field `{path}` has more than one segment"));
            }
        }
        let fits = |shapes: &Vec<Box<[TemplateSegment]>>| {
            shapes.iter().zip(values).all(|(shape, value)| fits_shape(shape, value))
        };
        if self.shapes.is_empty() || self.shapes.iter().any(fits) {
            return Ok(());
        }
        let paths: Vec<&str> = self.fields.paths().iter().map(|path| &**path).collect();
        Err(format!("`{}` is not a name that an http rule of the method takes", paths.join("`, `")))
    }
}

/// Whether a name has this shape.
fn fits_shape(shape: &[TemplateSegment], name: &str) -> bool {
    let segments: Vec<&str> = name.split('/').collect();
    let is = |(segment, text): (&TemplateSegment, &&str)| match segment {
        TemplateSegment::Literal(literal) => **literal == **text,
        TemplateSegment::Single | TemplateSegment::Rest => true,
    };
    match shape.iter().position(|segment| *segment == TemplateSegment::Rest) {
        None => shape.len() == segments.len() && shape.iter().zip(&segments).all(is),
        Some(rest) => {
            let behind = shape.len() - rest - 1;
            segments.len() >= rest + behind
                && shape.iter().take(rest).zip(&segments).all(is)
                && shape.iter().rev().take(behind).zip(segments.iter().rev()).all(is)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::template::Template;

    #[test]
    fn a_name_has_the_shape_of_its_variable() {
        let fits = |template: &str, name: &str| {
            let template = Template::parse(template).unwrap();
            fits_shape(template.shape_of("name").unwrap(), name)
        };
        assert!(fits("/v1/{name=projects/*/jobs/*}", "projects/p/jobs/j"));
        assert!(!fits("/v1/{name=projects/*/jobs/*}", "projects/p/Jobs/j"));
        assert!(!fits("/v1/{name=projects/*/jobs/*}", "projects/p/jobs/j/k"));
        assert!(!fits("/v1/{name=projects/*}", "projects"));
        assert!(fits("/v1/{name=operations/**}", "operations/a/b"));
        assert!(fits("/v1/{name=operations/**}", "operations"));
        assert!(!fits("/v1/{name=operations/**}", "projects/a"));
        assert!(fits("/v1/{name=operations/**/last}", "operations/a/b/last"));
        assert!(!fits("/v1/{name=operations/**/last}", "operations/a/b"));
        assert!(!fits("/v1/{name=a/**/a}", "a"), "one segment is not two");
        assert!(fits("/v1/{name}", "x"));
        assert!(!fits("/v1/{name}", "x/y"));
    }
}
