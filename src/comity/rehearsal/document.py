"""A report as the JSON that pipelines read."""

from __future__ import annotations

from typing import Any

import msgspec

from comity.rehearsal.report import Report


def as_document(report: Report) -> dict[str, Any]:
    """Return a report as plain values: `verdict`, `states`, `minimal_agents`, `counterexample`, `fixes` and more."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report))
    for fix, value in zip(report.fixes, plain["fixes"], strict=True):
        value.pop("edits", None)
        value |= {"patch": fix.patch, "is_safe": fix.is_safe, "attainment": fix.attainment}
    return plain
