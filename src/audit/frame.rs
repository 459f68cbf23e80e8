//! What all lines of a process have in common, as JSON that is copied.

use super::entry::Log;
use super::json::{Caps, JsonWriter};

/// Where lines belong and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// `,"logName":…,"resource":…` up to the labels of the call, of each log.
    activity: String,
    data_access: String,
    /// `,"labels":…`
    labels: String,
    /// `,"trace":"…/traces/`
    traces: String,
    /// What compact lines have in place of those.
    short: String,
}

impl Frame {
    pub(super) fn new(parent: &str, log_id: &str, instance: &str) -> Self {
        let json = |write: &dyn Fn(&mut JsonWriter<'_>)| {
            let mut buffer = String::new();
            write(&mut JsonWriter::new(&mut buffer, Caps::NONE));
            buffer
        };
        // The last part of the parent: of a project, its id.
        let project = parent.rsplit('/').next().unwrap_or_default();
        let head = |log: &str| {
            json(&|json| {
                json.raw(",\"logName\":");
                json.text(&format!("{parent}/logs/{log_id}%2F{log}"));
                json.raw(",\"resource\":{\"type\":\"audited_resource\",\"labels\":{\"project_id\":");
                json.text(project);
            })
        };
        Self {
            activity: head("activity"),
            data_access: head("data_access"),
            labels: json(&|json| {
                json.raw(",\"labels\":{\"opgate/instance\":");
                json.text(instance);
                json.raw("}");
            }),
            traces: json(&|json| {
                json.raw(",\"trace\":");
                json.text(&format!("{parent}/traces/"));
            })
            .trim_end_matches('"')
            .to_owned(),
            short: json(&|json| {
                json.raw(",\"p\":");
                json.text(parent);
                json.raw(",\"l\":");
                json.text(log_id);
                json.raw(",\"in\":");
                json.text(instance);
            }),
        }
    }

    pub(super) fn log(&self, log: Log) -> &str {
        match log {
            Log::Activity => &self.activity,
            Log::DataAccess => &self.data_access,
        }
    }

    pub(super) fn labels(&self) -> &str {
        &self.labels
    }

    pub(super) fn traces(&self) -> &str {
        &self.traces
    }

    pub(super) fn short(&self) -> &str {
        &self.short
    }
}
