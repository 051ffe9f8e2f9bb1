"""`python -m benchmarks [--only W1,crash,…] [--systems NAME,…] [--quick] [--json FILE] [--dir FOLDER]`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any

from benchmarks import admission, coordinated, crash, detection, gateway, rehearsal, watchers
from benchmarks.machine import machine_facts, probe_fsync
from benchmarks.peer import Peer, Unavailable
from benchmarks.registry import all_systems, our_systems
from benchmarks.report import Report, as_json
from benchmarks.rounds import Series, Workload, play
from benchmarks.runner import Runner

CRASH = "crash"
WATCHERS = "watchers"
GATEWAY = "gateway"
DETECTION = "detection"
REHEARSAL = "rehearsal"
ADMISSION = "admission"
COORDINATED = "coordinated"
OF_OURS = {WATCHERS, GATEWAY, DETECTION, REHEARSAL, ADMISSION, COORDINATED}
FULL = (
    Workload("W1", "one task of 200 steps", {"steps": 200}, 5),
    Workload("W2", "1,000 tasks of 5 steps at once", {"tasks": 1000, "steps": 5}, 3),
    Workload("W3", "1,000 no-op tasks, enqueue to done", {"tasks": 1000}, 3),
)
QUICK = (
    Workload("W1", "one task of 200 steps (quick)", {"steps": 200}, 2),
    Workload("W2", "100 tasks of 5 steps at once (quick)", {"tasks": 100, "steps": 5}, 1),
    Workload("W3", "200 no-op tasks, enqueue to done (quick)", {"tasks": 200}, 1),
)
KILLS_FULL, KILLS_QUICK = 2, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and return the exit status: 0 unless nothing could be measured."""
    options = _options(arguments)
    # Ended from outside, a run still stops its servers and clears its folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-", dir=options.dir))
    report = Report()
    runner = Runner(folder)
    try:
        result = _run(options, runner, folder, report)
    finally:
        runner.close()
        rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    return 0 if result["systems"] or any(result[name] for name in OF_OURS) else 1


def _run(options: argparse.Namespace, runner: Runner, folder: Path, report: Report) -> dict[str, Any]:
    facts, before = machine_facts(folder), probe_fsync(folder)
    report.machine(facts)
    report.fsync("before", before)
    if not our_systems():
        report.say("our own systems: none yet (benchmarks/ours.py does not exist)")
    probes, left_out = _probe(runner, options.systems if {*options.only} - OF_OURS else (), report)
    systems = [system for system in options.systems if system.name in probes]
    played: dict[str, tuple[Workload, Sequence[Series]]] = {}
    for workload in QUICK if options.quick else FULL:
        if workload.name in options.only and systems:
            played[workload.name] = (workload, play(runner, workload, systems, report.say))
    crashes, reasons = _crash(options, runner, systems, report)
    for workload, series in played.values():
        report.workload(workload, series)
    if CRASH in options.only:
        report.crashes(crashes, reasons)
    watched, passed = _watchers(options, folder, report), _gateway(options, folder, report)
    detected, explored = _detection(options, report), _rehearsal(options, report)
    judged, through = _admission(options, report), _coordinated(options, folder, report)
    for name, reason in left_out.items():
        report.say(f"left out: {name}: {reason}")
    after = probe_fsync(folder)
    report.fsync("after", after)
    return {
        "machine": facts.as_json(),
        "quick": options.quick,
        "fsync": {"before": asdict(before), "after": asdict(after)},
        "systems": probes,
        "left_out": left_out,
        "workloads": as_json(played),
        "watchers": asdict(watched) if watched else None,
        "gateway": asdict(passed) if passed else None,
        "detection": asdict(detected) if detected else None,
        "rehearsal": asdict(explored) if explored else None,
        "admission": asdict(judged) if judged else None,
        "coordinated": asdict(through) if through else None,
        "crashes": {name: [asdict(one) | {"verdict": one.verdict} for one in seen] for name, seen in crashes.items()},
    }


def _probe(
    runner: Runner, systems: Sequence[type[Peer]], report: Report
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Start every system once; what does not start here costs one line."""
    probes: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for system in systems:
        try:
            probes[system.name] = runner.probe(system)
        except Unavailable as error:
            left_out[system.name] = str(error)
            report.say(f"{system.name}: left out: {error}")
        else:
            report.settings(system.name, probes[system.name])
    return probes, left_out


def _crash(
    options: argparse.Namespace, runner: Runner, systems: Sequence[type[Peer]], report: Report
) -> tuple[dict[str, list[crash.Crash]], dict[str, str]]:
    seen: dict[str, list[crash.Crash]] = {}
    reasons: dict[str, str] = {}
    for system in systems if CRASH in options.only else ():
        if CRASH in system.lacks:
            reasons[system.name] = system.lacks[CRASH]
            continue
        try:
            seen[system.name] = crash.observe(runner, system, KILLS_QUICK if options.quick else KILLS_FULL)
        except Unavailable as error:
            reasons[system.name] = str(error)
        report.say(f"crash: {system.name}")
    return seen, reasons


def _watchers(options: argparse.Namespace, folder: Path, report: Report) -> watchers.Watchers | None:
    """Watch a node of ours, with its figures printed as they are: no peer has anything to compare."""
    if WATCHERS not in options.only:
        return None
    try:
        found = watchers.observe(folder, is_quick=options.quick)
    except Unavailable as error:
        report.say(f"watchers: left out: {error}")
        return None
    for line in found.lines():
        report.say(line)
    return found


def _gateway(options: argparse.Namespace, folder: Path, report: Report) -> gateway.GatewayFigures | None:
    """Call a model through a node of ours, and past it."""
    if GATEWAY not in options.only:
        return None
    try:
        found = gateway.observe(folder, is_quick=options.quick)
    except Unavailable as error:
        report.say(f"gateway: left out: {error}")
        return None
    for line in found.lines():
        report.say(line)
    return found


def _detection(options: argparse.Namespace, report: Report) -> detection.DetectionFigures | None:
    """Let our detectors and simple peers watch labelled traces."""
    if DETECTION not in options.only:
        return None
    found = detection.observe(is_quick=options.quick)
    for line in found.lines():
        report.say(line)
    return found


def _rehearsal(options: argparse.Namespace, report: Report) -> rehearsal.RehearsalFigures | None:
    """Explore a model beside SPIN."""
    if REHEARSAL not in options.only:
        return None
    found = rehearsal.observe(is_quick=options.quick)
    for line in found.lines():
        report.say(line)
    return found


def _admission(options: argparse.Namespace, report: Report) -> admission.AdmissionFigures | None:
    """Judge touches in memory, in a large world."""
    if ADMISSION not in options.only:
        return None
    found = admission.observe(is_quick=options.quick)
    for line in found.lines():
        report.say(line)
    return found


def _coordinated(options: argparse.Namespace, folder: Path, report: Report) -> coordinated.CoordinatedFigures | None:
    """Act through the whole path with and without a world."""
    if COORDINATED not in options.only:
        return None
    found = coordinated.observe(folder, is_quick=options.quick)
    for line in found.lines():
        report.say(line)
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    kinds = [workload.name for workload in FULL] + [CRASH, *sorted(OF_OURS)]
    known = {system.name: system for system in all_systems()}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(kinds), help=f"of {', '.join(kinds)}")
    parser.add_argument("--systems", default=",".join(known), help=f"of {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer rounds, for development")
    parser.add_argument("--json", type=Path, help="write samples, medians and ratios to this file")
    parser.add_argument("--dir", type=Path, help="folder on the disk under test; default the temporary folder")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    names = options.systems.split(",")
    for value, allowed in [(value, kinds) for value in options.only] + [(value, list(known)) for value in names]:
        if value not in allowed:
            parser.error(f"`{value}` is unknown; there is {', '.join(allowed)}")
    if options.dir and not options.dir.is_dir():
        parser.error(f"--dir `{options.dir}` is no folder")
    options.systems = [known[name] for name in names]
    return options


if __name__ == "__main__":
    sys.exit(main())
