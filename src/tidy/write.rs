//! The pieces of a YAML text, put together again.

use std::ops::Range;

use super::order::Ordering;
use super::pieces::{Block, Child, Held, Layout, Trivia};
use super::refusal::Refusal;

/// The whole text.
pub(super) fn write(layout: &Layout<'_>, ordering: Ordering) -> Result<String, Refusal> {
    let mut writer = Writer { layout, text: String::new() };
    match &layout.root {
        Some(Held::Block(number)) => {
            if let Some(block) = layout.blocks.get(*number) {
                writer.root(block, ordering);
            }
        }
        // `{}`, `[]` or a scalar: comments around it have no place to go.
        _ => return Ok(layout.text.trim_end().to_owned() + "\n"),
    }
    Ok(writer.text.trim_end().to_owned() + "\n")
}

struct Writer<'l, 't> {
    layout: &'l Layout<'t>,
    text: String,
}

impl<'l> Writer<'l, '_> {
    /// The outermost block. What stands above its first child is the head of the file, and stays there.
    fn root(&mut self, block: &Block, ordering: Ordering) {
        let first = block.children.first().copied();
        if let Some(child) = self.child(first) {
            self.lines(&child.above, 0, true);
        }
        self.block(block, 0, ordering, first, false);
    }

    fn child(&self, number: Option<usize>) -> Option<&'l Child> {
        self.layout.children.get(number?)
    }

    /// A block at a column. The lines above the child `head` are written already. If the block is what an item holds
    /// (`is_item`), its first line stands behind the dash.
    fn block(
        &mut self,
        block: &Block,
        column: usize,
        ordering: Ordering,
        head: Option<usize>,
        is_item: bool,
    ) {
        let keys = self.keys(block);
        let order = self.order(block, ordering);
        for (place, number) in order.into_iter().enumerate() {
            let Some(child) = self.child(Some(number)) else { continue };
            let is_first = place == 0;
            if head != Some(number) && !(is_item && is_first) {
                // Behind the head of the file, a blank line stays.
                self.lines(&child.above, column, is_first && (head.is_none() || self.text.is_empty()));
            }
            if !(is_item && is_first) {
                self.text.push_str(&" ".repeat(column));
            }
            match &child.key {
                None => self.item(child, column, ordering),
                Some((range, key)) => {
                    self.text.push_str(self.slice(range));
                    self.text.push(':');
                    self.entry(
                        child,
                        column,
                        block.column,
                        ordering.of_key(key, keys.iter().map(String::as_str)),
                    );
                }
            }
        }
        self.lines(&block.foot, column, false);
    }

    fn keys(&self, block: &Block) -> Vec<String> {
        let children = block.children.iter().filter_map(|number| self.child(Some(*number)));
        children.filter_map(|child| Some(child.key.as_ref()?.1.clone())).collect()
    }

    /// The children in the order in which they are written.
    fn order(&self, block: &Block, ordering: Ordering) -> Vec<usize> {
        let mut order = block.children.clone();
        if !block.is_list {
            let keys = self.keys(block);
            order.sort_by_key(|number| {
                let key = self.child(Some(*number)).and_then(|child| child.key.as_ref());
                key.map(|(_, key)| ordering.position(key, keys.iter().map(String::as_str)))
            });
            return order;
        }
        let children: Vec<Option<&Child>> = order.iter().map(|number| self.child(Some(*number))).collect();
        if !ordering.is_set() || children.iter().flatten().any(|child| child.scalar.is_none()) {
            return order;
        }
        // A comment or a blank line above an item begins a group: the item stays, and those behind it are sorted.
        let is_fixed =
            |number: &usize| self.child(Some(*number)).is_some_and(|child| !child.above.is_empty());
        for group in order.chunk_by_mut(|_, next| !is_fixed(next)) {
            let from = usize::from(group.first().is_some_and(is_fixed));
            if let Some(group) = group.get_mut(from..) {
                group.sort_by_key(|number| self.child(Some(*number)).and_then(|child| child.scalar.clone()));
            }
        }
        order
    }

    /// An item, from its dash on.
    fn item(&mut self, child: &'l Child, column: usize, ordering: Ordering) {
        let ordering = ordering.of_item();
        if let Held::Block(number) = child.held
            && let Some(block) = self.layout.blocks.get(number)
        {
            // Comments above the key that comes to stand behind the dash go above the dash.
            let first = self.order(block, ordering).first().copied();
            let above: Vec<Trivia> = self.child(first).map(|first| first.above.clone()).unwrap_or_default();
            let comments: Vec<Trivia> = above.into_iter().filter(|line| *line != Trivia::Blank).collect();
            if !comments.is_empty() {
                let indent = self.text.len() - column;
                self.text.truncate(indent);
                self.lines(&comments, column, false);
                self.text.push_str(&" ".repeat(column));
            }
            self.text.push_str("- ");
            self.block(block, column + 2, ordering, None, true);
            return;
        }
        self.text.push('-');
        let before = self.layout.blocks.get(child.block).map_or(column, |block| block.column);
        self.entry(child, column, before, ordering);
    }

    /// What follows a colon or a dash, and the comment beside it. `before` is the column where the key or the dash was.
    fn entry(&mut self, child: &'l Child, column: usize, before: usize, ordering: Ordering) {
        let beside = child.beside.as_deref().unwrap_or_default();
        match &child.held {
            Held::Block(number) => {
                self.text.push_str(beside);
                self.text.push('\n');
                if let Some(block) = self.layout.blocks.get(*number) {
                    let column = if block.is_list { column } else { column + 2 };
                    self.block(block, column, ordering, None, false);
                }
            }
            Held::Text(range) if range.is_empty() => {
                self.text.push_str(beside);
                self.text.push('\n');
            }
            Held::Brackets(range, scalars) if ordering.is_set() && self.is_plain_list(range, scalars) => {
                let mut items: Vec<&str> = scalars.iter().map(|range| self.slice(range)).collect();
                items.sort_by_key(|item| item.trim_matches(['\'', '"']));
                self.text.push_str(&format!(" [{}]{beside}\n", items.join(", ")));
            }
            Held::Text(range) | Held::Brackets(range, _) => {
                self.text.push(' ');
                self.shifted(range, before, column);
                self.text.push_str(beside);
                self.text.push('\n');
            }
        }
    }

    /// Whether a list in brackets is on one line, and holds at least two scalars and nothing else.
    fn is_plain_list(&self, whole: &Range<usize>, scalars: &[Range<usize>]) -> bool {
        !self.slice(whole).contains('\n') && scalars.len() > 1
    }

    /// A text whose first line was at a column, and is at another one now.
    fn shifted(&mut self, range: &Range<usize>, before: usize, now: usize) {
        let text = self.slice(range);
        // Blanks at the end of a line count behind `|` and `>` alone.
        let is_block = text.starts_with(['|', '>']);
        for (number, line) in text.split('\n').enumerate() {
            let line = if is_block { line } else { line.trim_end() };
            if number == 0 {
                self.text.push_str(line);
                continue;
            }
            self.text.push('\n');
            let bare = line.trim_start_matches(' ');
            if !bare.is_empty() {
                let indent = (line.len() - bare.len() + now).saturating_sub(before);
                self.text.push_str(&" ".repeat(indent.max(now + 1)));
                self.text.push_str(bare);
            }
        }
    }

    fn slice(&self, range: &Range<usize>) -> &'l str {
        self.layout.text.get(range.clone()).unwrap_or_default()
    }

    /// Comments and blank lines. Of several blank lines, one stays, and none at the beginning of a block.
    fn lines(&mut self, lines: &[Trivia], column: usize, is_beginning: bool) {
        let mut is_blank = is_beginning;
        for line in lines {
            match line {
                Trivia::Blank if is_blank => {}
                Trivia::Blank => {
                    self.text.push('\n');
                    is_blank = true;
                }
                Trivia::Comment(comment) => {
                    self.text.push_str(&format!("{}{comment}\n", " ".repeat(column)));
                    is_blank = false;
                }
            }
        }
    }
}
