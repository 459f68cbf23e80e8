//! Names that look like names of resources, and that no request can ask about.
//!
//! A policy on such a name has no effect. An allow policy then lacks a binding; a deny policy lets a call through that
//! it was meant to refuse, so there it is an error. Only what is certain is reported: requests are refused or decoded
//! before a name is taken from them, and Google says how projects are named. Other services say what the ids of their
//! collections look like.

/// What is wrong with a name that no request can have, or `None` where a request may have it.
pub(super) fn unnameable(resource: &str) -> Option<String> {
    let segment = resource.split('/').find_map(|segment| Some((segment, of_segment(segment)?)));
    if let Some((segment, reason)) = segment {
        return Some(format!("`{}` {reason}", segment.escape_debug()));
    }
    let (collection, rest) = resource.split_once('/')?;
    let id = rest.split('/').next().unwrap_or_default();
    if collection == "projects" { of_project(id).map(|reason| format!("`{id}` {reason}")) } else { None }
}

/// What is wrong with a name whose collection is one of Resource Manager's in letters of another case, or without its last.
pub(super) fn misspelt(resource: &str) -> Option<String> {
    let collection = resource.split('/').next().unwrap_or_default();
    let is_meant = |name: &&str| {
        collection.eq_ignore_ascii_case(name)
            || name.strip_suffix('s').is_some_and(|one| collection.eq_ignore_ascii_case(one))
    };
    let meant = ["projects", "folders", "organizations"].into_iter().find(is_meant);
    meant
        .filter(|name| *name != collection)
        .map(|meant| format!("`{collection}` is not how `{meant}` is written"))
}

fn of_segment(segment: &str) -> Option<&'static str> {
    if segment.trim().len() != segment.len() {
        Some("begins or ends with a blank, and a request with such a segment is refused")
    } else if segment.chars().any(|character| character.is_control() || is_invisible(character)) {
        Some("holds a control or invisible character, and no id does")
    } else if has_encoded_octet(segment) {
        Some("is percent-encoded, and names are compared after they are decoded")
    } else if matches!(segment, "*" | "**") {
        Some(
            "stands for itself: a resource name has no wildcard, and a policy applies to everything below its resource",
        )
    } else {
        None
    }
}

/// An id has 6 to 30 lower-case letters, digits and hyphens, behind `DOMAIN:` if it is old; or it is a number
/// (<https://cloud.google.com/resource-manager/reference/rest/v3/projects>). Its length is not checked: test
/// environments have shorter ones.
fn of_project(id: &str) -> Option<&'static str> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some("has upper-case letters, and the ids of projects are in lower case")
    } else if !id.is_ascii() || id.contains([' ', '*', '%', '?', '#', '\\']) {
        Some("holds a character that the id of a project cannot have")
    } else {
        None
    }
}

/// Whether some `%` begins an encoded octet.
pub(super) fn has_encoded_octet(text: &str) -> bool {
    text.as_bytes().windows(3).any(
        |three| matches!(three, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
    )
}

/// Characters without a glyph: format characters, and what is displayed as nothing (Unicode,
/// `Default_Ignorable_Code_Point`).
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A loop of names as diagnostics write it, the first one again at the end.
pub(super) fn loop_text(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_request_can_ask_about_are_told() {
        let names = [
            "projects/*",
            "projects/de%6do",
            "projects/DEMO",
            "projects/demo ",
            " projects/demo",
            "projects/demo/locations/*",
            "projects/demo/locations/e%75",
            "projects/demo/locations/eu\u{200b}",
            "projects/dem\u{7f}o",
            "projects/d\u{e9}mo",
            "projects/team-*",
            "projects/\u{a0}demo",
        ];
        let told: String = names
            .iter()
            .map(|name| format!("{}: {}\n", name.escape_debug(), unnameable(name).unwrap_or_default()))
            .collect();
        insta::assert_snapshot!(told);
    }

    #[test]
    fn names_that_a_request_may_ask_about_are_left_alone() {
        for name in [
            "projects/demo",
            "projects/p",
            "projects/123456",
            "projects/example.com:lab",
            "projects/my_project",
            "folders/42",
            "organizations/7",
            "folders/eng",
            "projection/x",
            "publishers/Google/models/Gemini%",
            "projects/demo/locations/-/things/A b",
            "operations/O",
        ] {
            assert_eq!(unnameable(name).or_else(|| misspelt(name)), None, "{name}");
        }
    }

    #[test]
    fn a_misspelt_collection_is_told() {
        for name in ["Projects/demo", "project/demo", "FOLDERS/42", "folder/42", "organization/7"] {
            assert!(misspelt(name).is_some(), "{name}");
        }
    }
}
