"""`[tools.NAME]`: what an operator says of a tool. Of own tools little; of foreign ones all that they do not say."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from comity.core.errors import UsageError
from comity.journal.spec import Effect, ToolSpec

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class ToolSection(msgspec.Struct, frozen=True):
    """`[tools.NAME]` for a tool of ours, `[tools."SERVER.TOOL"]` for one of an upstream.

    What the author of an own tool declared, an operator can only make stricter. A foreign tool is what stands here,
    with the words of `ToolSpec`; of one that stands nowhere every call is irreversible.
    """

    effect: Effect | None = None
    visible_within_s: Seconds | None = None
    once: tuple[str, ...] = ()
    once_per: str = ""
    reconcile: str = ""
    compensate: str = ""
    verify: str = ""
    key_window_s: Seconds = 0.0
    key_argument: str = ""
    error_means: Literal["unknown", "not_happened", "answer"] | None = None

    def applied(self, spec: ToolSpec) -> ToolSpec:
        """Return an own tool's `spec` with these overrides.

        Raises:
            UsageError: the class would be less strict than the author's, or lack the tool that it leans on.
        """
        effect = self.effect or spec.effect
        ranks = list(Effect)
        if ranks.index(effect) < ranks.index(spec.effect):
            raise UsageError(
                "effect_widened",
                f"`tools.{spec.name}.effect` may not be `{effect}`: its author declared `{spec.effect}`",
                hint=f"take `{spec.effect}` or a stricter class ({', '.join(ranks[ranks.index(spec.effect) :])})",
            )
        lacks = {Effect.RECONCILABLE: not spec.reconcile, Effect.REVERSIBLE: not spec.compensate}
        if effect != spec.effect and lacks.get(effect, False):
            raise UsageError(
                "effect_unsupported",
                f"`tools.{spec.name}.effect` may not be `{effect}`: the tool has nothing to do that with",
                hint="`reconcilable` needs a `reconcile` tool, `reversible` a `compensate` tool",
            )
        visible_within_s = spec.visible_within_s if self.visible_within_s is None else self.visible_within_s
        return msgspec.structs.replace(spec, effect=effect, visible_within_s=visible_within_s)

    def declared(self, spec: ToolSpec) -> ToolSpec:
        """Return a foreign tool's `spec`, which says only what its server does, with what stands here."""
        return msgspec.structs.replace(
            spec,
            effect=self.effect or spec.effect,
            visible_within_s=self.visible_within_s or 0.0,
            once=self.once,
            once_per=self.once_per or "task",
            reconcile=self.reconcile,
            compensate=self.compensate,
            verify=self.verify,
            key_window_s=self.key_window_s,
            key_argument=self.key_argument,
            error_means=self.error_means or "",
        )

    @property
    def foreign_keys(self) -> tuple[str, ...]:
        """Return the keys that are set and mean nothing for a tool of ours, whose author declares them."""
        names = self.__struct_fields__[2:]
        return tuple(name for name in names if getattr(self, name) != getattr(_NOTHING, name))


_NOTHING = ToolSection()
