"""The commands of the documentation, which the tests run."""

import re

from machine import ROOT


def block(page, kind):
    """The one block of this kind."""
    found = re.findall(rf"^```{re.escape(kind)}\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.S | re.M)
    assert len(found) == 1, f"docs/{page} has {len(found)} blocks `{kind}`"
    return found[0]


def commands(page, kind):
    return block(page, kind).splitlines()
