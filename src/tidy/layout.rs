//! A YAML text, taken apart: the comments and blank lines between its pieces are given to what they are about.

use std::ops::Range;

use super::comments::outside;
use super::pieces::{Held, Layout, Lines, Trivia};
use super::reader::Reader;
use super::refusal::Refusal;

/// Takes a text apart, in which lines end with `\n`.
pub(super) fn read(text: &str) -> Result<Layout<'_>, Refusal> {
    let mut reader = Reader::new(text);
    reader.document()?;
    let Reader { mut layout, lines, texts, scalars, .. } = reader;
    attach(text, &lines, &texts, &mut layout)?;
    beside(text, &lines, &outside(text, &scalars), &texts, &mut layout)?;
    Ok(layout)
}

/// Gives comments and blank lines to what they are about.
fn attach(text: &str, lines: &Lines, texts: &[Range<usize>], layout: &mut Layout<'_>) -> Result<(), Refusal> {
    let mut is_content = vec![false; lines.count()];
    for range in texts.iter().filter(|range| !range.is_empty()) {
        for number in lines.number(range.start)..=lines.number(range.end.saturating_sub(1)) {
            if let Some(content) = is_content.get_mut(number) {
                *content = true;
            }
        }
    }
    let mut run: Vec<(usize, Trivia)> = Vec::new();
    for (number, content) in is_content.iter().enumerate() {
        if *content {
            // They are in the order of the text.
            let first = layout.children.partition_point(|child| child.line < number);
            let owner = layout.children.get(first).filter(|child| child.line == number).map(|_| first);
            give(std::mem::take(&mut run), owner, layout);
            continue;
        }
        let line = lines.text(text, number);
        match line.trim() {
            "" => run.push((0, Trivia::Blank)),
            bare if bare.starts_with('#') => {
                run.push((line.len() - line.trim_start().len(), Trivia::Comment(bare.to_owned())));
            }
            _ => {
                return Err(Refusal {
                    at: lines.start(number),
                    message: "this line is not understood",
                    help: "write it in block style",
                });
            }
        }
    }
    give(run, None, layout);
    Ok(())
}

/// Gives a run of lines to the child that follows. Comments that are indented further belong to what stands above. So do those
/// that are as far, if a blank line parts them from the child and none from what is above: the items of a list may stand at
/// the column of its key.
fn give(run: Vec<(usize, Trivia)>, owner: Option<usize>, layout: &mut Layout<'_>) {
    if run.is_empty() {
        return;
    }
    let column = owner.and_then(|number| layout.block_of(number)).map(|block| block.column);
    let last = match owner {
        Some(number) => number.checked_sub(1),
        None => layout.children.len().checked_sub(1),
    };
    let blank = run.iter().position(|(_, trivia)| *trivia == Trivia::Blank).unwrap_or_default();
    // What the child stands in goes on.
    let open = owner.map(|number| layout.around(number)).unwrap_or_default();
    let mut rest = run.as_slice();
    for (number, (indent, trivia)) in run.iter().enumerate() {
        if *trivia == Trivia::Blank {
            continue;
        }
        let is_parted = number < blank;
        if column.is_some_and(|column| *indent < column || (*indent == column && !is_parted)) {
            break;
        }
        let Some(block) = last.and_then(|last| layout.enclosing(last, *indent)) else { break };
        if open.contains(&block) {
            break;
        }
        let until = number + 1;
        let from = run.len() - rest.len();
        let lines = run.get(from..until).unwrap_or_default().iter().map(|(_, trivia)| trivia.clone());
        if let Some(block) = layout.blocks.get_mut(block) {
            block.foot.extend(lines);
        }
        rest = run.get(until..).unwrap_or_default();
    }
    let lines = rest.iter().map(|(_, trivia)| trivia.clone());
    if let Some(child) = owner.and_then(|number| layout.children.get_mut(number)) {
        child.above.extend(lines);
    } else if let Some(block) = layout.blocks.first_mut() {
        // Behind the last line of the file.
        block.foot.extend(lines);
    }
}

/// Gives comments at the end of a line to the innermost child of the line.
fn beside(
    text: &str,
    lines: &Lines,
    comments: &[Range<usize>],
    texts: &[Range<usize>],
    layout: &mut Layout<'_>,
) -> Result<(), Refusal> {
    let mut texts: Vec<&Range<usize>> = texts.iter().filter(|range| !range.is_empty()).collect();
    texts.sort_unstable_by_key(|range| range.start);
    for comment in comments {
        let number = lines.number(comment.start);
        let before = text.get(lines.start(number)..comment.start).unwrap_or_default();
        let next = texts.partition_point(|range| range.end <= comment.start);
        let is_within = texts.get(next).is_some_and(|range| range.start < comment.start);
        if before.trim().is_empty() || is_within {
            continue;
        }
        let ends_here = |held: &Held| match held {
            Held::Text(range) | Held::Brackets(range, _) => {
                !range.is_empty() && lines.number(range.end.saturating_sub(1)) == number
            }
            Held::Block(_) => false,
        };
        let begun = layout.children.partition_point(|child| child.line <= number);
        let mut begun = layout.children.iter_mut().take(begun).rev();
        let child = begun.find(|child| child.line == number || ends_here(&child.held));
        let refusal = || Refusal::of(comment.start, "this comment belongs to no line");
        let child = child.ok_or_else(refusal)?;
        let gap = before.len() - before.trim_end().len();
        let comment_text = text.get(comment.clone()).unwrap_or_default().trim_end();
        if child.beside.replace(format!("{}{comment_text}", " ".repeat(gap))).is_some() {
            return Err(refusal());
        }
    }
    Ok(())
}
