#!/usr/bin/env python3
"""Makes ../dashboards/opgate.json, the Grafana dashboard (Grafana 10 or later). `make dashboard` runs it.

Change rows.py, not the JSON: a test holds that the two agree. Python's standard library is all that it needs. With
`--print`, the JSON goes to standard output.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from grafana import OF_JOB, SELECTED  # noqa: E402
from rows import ROWS  # noqa: E402


def laid_out():
    """The panels with their numbers and places, row by row from left to right."""
    panels, top = [], 0

    def put(one, left, width, height):
        panels.append({"id": len(panels) + 1, **one, "gridPos": {"x": left, "y": top, "w": width, "h": height}})

    for title, row in ROWS:
        put({"type": "row", "title": title, "collapsed": False, "panels": []}, 0, 24, 1)
        top += 1
        left = 0
        for one in row:
            width, height = one["gridPos"]["w"], one["gridPos"]["h"]
            put(one, left, width, height)
            left += width
            if left == 24:
                left, top = 0, top + height
        assert left == 0, f"the row {title} is not full"
    return panels


def variable(name, label, values):
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "definition": values,
        "query": {"query": values, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def dashboard():
    return {
        "uid": "opgate",
        "title": "opgate",
        "description": "Made by config/mixin/dashboard/build.py. docs/alerts.md says how to install it.",
        "tags": ["opgate"],
        "schemaVersion": 38,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Data source",
                    "query": "prometheus",
                    "current": {},
                    "hide": 0,
                    "includeAll": False,
                    "multi": False,
                    "options": [],
                    "refresh": 1,
                },
                variable("job", "Gate", "label_values(opgate_build_info, job)"),
                variable("instance", "Machine", 'label_values(opgate_build_info{job=~"$job"}, instance)'),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "New policy",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "enable": True,
                    "iconColor": "blue",
                    # One mark at the moment that the policy was loaded, not one at each step: the value is that moment.
                    "useValueForTime": True,
                    "expr": "1000 * max by (job, revision) (\n"
                    f"  opgate_policy_last_reload_success_timestamp_seconds{{{SELECTED}}}\n"
                    f"  * on (job, instance) group_left (revision) opgate_policy_info{{{SELECTED}}}\n"
                    ")",
                    "step": "60s",
                    "titleFormat": "Policy {{revision}}",
                    "textFormat": "{{job}}",
                },
                {
                    "name": "Alerts",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "enable": True,
                    "iconColor": "red",
                    "expr": f'ALERTS{{alertname=~"Opgate.+", alertstate="firing", {OF_JOB}}}',
                    "step": "60s",
                    "titleFormat": "{{alertname}}",
                    "tagKeys": "severity",
                },
            ]
        },
        "links": [],
        "panels": laid_out(),
    }


def main():
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(text)
    else:
        (Path(__file__).parent.parent / "dashboards" / "opgate.json").write_text(text, encoding="utf-8")


main()
