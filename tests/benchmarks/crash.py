"""Kills a system's process in the middle of a step, starts a new one, and counts the effects.

One task of six steps; the third is in flight when its process gets SIGKILL, once after its effect and once
before it. A system with a server of its own gets both again with the server killed too. What counts is how
often the third step acted, whether steps that had ended acted again, and what the system said about it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tally
from benchmarks.peer import Peer, Unavailable
from benchmarks.runner import Host, Order, Runner, Stage

STEPS = 6
HELD = 2
HOLD_LIMIT_S = 60.0
RESUME_LIMIT_S = 60.0


@dataclass(frozen=True)
class Crash:
    """What one kill showed.

    Attributes:
        killed: `worker`, or `worker and server`.
        variant: Whether the step in flight had `acted` or `not acted` at the kill.
        effects: How often that step's effect is in the tally in the end.
        entered_again: Whether the step's body ran again after the restart.
        repeated: Steps that had ended before the kill and acted again.
        told: What the system said about the step in flight; "" is nothing.
        resumed: Whether the task came to an end (or a declared park) by itself in time.
        recovery_s: From the start of the new process, imports included, to its first step; None without one.
    """

    killed: str
    variant: str
    effects: int
    entered_again: bool
    repeated: int
    told: str
    resumed: bool
    recovery_s: float | None

    @property
    def verdict(self) -> str:
        """The kill in a few words."""
        if not self.resumed:
            return f"not resumed within {RESUME_LIMIT_S:.0f} s"
        ran = "ran again" if self.entered_again else "did not run again"
        return f"{ran}, {f'reported `{self.told}`' if self.told else 'silently'}"


def observe(runner: Runner, peer: type[Peer], kills: int) -> list[Crash]:
    """Kill `peer` in each way `kills` times."""
    has_server = peer.start_server.__func__ is not Peer.start_server.__func__  # type: ignore[attr-defined]
    return [
        _kill_once(runner, peer, variant, with_server=with_server)
        for with_server in ((False, True) if has_server else (False,))
        for variant in tally.VARIANTS
        for _ in range(kills)
    ]


def summary(crashes: Sequence[Crash]) -> str:
    """Return all kills of one system in a line."""
    again = sum(crash.entered_again for crash in crashes)
    twice = sum(crash.effects > 1 for crash in crashes)
    told = sorted({crash.told for crash in crashes if crash.told})
    lost = sum(not crash.resumed for crash in crashes)
    recoveries = [crash.recovery_s for crash in crashes if crash.recovery_s is not None]
    parts = [
        f"ran again in {again} of {len(crashes)}",
        f"effect twice in {twice} of {sum(crash.variant == tally.ACTED for crash in crashes)}",
        f"ended steps repeated {sum(crash.repeated for crash in crashes)}",
        f"says `{'`, `'.join(told)}`" if told else "says nothing",
    ]
    if recoveries:
        parts.append(f"next step after {min(recoveries):.2f}-{max(recoveries):.2f} s")
    if lost:
        parts.append(f"{lost} not resumed within {RESUME_LIMIT_S:.0f} s")
    return "; ".join(parts)


def _kill_once(runner: Runner, peer: type[Peer], variant: str, *, with_server: bool) -> Crash:
    with runner.stage(peer) as stage:
        path = stage.site.folder.parent / "tally"
        with Host(Order(peer.name, "begin", {"steps": STEPS}, str(path), HELD, variant), stage) as victim:
            _wait_until_held(victim, path)
            victim.kill()
        if with_server:
            stage.restart_server()
        before = len(tally.lines(path))
        started = time.monotonic()
        told, resumed = _survive(peer, stage, path)
        notes = tally.lines(path)
    after = notes[before:]
    effects = [line.step for line in notes if line.what == "effect"]
    return Crash(
        killed="worker and server" if with_server else "worker",
        variant=variant,
        effects=effects.count(HELD),
        entered_again=any(line.step == HELD for line in after),
        repeated=sum(effects.count(step) > 1 for step in range(HELD)),
        told=told,
        resumed=resumed,
        recovery_s=min((line.at for line in after), default=started) - started if after else None,
    )


def _wait_until_held(victim: Host, path: Path) -> None:
    deadline = time.monotonic() + HOLD_LIMIT_S
    while not any(line.what == "holding" for line in tally.lines(path)):
        if victim.has_ended(within_s=0.01):
            victim.answer()
            raise Unavailable("its task ended before the step that was to be killed")
        if time.monotonic() > deadline:
            raise Unavailable(f"its task did not reach step {HELD + 1} within {HOLD_LIMIT_S:.0f} s")


def _survive(peer: type[Peer], stage: Stage, path: Path) -> tuple[str, bool]:
    """Start a new process on the same site and let the system recover; no answer in time is a finding."""
    with Host(Order(peer.name, "resume", {"steps": STEPS}, str(path)), stage) as survivor:
        if not survivor.has_ended(within_s=RESUME_LIMIT_S):
            return "", False
        return str(survivor.answer()["told"]), True
