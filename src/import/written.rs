//! The two files, as text.

use std::fmt::Write;

use super::method::{CredentialRule, ImportedMethod, ImportedService, Provider, Requirement};

/// The files of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFiles {
    /// `services/ID.yaml`.
    pub service: String,
    /// `services/ID.iam.yaml`.
    pub iam: String,
}

/// Writes both files. `source` names what they were made of.
pub fn written(service: &ImportedService, source: &str) -> ImportedFiles {
    let text = match &service.verbatim {
        Some(text) => text.clone(),
        None => service_file(service, source),
    };
    ImportedFiles { service: text, iam: iam_file(service, source) }
}

fn service_file(service: &ImportedService, source: &str) -> String {
    let mut text = format!("# Made of {} by `opgate import`.\n", one_line(source));
    text.push_str("type: google.api.Service\n");
    line(&mut text, 0, "name", &service.name);
    if let Some(title) = &service.title {
        line(&mut text, 0, "title", title);
    }
    if service.allow_cors {
        text.push_str("endpoints:\n");
        line(&mut text, 0, "- name", &service.name);
        text.push_str("  allow_cors: true\n");
    }
    text.push_str("http:\n  rules:\n");
    for method in &service.methods {
        http_rule(&mut text, method);
    }
    authentication(&mut text, service);
    text
}

fn http_rule(text: &mut String, method: &ImportedMethod) {
    line(text, 2, "- selector", &method.selector);
    let named = ["GET", "PUT", "POST", "DELETE", "PATCH"].contains(&method.http_method.as_str());
    if named {
        line(text, 4, &method.http_method.to_ascii_lowercase(), &method.template);
    } else {
        text.push_str("    custom:\n");
        line(text, 6, "kind", &method.http_method);
        line(text, 6, "path", &method.template);
    }
    if let Some(body) = method.body {
        line(text, 4, "body", body);
    }
}

fn authentication(text: &mut String, service: &ImportedService) {
    let ruled = service.methods.iter().filter(|method| {
        !matches!(
            method.credential,
            CredentialRule::AnyToken | CredentialRule::Written | CredentialRule::Undecided
        )
    });
    if service.providers.is_empty() && ruled.clone().next().is_none() {
        return;
    }
    text.push_str("authentication:\n");
    if !service.providers.is_empty() {
        text.push_str("  providers:\n");
    }
    for Provider { id, issuer, jwks_uri, audiences } in &service.providers {
        line(text, 2, "- id", id);
        line(text, 4, "issuer", issuer);
        if let Some(url) = jwks_uri {
            line(text, 4, "jwks_uri", url);
        }
        if !audiences.is_empty() {
            line(text, 4, "audiences", &audiences.join(", "));
        }
    }
    if ruled.clone().next().is_some() {
        text.push_str("  rules:\n");
    }
    for method in ruled {
        line(text, 2, "- selector", &method.selector);
        match &method.credential {
            CredentialRule::Scopes(scopes) => oauth(text, scopes),
            CredentialRule::Providers { requirements, scopes } => {
                if !scopes.is_empty() {
                    oauth(text, scopes);
                }
                text.push_str("    requirements:\n");
                for Requirement { provider, audiences } in requirements {
                    line(text, 4, "- provider_id", provider);
                    if !audiences.is_empty() {
                        line(text, 6, "audiences", &audiences.join(", "));
                    }
                }
            }
            CredentialRule::Optional => text.push_str("    allow_without_credential: true\n"),
            CredentialRule::AnyToken | CredentialRule::Written | CredentialRule::Undecided => {}
        }
    }
}

fn oauth(text: &mut String, scopes: &[String]) {
    text.push_str("    oauth:\n");
    line(text, 6, "canonical_scopes", &scopes.join(", "));
}

fn iam_file(service: &ImportedService, source: &str) -> String {
    let mut text = format!(
        "# Made of {} by `opgate import`. A method without a rule here is not exposed.\n",
        one_line(source)
    );
    line(&mut text, 0, "service", &service.name);
    let is_open = |method: &&ImportedMethod| method.questions.is_empty();
    text.push_str(if service.methods.iter().any(|method| is_open(&method)) {
        "rules:\n"
    } else {
        "rules: []\n"
    });
    for method in &service.methods {
        let mut rule = String::new();
        line(&mut rule, 0, "- selector", &method.selector);
        line(&mut rule, 2, "permission", &method.permission);
        line(&mut rule, 2, "resource", &method.resource);
        match method.credential {
            CredentialRule::AnyToken => rule.push_str("  scopes: none\n"),
            // A scope that no token has, until a person writes others.
            CredentialRule::Undecided => rule.push_str("  scopes: TO_DECIDE\n"),
            _ => {}
        }
        if let Some(body) = method.body_rule {
            line(&mut rule, 2, "body", body);
            if body == "stream" {
                rule.push_str("  body_may_name_another_resource: true\n");
            }
        }
        text.push('\n');
        comment(&mut text, &format!("{} {}", method.http_method, method.path));
        for remark in &method.remarks {
            comment(&mut text, remark);
        }
        if method.questions.is_empty() {
            text.push_str(&rule);
            continue;
        }
        for question in &method.questions {
            comment(&mut text, &format!("To decide: {question}."));
        }
        for written in rule.lines() {
            let _ = writeln!(text, "#{written}");
        }
    }
    text
}

/// Widest line of a comment.
const WIDTH: usize = 120;

fn comment(text: &mut String, words: &str) {
    let mut row = String::from("#");
    for word in one_line(words).split(' ') {
        if row.len() > 1 && row.len() + 1 + word.len() > WIDTH {
            text.push_str(&row);
            text.push('\n');
            row = String::from("#");
        }
        row.push(' ');
        row.push_str(word);
    }
    text.push_str(&row);
    text.push('\n');
}

fn line(text: &mut String, indent: usize, key: &str, value: &str) {
    let _ = writeln!(text, "{:indent$}{key}: {}", "", scalar(value));
}

/// A string as YAML 1.2 and 1.1 read it back: plain where that is clear, else quoted.
fn scalar(value: &str) -> String {
    let is_plain_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let is_word = value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && value.bytes().all(is_plain_byte)
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&value.to_ascii_lowercase().as_str());
    if is_word {
        return value.to_owned();
    }
    if value.chars().any(char::is_control) {
        // A JSON string is a YAML string (YAML 1.2, section 1.3).
        return serde_json::Value::from(value).to_string();
    }
    format!("'{}'", value.replace('\'', "''"))
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Report, Source};
    use crate::document;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any::<String>().prop_filter("XML-like YAML bytes", |value| {
            !value.chars().any(|letter| matches!(letter, '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{7f}'..='\u{9f}'))
        })) {
            let mut text = String::new();
            line(&mut text, 0, "key", &value);
            let mut report = Report::new();
            let node = document::parse(&Source::new("x.yaml", text.clone()), &mut report);
            let node = node.ok_or_else(|| TestCaseError::fail(report.render(false)))?;
            let found = crate::import::lookup::text(&node, "key").map(str::to_owned);
            prop_assert_eq!(found, Some(value), "{}", text);
        }
    }

    #[test]
    fn words_that_are_not_strings_to_some_reader_are_quoted() {
        for (value, expected) in [
            ("lab.example.com", "lab.example.com"),
            ("/v1/jobs", "/v1/jobs"),
            ("/v1/{name=jobs/*}", "'/v1/{name=jobs/*}'"),
            ("yes", "'yes'"),
            ("1e3", "'1e3'"),
            ("*", "'*'"),
            ("it's", "'it''s'"),
            ("", "''"),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(scalar(value), expected);
        }
    }
}
