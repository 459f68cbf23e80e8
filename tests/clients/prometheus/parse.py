"""Reads a scrape with the parsers of Prometheus's own library, and says how many series there are."""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

for accept, parse in [("application/openmetrics-text; version=1.0.0", open_metrics), ("text/plain", plain)]:
    request = urllib.request.Request(sys.argv[1], headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
        media_type = answer.headers["content-type"].split(";")[0]
    families = {family.name: family for family in parse(text)}
    samples = [sample for family in families.values() for sample in family.samples]
    exemplars = sum(1 for sample in samples if sample.exemplar)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(samples) == len(lines), (len(samples), len(lines))
    print(media_type, families["opgate_request_duration_seconds"].type, exemplars)
