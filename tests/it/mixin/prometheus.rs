//! A real Prometheus, which scrapes a gate every second.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::files::mixin;

/// A running Prometheus. It ends when the value is dropped.
pub struct Prometheus {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

/// How the test's rules differ from those of config/mixin: what takes hours there takes seconds here.
fn hastened(rules: &str) -> String {
    let range = regex::Regex::new(r"\[(\w+)\]").unwrap();
    let rules = range.replace_all(rules, |found: &regex::Captures<'_>| match &found[1] {
        "5m" | "10m" => "[10s]",
        _ => "[30s]",
    });
    let wait = regex::Regex::new(r"for: \w+").unwrap();
    let offset = regex::Regex::new(r"offset \w+").unwrap();
    let rules = wait.replace_all(&rules, "for: 1s");
    let rules = offset.replace_all(&rules, "offset 5s");
    // The gate waits longer after each failure.
    let failures = "increase(opgate_jwks_refreshes_total{outcome!=\"success\"}[30s])) > ";
    assert_eq!(rules.contains("opgate_jwks_refreshes_total"), rules.contains(&format!("{failures}3")));
    rules.replace(&format!("{failures}3"), &format!("{failures}1"))
}

impl Prometheus {
    /// One that scrapes these addresses as the job `gate`, with the rules of config/mixin.
    pub async fn start(gates: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["rules", "alerts"] {
            let rules = std::fs::read_to_string(mixin().join(folder).join("opgate.yaml")).unwrap();
            std::fs::write(directory.path().join(format!("{folder}.yaml")), hastened(&rules)).unwrap();
        }
        let targets: Vec<String> = gates.iter().map(ToString::to_string).collect();
        // JSON is YAML.
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml", "alerts.yaml"],
            "scrape_configs": [{"job_name": "gate", "static_configs": [{"targets": targets}]}],
        });
        std::fs::write(directory.path().join("prometheus.yaml"), configuration.to_string()).unwrap();
        let log = directory.path().join("log");
        let child = Command::new("prometheus")
            .current_dir(directory.path())
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.format=json"])
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut prometheus = Self { child, directory, address: ([127, 0, 0, 1], 0).into() };
        let deadline = Instant::now() + Duration::from_secs(60);
        prometheus.address = loop {
            if let Some(address) = listening(&log) {
                break address;
            }
            let ended = prometheus.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", prometheus.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        prometheus
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Asks the HTTP API, and gives `data`; the text of the error where it says that the question is wrong.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let url = Url::parse_with_params(&url, parameters).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].clone()),
            _ => Err(answer.to_string()),
        }
    }

    /// The values that a query gives now, one for each series.
    pub async fn query(&self, expression: &str) -> Result<Vec<f64>, String> {
        let data = self.ask("query", &[("query", expression)]).await?;
        let series = data["result"].as_array().unwrap().iter();
        Ok(series.map(|one| one["value"][1].as_str().unwrap().parse().unwrap()).collect())
    }

    /// The labels of all series that a selector has found since the start.
    pub async fn series(&self, selector: &str) -> Result<Vec<Value>, String> {
        let data = self.ask("series", &[("match[]", selector)]).await?;
        Ok(data.as_array().unwrap().clone())
    }

    /// The alerts that fire: all their labels.
    pub async fn firing(&self) -> Vec<Value> {
        let data = self.ask("alerts", &[]).await.unwrap();
        let alerts = data["alerts"].as_array().unwrap().iter();
        alerts.filter(|alert| alert["state"] == "firing").map(|alert| alert["labels"].clone()).collect()
    }

    /// Waits until all these alerts fire, or until none of them does.
    pub async fn until(&self, alerts: &[&str], fire: bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let firing = self.firing().await;
            let fires = |name: &&&str| firing.iter().any(|labels| labels["alertname"] == **name);
            let wrong: Vec<&&str> = alerts.iter().filter(|name| fires(name) != fire).collect();
            if wrong.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{wrong:?}: not as they should be ({fire}): {firing:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the rules have been evaluated without an error, and gives the errors of those that have one.
    pub async fn rule_errors(&self) -> Vec<String> {
        let groups = self.ask("rules", &[]).await.unwrap();
        let groups = groups["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let errors = rules.filter(|rule| rule["health"] != "ok");
        errors.map(|rule| format!("{}: {} {}", rule["name"], rule["health"], rule["lastError"])).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address that it says it listens at.
fn listening(log: &Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(log).ok()?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = lines.filter(|line| line["msg"] == "Listening on");
    found.next().map(|line| line["address"].as_str().unwrap().parse().unwrap())
}
