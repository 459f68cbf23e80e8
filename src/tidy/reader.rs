//! From the events of the parser to the pieces of a text.

use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, StrInput, StructureStyle};

use super::pieces::{Block, Child, Held, Layout, Lines};
use super::refusal::Refusal;

/// Deeper than any policy file.
const MAX_DEPTH: usize = 32;

/// Reads a text from its events.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    events: Parser<'t, StrInput<'t>>,
    pub(super) lines: Lines,
    pub(super) layout: Layout<'t>,
    /// The ranges of all keys, scalars and flow collections.
    pub(super) texts: Vec<Range<usize>>,
    /// The ranges of all scalars, those in flow collections too.
    pub(super) scalars: Vec<Range<usize>>,
    depth: usize,
}

type Next<'t> = (Event<'t>, Range<usize>);

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            events: Parser::with_options(StrInput::new(text), Options::default()),
            lines: Lines::of(text),
            layout: Layout { text, ..Layout::default() },
            texts: Vec::new(),
            scalars: Vec::new(),
            depth: 0,
        }
    }

    fn next(&mut self) -> Result<Next<'t>, Refusal> {
        let unreadable = || Refusal {
            at: 0,
            message: "the lines of this file cannot be told apart",
            help: "indent every line of a text in quotes",
        };
        let (event, place) = self.events.next().ok_or_else(unreadable)?.map_err(|_| unreadable())?;
        let range = place.byte_range().ok_or_else(unreadable)?;
        let range = range.start..range.end.max(range.start);
        if matches!(event, Event::Scalar(..)) {
            self.scalars.push(range.clone());
        }
        Ok((event, range))
    }

    pub(super) fn document(&mut self) -> Result<(), Refusal> {
        self.next()?;
        let (start, range) = self.next()?;
        if matches!(start, Event::StreamEnd) {
            let (message, help) = ("the file holds nothing", "write something into it, or remove it");
            return Err(Refusal { at: range.start, message, help });
        }
        if !matches!(start, Event::DocumentStart(false, None)) {
            return Err(Refusal::of(range.start, "the file has a document marker or a directive"));
        }
        let first = self.next()?;
        let held = self.value(first, None)?;
        self.layout.root = Some(held);
        let (_, range) = self.next()?;
        match self.next()? {
            (Event::StreamEnd, _) if self.text.get(range.clone()).is_none_or(str::is_empty) => Ok(()),
            _ => Err(Refusal::of(range.start, "the file has a document marker")),
        }
    }

    /// A value that begins with this event; `parent` is the child that it belongs to.
    fn value(&mut self, (event, range): Next<'t>, parent: Option<usize>) -> Result<Held, Refusal> {
        match event {
            Event::Scalar(text, style, 0, None) => {
                let range = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => {
                        let range = self.block_scalar(range.start, parent)?;
                        self.scalars.push(range.clone());
                        range
                    }
                    _ => range,
                };
                self.texts.push(range.clone());
                if let Some(child) = parent.and_then(|number| self.layout.children.get_mut(number)) {
                    child.scalar = Some(text.into_owned());
                }
                Ok(Held::Text(range))
            }
            Event::SequenceStart(StructureStyle::Flow, 0, None) => self.flow(range.start, true),
            Event::MappingStart(StructureStyle::Flow, 0, None) => self.flow(range.start, false),
            Event::SequenceStart(StructureStyle::Block, 0, None) => self.list(parent),
            Event::MappingStart(StructureStyle::Block, 0, None) => self.mapping(parent),
            Event::Alias(_) => Err(Refusal::of(range.start, "the file has an alias")),
            _ => Err(Refusal::of(range.start, "the file has an anchor or a tag")),
        }
    }

    /// A flow collection, which stays as it is.
    fn flow(&mut self, start: usize, is_list: bool) -> Result<Held, Refusal> {
        let (mut depth, mut scalars) = (1_usize, is_list.then(Vec::new));
        loop {
            let (event, range) = self.next()?;
            match event {
                Event::Scalar(_, _, 0, None) => {
                    if let Some(scalars) = &mut scalars {
                        scalars.push(range);
                    }
                }
                Event::SequenceStart(_, 0, None) | Event::MappingStart(_, 0, None) => {
                    depth += 1;
                    scalars = None;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    depth -= 1;
                    if depth == 0 {
                        let whole = start..range.end;
                        self.texts.push(whole.clone());
                        return Ok(match scalars {
                            Some(scalars) => Held::Brackets(whole, scalars),
                            None => Held::Text(whole),
                        });
                    }
                }
                _ => return Err(Refusal::of(range.start, "the file has an anchor, an alias or a tag")),
            }
        }
    }

    /// A text behind `|` or `>`, from there on: its lines are indented further than its key.
    fn block_scalar(&self, content: usize, parent: Option<usize>) -> Result<Range<usize>, Refusal> {
        let refusal = || {
            let message = "the indentation of this text is written out, or a comment is beside it";
            Refusal::of(content, message)
        };
        let child = parent.and_then(|number| self.layout.children.get(number)).ok_or_else(refusal)?;
        let (key, _) = child.key.as_ref().ok_or_else(refusal)?;
        // Behind the colon.
        let line = self.lines.number(key.start);
        let whole = self.lines.text(self.text, line);
        let behind = whole.get(self.lines.column(key.end) + 1..).unwrap_or_default();
        if !matches!(behind.trim(), "|" | "|-" | ">" | ">-") {
            return Err(refusal());
        }
        let start = key.end + 1 + (behind.len() - behind.trim_start().len());
        let mut end = start + behind.trim().len();
        let column = self.lines.column(key.start);
        for number in line + 1..self.lines.count() {
            let line = self.lines.text(self.text, number);
            let bare = line.trim_start_matches(' ');
            if !bare.is_empty() && line.len() - bare.len() <= column {
                break;
            }
            if !bare.is_empty() {
                end = self.lines.start(number) + line.len();
            }
        }
        Ok(start..end)
    }

    fn begin(&mut self, parent: Option<usize>, column: usize, is_list: bool) -> Result<usize, Refusal> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Refusal::of(0, "the file is nested too deeply"));
        }
        self.layout.blocks.push(Block { parent, column, is_list, children: Vec::new(), foot: Vec::new() });
        Ok(self.layout.blocks.len() - 1)
    }

    fn child(&mut self, block: usize, key: Option<(Range<usize>, String)>, at: usize) -> usize {
        let number = self.layout.children.len();
        let line = self.lines.number(at);
        let held = Held::Text(at..at);
        self.layout.children.push(Child {
            block,
            key,
            scalar: None,
            held,
            line,
            above: Vec::new(),
            beside: None,
        });
        if let Some(block) = self.layout.blocks.get_mut(block) {
            block.children.push(number);
        }
        number
    }

    fn hold(&mut self, child: usize, held: Held) {
        if let Some(child) = self.layout.children.get_mut(child) {
            child.held = held;
        }
    }

    fn list(&mut self, parent: Option<usize>) -> Result<Held, Refusal> {
        let mut block = None;
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::SequenceEnd) {
                break;
            }
            let at = next.1.start;
            let before = self.text.get(self.lines.start(self.lines.number(at))..at).unwrap_or_default();
            // In `- - a`, or with the dash on a line of its own, the column of the dash is not that of the line.
            let dash = before.trim_end().strip_suffix('-').filter(|rest| rest.trim().is_empty());
            let Some(dash) = dash else {
                return Err(Refusal::of(
                    at,
                    "an item does not begin on the line of its dash, or is a list itself",
                ));
            };
            let number = match block {
                Some(number) => number,
                None => *block.insert(self.begin(parent, dash.len(), true)?),
            };
            let child = self.child(number, None, at);
            let held = self.value(next, Some(child))?;
            self.hold(child, held);
        }
        self.depth = self.depth.saturating_sub(1);
        block.map(Held::Block).ok_or_else(|| Refusal::of(0, "a list has no item"))
    }

    fn mapping(&mut self, parent: Option<usize>) -> Result<Held, Refusal> {
        let mut block = None;
        loop {
            let (event, range) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(
                    text,
                    ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted,
                    0,
                    None,
                ) => text.into_owned(),
                _ => return Err(Refusal::of(range.start, "a key is not a plain text")),
            };
            let column = self.lines.column(range.start);
            let number = match block {
                Some(number) => number,
                None => *block.insert(self.begin(parent, column, false)?),
            };
            let colon = self.text.get(range.end..).unwrap_or_default().starts_with(':');
            if !colon || range.is_empty() {
                return Err(Refusal::of(range.start, "a key is written with `?`, or away from its colon"));
            }
            self.texts.push(range.clone());
            let child = self.child(number, Some((range.clone(), key)), range.start);
            let next = self.next()?;
            let held = self.value(next, Some(child))?;
            self.hold(child, held);
        }
        self.depth = self.depth.saturating_sub(1);
        block.map(Held::Block).ok_or_else(|| Refusal::of(0, "a mapping has no key"))
    }
}
