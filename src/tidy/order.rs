//! In which order keys stand, and which lists are sets: as the tables of the schemas say.

use crate::document::{Node, Value};
use crate::schema::shape::{Mapping, Shape};

/// The order within a value of this shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordering(pub(super) Shape);

impl Ordering {
    /// The order within what a key of a mapping with these keys holds.
    pub(super) fn of_key<'k>(self, key: &str, keys: impl Iterator<Item = &'k str> + Clone) -> Self {
        if let Some(mapping) = self.mapping(keys) {
            let found = mapping.position(key).and_then(|place| mapping.keys.get(place));
            return Self(found.map_or(Shape::Any, |key| key.shape));
        }
        Self(self.find(|shape| match shape {
            Shape::Named(_, value) => Some(*value),
            _ => None,
        }))
    }

    /// The order within the items of a list.
    pub(super) fn of_item(self) -> Self {
        Self(self.find(|shape| match shape {
            Shape::List(item) | Shape::Several(item) | Shape::One(item) | Shape::Set(item) => Some(*item),
            _ => None,
        }))
    }

    /// Whether the order of a list means nothing.
    pub(super) fn is_set(self) -> bool {
        matches!(self.0, Shape::Set(_))
    }

    /// Where a key of a mapping with these keys stands. Keys that are not known stand last.
    pub(super) fn position<'k>(self, key: &str, keys: impl Iterator<Item = &'k str> + Clone) -> usize {
        self.mapping(keys).and_then(|mapping| mapping.position(key)).unwrap_or(usize::MAX)
    }

    /// The mapping that has all of these keys.
    fn mapping<'k>(self, keys: impl Iterator<Item = &'k str> + Clone) -> Option<&'static Mapping> {
        let mut mappings = Vec::new();
        collect(self.0, &mut mappings);
        mappings.into_iter().find(|mapping| {
            let is_known = |key: &str| mapping.is_open || mapping.position(key).is_some();
            let has = |name: &str| mapping.spellings(name).any(|name| keys.clone().any(|key| key == name));
            keys.clone().all(is_known)
                && mapping.keys.iter().filter(|key| key.is_required).all(|key| has(key.name))
        })
    }

    /// What the first of the choices gives.
    fn find(self, give: impl Fn(Shape) -> Option<Shape> + Copy) -> Shape {
        match self.0 {
            Shape::Either(shapes) => shapes
                .iter()
                .map(|shape| Self(*shape).find(give))
                .find(|shape| !matches!(shape, Shape::Any))
                .unwrap_or(Shape::Any),
            shape => give(shape).unwrap_or(Shape::Any),
        }
    }
}

fn collect(shape: Shape, mappings: &mut Vec<&'static Mapping>) {
    match shape {
        Shape::Mapping(mapping) => mappings.push(mapping),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| collect(*shape, mappings)),
        _ => {}
    }
}

/// The keys of a mapping.
pub(super) fn keys_of(entries: &[(Node, Node)]) -> impl Iterator<Item = &str> + Clone {
    entries.iter().filter_map(|(key, _)| match &key.value {
        Value::String(name) => Some(name.as_str()),
        _ => None,
    })
}

/// The text of a scalar, by which a set is sorted.
pub(super) fn text_of(node: &Node) -> String {
    match &node.value {
        Value::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
