//! The pieces of a YAML text: blocks, the texts of their values, and the comments and blank lines around them.

use std::ops::Range;

/// A text in pieces. Children and blocks have numbers, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Layout<'t> {
    pub(super) text: &'t str,
    pub(super) root: Option<Held>,
    pub(super) children: Vec<Child>,
    pub(super) blocks: Vec<Block>,
}

/// What a child holds.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// A scalar or a flow collection, as it was written. Empty where nothing was.
    Text(Range<usize>),
    /// A list of scalars in brackets.
    Brackets(Range<usize>, Vec<Range<usize>>),
    /// A list or a mapping with a line for each child.
    Block(usize),
}

/// A list or a mapping with a line for each child.
#[derive(Debug)]
pub(super) struct Block {
    /// The child that holds it.
    pub(super) parent: Option<usize>,
    /// Where its dashes or keys stand in their lines.
    pub(super) column: usize,
    pub(super) is_list: bool,
    pub(super) children: Vec<usize>,
    /// Comments below the last child, indented like it.
    pub(super) foot: Vec<Trivia>,
}

/// An item of a list, or an entry of a mapping.
#[derive(Debug)]
pub(super) struct Child {
    /// The block that it stands in.
    pub(super) block: usize,
    /// The key as it was written, and as it reads.
    pub(super) key: Option<(Range<usize>, String)>,
    /// How the scalar that it holds reads.
    pub(super) scalar: Option<String>,
    pub(super) held: Held,
    /// The number of its first line.
    pub(super) line: usize,
    /// Lines above it.
    pub(super) above: Vec<Trivia>,
    /// A comment at the end of its first line, with the blanks before it.
    pub(super) beside: Option<String>,
}

/// A line that is not content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trivia {
    Blank,
    /// With the `#`.
    Comment(String),
}

/// Where lines begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The number of the line of an offset, from 0.
    pub(super) fn number(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at).saturating_sub(1)
    }

    pub(super) fn start(&self, number: usize) -> usize {
        self.0.get(number).copied().unwrap_or_default()
    }

    pub(super) fn column(&self, at: usize) -> usize {
        at - self.start(self.number(at))
    }

    pub(super) fn text<'t>(&self, text: &'t str, number: usize) -> &'t str {
        let rest = text.get(self.start(number)..).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Layout<'_> {
    /// The block that a child stands in.
    pub(super) fn block_of(&self, child: usize) -> Option<&Block> {
        self.blocks.get(self.children.get(child)?.block)
    }

    /// The blocks around a child, from the inside out.
    pub(super) fn around(&self, child: usize) -> Vec<usize> {
        let parent = |number: &usize| {
            let parent = self.blocks.get(*number)?.parent?;
            Some(self.children.get(parent)?.block)
        };
        std::iter::successors(self.children.get(child).map(|child| child.block), parent).collect()
    }

    /// The innermost block around a child that is not indented further than this.
    pub(super) fn enclosing(&self, child: usize, indent: usize) -> Option<usize> {
        let mut number = self.children.get(child)?.block;
        loop {
            let block = self.blocks.get(number)?;
            if block.column <= indent {
                return Some(number);
            }
            number = self.children.get(block.parent?)?.block;
        }
    }
}
