//! The recipes of docs/cookbook.md, as one tree.

use super::fragments;
use super::pages::{Kind, Page};

#[test]
fn the_recipes_load_pass_their_tests_and_are_tidy() {
    let page = Page::read("docs/cookbook.md");
    let (workspace, examples) = fragments::workspace(&page);
    assert!(examples > 40, "{examples}");
    let shipped = std::fs::read_to_string(workspace.path("config/opgate.yaml")).unwrap();
    let text = fragments::configuration(&shipped, &page.block(&Kind::Configuration).text);
    let workspace = workspace.write("config/opgate.yaml", &text);
    let block = page.block(&Kind::Cookbook);
    assert_eq!(block.text.lines().count(), 3);
    for line in block.text.lines() {
        let outcome = workspace.shell(line);
        assert_eq!(outcome.code, Some(0), "{line}\n{}", outcome.text());
    }
    // Each recipe has a test that is allowed and one that is not.
    for (heading, recipe) in page.text.split("\n## ").skip(2).filter_map(|section| section.split_once('\n')) {
        if heading == "Run them" {
            continue;
        }
        assert!(recipe.contains("expect: allowed"), "{heading}");
        assert!(recipe.matches("expect: ").count() > recipe.matches("expect: allowed").count(), "{heading}");
    }
}
