//! The files of config/mixin, taken apart.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::root;

/// The folder.
pub fn mixin() -> PathBuf {
    root().join("config/mixin")
}

/// A YAML file of it.
pub fn yaml(name: &str) -> Value {
    let text = std::fs::read_to_string(mixin().join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// An alert rule.
pub struct Alert {
    pub name: String,
    pub rule: Value,
}

impl Alert {
    pub fn severity(&self) -> String {
        self.rule["labels"]["severity"].as_str().unwrap().to_owned()
    }

    pub fn expression(&self) -> String {
        self.rule["expr"].as_str().unwrap().to_owned()
    }
}

/// A recording rule.
pub struct Record {
    pub name: String,
    pub expression: String,
}

fn rules(file: &str) -> Vec<Value> {
    let groups = yaml(file)["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// All alert rules. Some alerts have several.
pub fn alerts() -> Vec<Alert> {
    let alert = |rule: Value| Alert { name: rule["alert"].as_str().unwrap().to_owned(), rule };
    rules("alerts/opgate.yaml").into_iter().map(alert).collect()
}

/// All recording rules.
pub fn records() -> Vec<Record> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let record = |rule: Value| Record { name: text(&rule["record"]), expression: text(&rule["expr"]) };
    rules("rules/opgate.yaml").into_iter().map(record).collect()
}

/// The dashboard.
pub fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(mixin().join("dashboards/opgate.json")).unwrap()).unwrap()
}

/// Its panels, without the headings of the rows.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// A query of the dashboard, and what asks it.
pub struct Query {
    pub of: String,
    pub expression: String,
}

/// All queries of the dashboard: of its panels, annotations and variables.
pub fn queries(dashboard: &Value) -> Vec<Query> {
    let query = |of: &str, expression: &Value| Query {
        of: of.to_owned(),
        expression: expression.as_str().unwrap().to_owned(),
    };
    let mut queries = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            let legend = target["legendFormat"].as_str().unwrap();
            queries.push(query(&format!("{}: {legend}", panel["title"].as_str().unwrap()), &target["expr"]));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        queries.push(query(annotation["name"].as_str().unwrap(), &annotation["expr"]));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let values = variable["query"]["query"].as_str().and_then(|text| text.strip_prefix("label_values("));
        if let Some((expression, _label)) = values.and_then(|text| text.rsplit_once(", ")) {
            queries.push(query(variable["name"].as_str().unwrap(), &expression.into()));
        }
    }
    queries
}
