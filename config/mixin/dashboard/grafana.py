"""What a query and a panel are in Grafana's JSON."""

import re

# What operators ask. Each panel names the questions that it answers; docs/alerts.md lists them.
QUESTIONS = [
    "Does the gate decide?",
    "Who is denied?",
    "Why are requests denied?",
    "Was it the new policy?",
    "Do all machines have one policy?",
    "Did the last reload work?",
    "How long does a revocation take?",
    "When do the keys of an issuer end?",
    "Is an issuer slow?",
    "Whose tokens fail?",
    "Is the gate slow, or the backend?",
    "Which endpoint is ill?",
    "How often are requests sent again?",
    "Are audit lines lost?",
    "How full is the gate?",
    "Is it an attack, or a broken client?",
    "Do cancels work?",
    "How soon does a cancel work?",
    "When do certificates end?",
    "How much of the error budget is left?",
]

# What the dashboard's variables select.
SELECTED = 'job=~"$job", instance=~"$instance"'
# Records of ../rules are sums over the machines of a job.
OF_JOB = 'job=~"$job"'
# How the expressions of rows.py write these, and an interval with at least four scrapes.
SHORT = {"$s": SELECTED, "$j": OF_JOB, "$i": "$__rate_interval"}

GREEN, YELLOW, RED = "green", "yellow", "red"


def query(expr, legend="__auto"):
    """One query."""
    # All at once: `$j` is also how `$job` begins.
    expr = re.sub(r"\$[sji]\b", lambda short: SHORT[short[0]], expr)
    return {"expr": expr, "legendFormat": legend}


def quantiles(metric, by, legend, labels=""):
    """The median and the 99th percentile of a histogram."""
    by = ", ".join([*by, "le"])
    buckets = f"sum by ({by}) (rate({metric}_bucket{{{labels}$s}}[$i]))"
    return [
        query(f"histogram_quantile({quantile}, {buckets})", f"{name} {legend}".strip()) | {"exemplar": True}
        for quantile, name in (("0.5", "p50"), ("0.99", "p99"))
    ]


def panel(kind, title, questions, text, unit, queries, width, height, steps=None, **more):
    """A panel. `steps` are thresholds: (value from which on, colour)."""
    queries = queries if isinstance(queries, list) else [queries]
    asked = " ".join(f"{QUESTIONS[number - 1]} (question {number})" for number in questions)
    defaults = {"unit": unit, "noValue": "–"}
    if steps:
        first, *others = steps
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": first[1], "value": None}, *({"color": c, "value": v} for v, c in others)],
        }
    if "mappings" in more:
        defaults["mappings"] = more["mappings"]
    if kind == "timeseries":
        style = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
        if more.get("stack"):
            style |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
        if steps:
            style["thresholdsStyle"] = {"mode": "dashed"}
        defaults |= {"custom": style, "color": {"mode": "palette-classic"}, "min": more.get("min", 0)}
        if "max" in more:
            defaults["max"] = more["max"]
        options = {
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    elif kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        options = {
            "colorMode": "background",
            "graphMode": "area",
            "justifyMode": "center",
            "orientation": "vertical",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": more.get("text_mode", "auto"),
        }
    else:
        defaults["color"] = {"mode": "thresholds"}
        options = {
            "displayMode": "basic",
            "orientation": "horizontal",
            "minVizHeight": 16,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showUnfilled": True,
        }
    return {
        "type": kind,
        "title": title,
        "description": f"{text} Answers: {asked}",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                **one,
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "editorMode": "code",
                "range": True,
                "refId": chr(ord("A") + at),
            }
            for at, one in enumerate(queries)
        ],
        "gridPos": {"w": width, "h": height},
    }


def stat(title, questions, text, unit, queries, steps, **more):
    return panel("stat", title, questions, text, unit, queries, 4, 5, steps, **more)


def graph(title, questions, text, unit, queries, steps=None, width=8, **more):
    return panel("timeseries", title, questions, text, unit, queries, width, 8, steps, **more)


def bars(title, questions, text, unit, queries, steps):
    return panel("bargauge", title, questions, text, unit, queries, 8, 8, steps)
