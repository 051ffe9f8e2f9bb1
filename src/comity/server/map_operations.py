"""What the API tells of detectors, their alarms and the baseline, and of the causal map."""

from __future__ import annotations

import asyncio

import msgspec

from comity.coordination.causality.reach import REACH_DEPTH_MAX, WouldTouch, would_touch
from comity.coordination.causality.why import Why
from comity.coordination.detector import Alarm
from comity.coordination.detectors.panel import KINDS, Panel
from comity.coordination.seen_world import SeenWorld
from comity.core.errors import UsageError
from comity.journal.spec import ToolSpec
from comity.runtime.coordination.reading import read_snapshot
from comity.runtime.coordination.watching import Watching
from comity.runtime.programs import StoredPrograms
from comity.runtime.words import one_line
from comity.server.asking import Ask, misfit
from comity.server.operation import Drawn
from comity.server.world_bodies import AlarmsQuery, MapQuery, Time, WhyQuery, WouldTouchBody
from comity.server.world_documents import (
    AlarmList,
    BaselinePage,
    DetectorList,
    DetectorPage,
    MapDocument,
    alarm_document,
    baseline_document,
    detector_document,
)

RECENT = 20
MEDIA = {
    "text": "text/plain; charset=utf-8",
    "dot": "text/vnd.graphviz; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
"""What each format of a drawing is called on the wire."""


async def detectors(ask: Ask) -> DetectorList:
    """List detectors."""
    _, panel = await _watched(ask)
    return DetectorList([detector_document(item) for item in panel.standing()])


async def detector(ask: Ask) -> DetectorPage:
    """Show a detector with its newest alarms."""
    name = ask.path["detector"]
    watching, panel = await _watched(ask)
    found = next((item for item in panel.standing() if item.name == name), None)
    if found is None:
        hint = f"there are: {', '.join(f'`{one}`' for one in KINDS)}"
        raise UsageError("unknown_detector", f"there is no detector `{one_line(name, 60)}`", hint=hint)
    recent = [alarm for alarm in watching.alarms if alarm.detector == name][-RECENT:]
    return DetectorPage(detector_document(found), [alarm_document(alarm) for alarm in recent])


async def alarms(ask: Ask) -> AlarmList:
    """List alarms."""
    query: AlarmsQuery = ask.query
    watching, _ = await _watched(ask)
    since_us = _moment_us(query.since, 0)
    found: list[Alarm] = [
        alarm
        for alarm in watching.alarms
        if alarm.at_us > since_us and (not query.detector or alarm.detector == query.detector)
    ]
    shown = found[-query.limit :]
    return AlarmList([alarm_document(alarm) for alarm in shown], len(found) > len(shown))


async def baseline(ask: Ask) -> BaselinePage:
    """Show what is usual, and what was learned."""
    watching, _ = await _watched(ask)
    return await _baseline(ask, watching)


async def sign_baseline(ask: Ask) -> BaselinePage:
    """Sign off what was learned: detectors measure by it from now on."""
    watching, _ = await _watched(ask)
    await ask.world.sign(watching.learner.propose())
    return await _baseline(ask, await ask.site.coordination.watched())


async def draw(ask: Ask) -> MapDocument | Drawn:
    """Show a window on the causal map, as JSON or drawn."""
    query: MapQuery = ask.query
    watching, _ = await _watched(ask)
    found = await asyncio.to_thread(_map, watching, query, _moment_us(query.until, ask.site.clock.wall_us()))
    if query.format == "json":
        return found
    from comity.coordination.drawing.render import render
    from comity.coordination.drawing.showing import window_diagram

    data = await asyncio.to_thread(lambda: render(window_diagram(found.window, found.loops), query.format))
    return Drawn(data, MEDIA[query.format])


async def why(ask: Ask) -> Why:
    """Tell what made something happen."""
    query: WhyQuery = ask.query
    watching, _ = await _watched(ask)
    return watching.map.why(query.of)


async def would(ask: Ask) -> WouldTouch:
    """Tell what a call would touch, and what follows from that."""
    body: WouldTouchBody = ask.body
    watching, _ = await _watched(ask)
    now_us = ask.site.clock.wall_us()
    found = await read_snapshot(ask.site.store, now_us)
    picture, specs = found.picture, await _specs(ask)
    declared = SeenWorld(
        found.world, lambda name: picture.known(name, now_us), lambda: list(picture.fields), specs.get
    )  # fmt: skip
    return would_touch(watching.map.recorded, declared, body.tool, body.args, REACH_DEPTH_MAX)


def _moment_us(text: str | None, otherwise: int) -> int:
    """Return a moment of a query in microseconds.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return otherwise
    try:
        moment = msgspec.convert(text, Time)
    except msgspec.ValidationError as error:
        raise misfit("query", error) from None
    return round(moment.timestamp() * 1e6)


async def _watched(ask: Ask) -> tuple[Watching, Panel]:
    """Return what watches the world.

    Raises:
        UsageError: no world is in force.
    """
    watching = await ask.site.coordination.watched()
    if watching.panel is None:
        raise UsageError("no_world", "no world is in force", hint="`comity world apply FILE`")
    return watching, watching.panel


async def _baseline(ask: Ask, watching: Watching) -> BaselinePage:
    in_force = await ask.world.baseline()
    shown = baseline_document(in_force) if in_force.signed_by else None
    return BaselinePage(shown, baseline_document(watching.learner.propose()))


async def _specs(ask: Ask) -> dict[str, ToolSpec]:
    """Return the tools whose authors say what they touch, by name."""
    programs = await StoredPrograms(ask.site.store).all()
    tools = [tool for _, program in programs for tool in program.tools if tool.touches or tool.premises]
    return {tool.name: tool for tool in tools}


def _map(watching: Watching, query: MapQuery, until_us: int) -> MapDocument:
    from comity.coordination.causality.loops import find_loops

    here = watching.map
    since_us = max(0, until_us - round(query.window_s * 1e6))
    window = here.window(
        since_us, until_us, focus=query.focus, hops=query.hops, limit=query.limit, detail=query.detail
    )  # fmt: skip
    return MapDocument(window, find_loops(here.recorded, here.declared), list(here.interactions()))
