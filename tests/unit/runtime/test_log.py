"""Logs: one line an event, the task on it, and never a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest

from comity.core.errors import UsageError
from comity.runtime import log

logger = logging.getLogger("comity.test")


@pytest.fixture(autouse=True)
def restored():
    root, ours = logging.getLogger(), logging.getLogger("comity")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before
    log.unhide_all()


def test_a_text_line_has_moment_level_logger_message_fields_and_task():
    stream = io.StringIO()
    log.set_up("info", "text", stream)
    with log.task_scope("0198-task"):
        logger.info("lease renewed", extra={"fields": {"lease_s": 10, "note": "all is well", "id": b"\x01\xff"}})
    moment, rest = stream.getvalue().split(" ", 1)
    assert moment.endswith("Z")
    assert rest == 'INFO    comity.test lease renewed lease_s=10 note="all is well" id=01ff task=0198-task\n'


def test_a_json_line_has_the_same_as_one_object():
    stream = io.StringIO()
    log.set_up("debug", "json", stream)
    with log.task_scope("t1"):
        logger.debug("call `%s` settled", "pay", extra={"fields": {"seq": 4, "level": "no"}})
    line = json.loads(stream.getvalue())
    del line["at"]
    assert line == {"level": "debug", "logger": "comity.test", "message": "call `pay` settled", "seq": 4, "task": "t1"}


async def test_each_strand_logs_its_own_task():
    stream = io.StringIO()
    log.set_up("info", "json", stream)

    async def work(task: str) -> None:
        with log.task_scope(task):
            await asyncio.sleep(0)
            logger.info("working")

    await asyncio.gather(work("a"), work("b"))
    logger.info("idle")
    assert [json.loads(line).get("task") for line in stream.getvalue().splitlines()] == ["a", "b", None]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_hidden_value_is_in_no_message_field_or_traceback(form):
    stream = io.StringIO()
    log.set_up("info", form, stream)
    log.hide(["hush-hush", "hush-hush-longer", "abc", 'quo"ted'])
    try:
        int("-".join([*["hush"] * 2, "longer"]))
    except ValueError:
        logger.exception(
            "refused with %s", "hush-hush", extra={"fields": {"header": "Bearer hush-hush", "q": 'a quo"ted'}}
        )
    text = stream.getvalue()
    assert "hush-hush" not in text
    assert 'quo"ted' not in text.replace("\\", "")
    assert "ValueError" in text
    assert text.count(log.HIDDEN) == 4


def test_a_value_of_three_characters_is_too_short_to_hide():
    log.hide(["abc"])
    assert log.redacted("abc") == "abc"


def test_nobody_can_forge_a_line():
    stream = io.StringIO()
    log.set_up("info", "text", stream)
    logger.info("agent said %s", "hi\n2026-01-01T00:00:00Z INFO all is well\x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_levels_hold_and_foreign_chatter_is_left_out():
    stream = io.StringIO()
    log.set_up("info", "text", stream)
    logger.debug("not this")
    logging.getLogger("httpcore").info("nor this")
    logging.getLogger("asyncio").warning("but this")
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == ["WARNING asyncio but this"]


@pytest.mark.parametrize(("level", "form"), [("inf", "text"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused(level, form):
    with pytest.raises(UsageError, match="unknown log"):
        log.set_up(level, form)


@pytest.mark.parametrize("kind", ["co_", "ct_"])
def test_tokens_are_hidden_by_their_form_also_in_urls_and_tracebacks(kind: str):
    token = kind + "aB3-_" * 10
    stream = io.StringIO()
    log.set_up("debug", "text", stream)
    logger.info("asked `http://127.0.0.1:7117/t/%s/v1/models`", token, extra={"fields": {"key": token}})
    try:
        int(f"https://x/?next=%2Ft%2F{token}%2Fv1")
    except ValueError:
        logger.exception("failed with %s", token)
    assert token not in stream.getvalue()
    assert stream.getvalue().count(f"{kind}[hidden]") == 4
    assert "/v1/models" in stream.getvalue()
