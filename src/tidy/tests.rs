use proptest::prelude::*;

use super::*;

fn tidied(kind: &str, name: &str, text: &str) -> Result<String, String> {
    let mut report = Report::new();
    let source = Source::new(name, text);
    let tidied = tidy(&source, FileSchema::named(kind).unwrap(), &mut report);
    tidied.ok_or_else(|| report.render(false))
}

#[track_caller]
fn assert_tidied(kind: &str, text: &str, expected: &str) {
    let tidy = tidied(kind, "file.yaml", text).unwrap();
    assert_eq!(tidy, expected);
    assert_eq!(tidied(kind, "file.yaml", expected).unwrap(), expected, "a second time");
}

#[test]
fn keys_are_in_order_and_members_sorted_and_comments_stay() {
    assert_tidied(
        "allow",
        "\
# Who may do what.

version: 3   # for the condition
# The team.
bindings:
    # Ana is on call.
    -   role: roles/a   # the least
        members:
        -   user:c@example.com
        -   user:b@example.com # Bob
        # The leads.
        -   user:z@example.com
        -   user:a@example.com
        # -   user:gone@example.com

        condition:
            title: a
            expression: >-
                request.time
                  < timestamp('2030-01-01T00:00:00Z')


    # Ana again.
    - members: ['user:b', \"user:a\"]   # both
      role: roles/b
      # Below.
# The end.
",
        "\
# Who may do what.

# The team.
bindings:
# Ana is on call.
- condition:
    expression: >-
        request.time
          < timestamp('2030-01-01T00:00:00Z')
    title: a
  members:
  - user:b@example.com # Bob
  - user:c@example.com
  # The leads.
  - user:z@example.com
  - user:a@example.com
  # -   user:gone@example.com
  role: roles/a   # the least

# Ana again.
- members: [\"user:a\", 'user:b']   # both
  role: roles/b
  # Below.
version: 3   # for the condition
# The end.
",
    );
}

/// A comment stays with the line below it, however it is indented, unless it ends a list or a mapping that has ended.
#[test]
fn comments_between_lines_stay_where_they_are() {
    for text in [
        "a@b.c:\n- user:a\n    # Far out.\nb@b.c: []\n",
        "members:\n# Above.\n\n  members: user:a\n",
        "a@b.c:\n- user:a\n# Of the list.\n\nb@b.c: []\n",
        "a@b.c:\n- user:a\n\n# Of b.\nb@b.c: []\n",
    ] {
        let tidy = tidied("groups", "a.yaml", text).unwrap();
        let plain = |text: &str| {
            text.lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(plain(&tidy), plain(text));
        assert_eq!(tidied("groups", "a.yaml", &tidy).as_ref(), Ok(&tidy));
    }
}

#[test]
fn each_kind_of_file_has_its_order() {
    assert_tidied(
        "role",
        "title: A\nname: roles/a\nincludedPermissions: [b.c.d, a.b.c]\n",
        "includedPermissions: [a.b.c, b.c.d]\nname: roles/a\ntitle: A\n",
    );
    assert_tidied(
        "iam",
        "rules:\n  - permission: none\n    selector: a.B.C\nservice: a.b\n",
        "service: a.b\nrules:\n- selector: a.B.C\n  permission: none\n",
    );
    assert_tidied(
        "service",
        "http:\n  rules:\n  - get: /v1/a\n    selector: a.B.C\nname: a.b\ndocumentation:\n  z: 1\n  a: 2\n",
        "name: a.b\ndocumentation:\n  z: 1\n  a: 2\nhttp:\n  rules:\n  - selector: a.B.C\n    get: /v1/a\n",
    );
    assert_tidied(
        "groups",
        "b@c.d:\n  - user:b@c.d\n  - user:a@c.d\na@c.d: []\n",
        "b@c.d:\n- user:a@c.d\n- user:b@c.d\na@c.d: []\n",
    );
    assert_tidied(
        "tests",
        "- expect: allowed\n  # x\n  name: a\n  call: GET /a\n",
        "# x\n- name: a\n  call: GET /a\n  expect: allowed\n",
    );
    assert_tidied("hierarchy", "{}\n", "{}\n");
    assert_tidied(
        "hierarchy",
        "projects/b:   folders/1\r\nprojects/a: {projectNumber: 1, parent: folders/1}\r\n",
        "projects/b: folders/1\nprojects/a: {projectNumber: 1, parent: folders/1}\n",
    );
}

#[test]
fn json_is_written_as_gcloud_does() {
    let text = "{\"version\":1,\"bindings\":[{\"role\":\"roles/a\",\"members\":[\"user:b\",\"user:a\"]}],\"etag\":\"\\u00e9\\n\"}";
    let expected = "{\n  \"bindings\": [\n    {\n      \"members\": [\n        \"user:a\",\n        \"user:b\"\n      ],\n      \"role\": \"roles/a\"\n    }\n  ],\n  \"etag\": \"é\\n\",\n  \"version\": 1\n}\n";
    assert_eq!(tidied("allow", "a.json", text).unwrap(), expected);
    assert_eq!(tidied("allow", "a.json", expected).unwrap(), expected);
    assert!(tidied("allow", "a.json", "{} # x\n").unwrap_err().contains("JSON has no comments"));
    assert!(tidied("allow", "a.json", "{version: ~}\n").unwrap_err().contains("this value is not JSON"));
}

/// The text stays as it is, and it is said why.
#[test]
fn what_cannot_be_moved_safely_is_refused() {
    for (text, told) in [
        ("bindings: &all\n- role: a\n", "an anchor or a tag"),
        ("a: &x 1\nb: *x\n", "an anchor or a tag"),
        ("a: !!str 1\n", "an anchor or a tag"),
        ("%YAML 1.2\n---\nbindings: []\n", "document marker"),
        ("--- {bindings: []}\n", "document marker"),
        ("bindings: []\n...\n", "document marker"),
        ("---\nbindings: []\n...\n", "document marker"),
        ("# Nothing yet.\n", "holds nothing"),
        ("", "holds nothing"),
        ("? bindings\n: []\n", "written with `?`"),
        ("bindings:\n- - a\n", "a list itself"),
        ("bindings:\n-\n  role: a\n", "line of its dash"),
        ("etag: |2\n   a\n", "indentation of this text is written out"),
        ("etag: 'a\nb'\n", "cannot be told apart"),
        ("bindings: [\n", "bracket"),
    ] {
        let refused = tidied("allow", "file.yaml", text).unwrap_err();
        assert!(refused.contains(told), "{text}\n{refused}");
        assert!(refused.contains("help: "), "{refused}");
    }
}

/// Some editors write the mark ahead of everything, also ahead of a comment.
#[test]
fn a_byte_order_mark_goes_and_what_stands_behind_it_stays() {
    let tidy = tidied("allow", "file.yaml", "\u{feff}# Mine.\r\nbindings: []\r\n").unwrap();
    assert_eq!(tidy, "# Mine.\nbindings: []\n");
}

/// Tools that check YAML ask for the marker.
#[test]
fn a_marker_at_the_beginning_stays_where_it_is() {
    assert_tidied(
        "allow",
        "# Mine.  \n\n---\n\nversion: 3\n# Who.\nbindings: []\n",
        "# Mine.\n\n---\n# Who.\nbindings: []\nversion: 3\n",
    );
}

#[test]
fn what_is_refused_is_shown_where_it_stands_whatever_lines_end_with() {
    for text in ["\u{feff}a: 1\r\nb: &x 1\r\n", "---\r\nb: &x 1\r\n", "a: 1\nb: &x 1\n"] {
        let refused = tidied("allow", "file.yaml", text).unwrap_err();
        assert!(refused.contains("file.yaml:2:"), "{refused}");
    }
}

/// The work for a line must not grow with the file. If it did, this test would run for many minutes.
#[test]
fn a_long_file_is_made_tidy() {
    let member = |number: usize| format!("  - user:{number:06}@example.com # {number}\n");
    let members = |numbers: &mut dyn Iterator<Item = usize>| numbers.map(member).collect::<String>();
    let text = |members: String| format!("bindings:\n- members:\n{members}  role: a\n");
    let tidy = tidied("allow", "file.yaml", &text(members(&mut (0..50_000).rev()))).unwrap();
    assert!(tidy == text(members(&mut (0..50_000))));
}

/// Lines as people write them.
fn line() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("user:a@example.com"),
        Just("'user:b'"),
        Just("\"x\\ty\""),
        Just("[b, a]"),
        Just("{z: 1, a: [2]}"),
        Just("1"),
        Just("null"),
        Just(""),
        Just("|\n        one\n          two"),
        Just(">-\n        one\n        two"),
        Just("one\n        two"),
    ];
    let key = prop_oneof![
        Just("members"),
        Just("role"),
        Just("condition"),
        Just("bindings"),
        Just("version"),
        Just("zz")
    ];
    let comment = prop_oneof![Just(""), Just("  # beside"), Just(" #x")];
    let content = prop_oneof![
        (key.clone(), scalar.clone(), comment.clone())
            .prop_map(|(key, value, comment)| format!("{key}: {value}{comment}")),
        (scalar.clone(), comment).prop_map(|(value, comment)| format!("- {value}{comment}")),
        (key.clone(), scalar).prop_map(|(key, value)| format!("- {key}: {value}")),
        key.prop_map(|key| format!("{key}:")),
        Just("# a comment".to_owned()),
        Just("#another".to_owned()),
        Just(String::new()),
    ];
    (0_usize..4, content).prop_map(|(level, content)| format!("{}{content}\n", "  ".repeat(level)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is written: the tidy text says the same, has the same comments, and is tidy.
    #[test]
    fn meaning_and_comments_never_change(lines in proptest::collection::vec(line(), 1..14)) {
        let text = lines.concat();
        let before = document::parse(&Source::new("a.yaml", text.as_str()), &mut Report::new());
        let schema = FileSchema::named("allow").unwrap();
        if let Ok(tidy) = tidied("allow", "a.yaml", &text) {
            let after = document::parse(&Source::new("a.yaml", tidy.as_str()), &mut Report::new()).unwrap();
            prop_assert!(same(&before.unwrap(), &after, Ordering(schema.root)), "{text}\n=>\n{tidy}");
            prop_assert_eq!(comments::comments(&text), comments::comments(&tidy));
            prop_assert_eq!(tidied("allow", "a.yaml", &tidy), Ok(tidy.clone()), "{}\n=>\n{}", text, tidy);
        }
    }

    /// A plain policy is never refused.
    #[test]
    fn a_plain_policy_is_made_tidy(
        members in proptest::collection::vec("(user|group):[a-z]{1,4}@example\\.com", 1..6),
        indent in 0_usize..4,
        comment in proptest::option::of("# [a-z ]{0,8}[a-z]"),
    ) {
        let (outer, inner) = (" ".repeat(indent), " ".repeat(indent + 2));
        let mut text = format!("bindings:\n{outer}- role: roles/a\n{inner}members:\n");
        for member in &members {
            if let Some(comment) = &comment {
                text.push_str(&format!("{inner}{comment}\n"));
            }
            text.push_str(&format!("{inner}- {member}\n"));
        }
        let tidy = tidied("allow", "a.yaml", &text).unwrap();
        for member in &members {
            prop_assert!(tidy.contains(member.as_str()));
        }
        if comment.is_none() {
            let mut sorted = members.clone();
            sorted.sort();
            let lines: Vec<&str> = tidy.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
            prop_assert_eq!(lines, sorted);
        }
    }
}
