"""Secrets taken out of what tools say: neither brain nor journal may see one (promise P5)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from comity.core.codec import canonical
from comity.journal.call import Attempt
from comity.journal.ports import OnProgress

MASK = "[hidden]"
SECRET_CHARS_MIN = 8
"""Shorter values are not taken for secrets: masking them would tear results apart."""


class Masks:
    """The secrets that hands are configured with; a longer one is masked before one that it contains."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Mask `secrets`."""
        found = {secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN}
        ordered = sorted(found, key=lambda secret: (-len(secret), secret))
        self._masks = [(secret, canonical(secret)[1:-1]) for secret in ordered]

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        for secret, _ in self._masks:
            text = text.replace(secret, MASK)
        return text

    def attempt(self, attempt: Attempt) -> Attempt:
        """Return an attempt whose value and words hold no secret, however JSON spells it."""
        if not self._masks:
            return attempt
        value = attempt.value
        for _, spelt in self._masks:
            value = value.replace(spelt, MASK.encode())
        error, hint = self.text(attempt.error), self.text(attempt.hint)
        return msgspec.structs.replace(attempt, value=value, error=error, hint=hint)

    def progress(self, on_progress: OnProgress) -> OnProgress:
        """Return what passes words of progress on without secrets."""
        if not self._masks:
            return on_progress
        return lambda text, fraction: on_progress(self.text(text), fraction)
