"""The envelope as text: what an agent is told, at the end of each model call, of what others do on what it may touch.

It is an argument of the performed call, beside those that were asked, so that the conversation and its head stay as
they are: the journal has what was added, recall compares what was asked, and a provider's prefix cache finds the rest.
"""

from __future__ import annotations

from typing import Final

ENVELOPE: Final = "envelope"
"""The argument of a performed model call that holds the text."""
MARK: Final = "[comity]"
"""How the text begins, wherever it stands in a request."""
ENVELOPE_CHARS_MAX: Final = 2_000
