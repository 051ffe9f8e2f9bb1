"""The wire formats that are served, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from comity.models.format import WireFormat
from comity.models.format_chat import ChatFormat
from comity.models.format_messages import MessagesFormat
from comity.models.format_responses import ResponsesFormat

FORMATS: Mapping[str, WireFormat] = MappingProxyType(
    {known.name: known for known in (ChatFormat(), ResponsesFormat(), MessagesFormat())}
)
"""All formats: `FORMATS["chat"]`."""
