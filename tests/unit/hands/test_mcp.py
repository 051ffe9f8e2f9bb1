"""The `Hand` port over real MCP servers: what they perform, and how each answer, error and delay is told."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from comity.journal.call import Attempt
from comity.journal.spec import Effect
from comity.testing.waiting import wait_until
from mcp_desk import KINDS, desk, shown
from mcp_upstream import SECRET
from staging import new_task, permit


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_is_performed_and_its_result_kept_in_mcps_own_words(kind, tmp_path):
    async with desk(kind, tmp_path) as made:
        assert {"book", "find", "hang"} <= made.register.names
        book = next(item for item in made.register.offered[-1][1] if item.name == "book")
        assert (book.title, book.description, book.annotations) == ("Book", "Book a table.", {"idempotentHint": True})
        assert book.input["required"] == ["seats"]
        assert made.register.offered[-1][0] == made.hand._links["crm"].identity
        result = shown(await made.perform("book", seats=4))
        assert result["structuredContent"] == {"seats": 4, "key": ""}
        assert [block["type"] for block in result["content"]] == ["text"]
        assert set(result) <= {"content", "structuredContent", "isError", "_meta"}
        assert made.marked("booked") == ["4 "]
        assert made.register.seen == [book]


async def test_the_idempotency_key_is_given_as_the_argument_that_takes_it(tmp_path):
    async with desk("stdio", tmp_path) as made:
        mine = permit(new_task(), 7)
        result = shown(await made.perform("book", mine, seats=2, _key_argument="key"))
        assert result["structuredContent"] == {"seats": 2, "key": mine.key}


@pytest.mark.parametrize("kind", KINDS)
async def test_progress_is_passed_on_and_a_secret_is_masked_wherever_a_server_says_it(kind, tmp_path):
    async with desk(kind, tmp_path) as made:
        assert shown(await made.perform("count"))["content"][0]["text"] == "counted"
        assert made.told == [("half", 0.5), ("all of [hidden]", 1.0)]
        result = await made.perform("tell_secret")
        assert shown(result)["content"][0]["text"] == "the secret is [hidden]"
        failed = await made.perform("fail", text=f"token {SECRET} is wrong")
        assert failed.end == "unknown"
        assert "token [hidden] is wrong" in failed.error
        assert SECRET.encode() not in msgspec.msgpack.encode((result, failed))


async def test_a_stdio_server_sees_only_what_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hush-hush-hush")
    async with desk("stdio", tmp_path) as made:
        seen = set(shown(await made.perform("environment"))["structuredContent"])
        assert {"MCP_MARKS", "CRM_TOKEN", "PATH"} <= seen
        assert "OPENAI_API_KEY" not in seen


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_attempt_is_unknown_and_its_server_is_told(kind, tmp_path):
    async with desk(kind, tmp_path) as made:
        mine, work = await made.under_way("hung", "hang")
        await made.hand.cancel(mine)
        attempt = await work
        assert (attempt.end, attempt.error) == ("unknown", "upstream `crm`: cancelled while it ran")
        await wait_until(lambda: made.marked("cancelled"))
        assert (await made.perform("book", seats=1)).end == "done"


async def test_a_call_whose_kernel_goes_away_is_cancelled_as_well(tmp_path):
    async with desk("stdio", tmp_path) as made:
        _, work = await made.under_way("hung", "hang")
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        await wait_until(lambda: made.marked("cancelled"))


async def test_a_silent_call_is_given_up_and_one_that_tells_of_itself_is_not(tmp_path):
    async with desk("http", tmp_path, timeout_s=0.3) as made:
        attempt = await made.perform("hang")
        assert (attempt.end, attempt.error) == ("unknown", "upstream `crm`: it was silent for 0.3 s")
        await wait_until(lambda: made.marked("cancelled"))
        assert (await made.perform("count")).end == "done"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_permit_that_has_run_out_starts_nothing(kind, tmp_path):
    async with desk(kind, tmp_path) as made:
        assert (await made.perform("book", permit(new_task(), seconds=-1.0), seats=1)).end == "expired"
        assert made.marked("booked") == []
        assert (await made.perform("book", seats=1)).end == "done"


async def test_an_error_that_a_tool_answers_means_what_is_declared(tmp_path):
    async with desk("http", tmp_path) as made:
        for means, effect, end in (
            ("", Effect.IRREVERSIBLE, "unknown"),
            ("", Effect.READ, "done"),
            ("unknown", Effect.READ, "unknown"),
            ("not_happened", Effect.IRREVERSIBLE, "failed"),
            ("answer", Effect.IRREVERSIBLE, "done"),
        ):
            attempt = await made.perform("fail", _error_means=means, _effect=effect)
            assert attempt.end == end, (means, effect)
            assert end != "done" or shown(attempt)["isError"] is True
            assert "half way" in (attempt.error or attempt.value.decode())


async def test_only_what_the_protocol_calls_a_denial_did_not_happen(tmp_path):
    async with desk("stdio", tmp_path) as made:
        for code, end in ((-32601, "failed"), (-32602, "failed"), (-32603, "unknown"), (-1, "unknown")):
            attempt = await made.perform("deny", code=code)
            assert (attempt.end, attempt.error) == (end, "upstream `crm`: no such luck")
        assert made.marked("denied") == ["x"] * 4


BRANCH = "~7.0/~reconcile"


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_only_a_trusted_server_tells_whether_a_call_happened(is_trusted, tmp_path):
    async with desk("stdio", tmp_path, trust_annotations=is_trusted) as made:
        await made.perform("book", seats=3)
        told = shown(await made.perform("find", branch=BRANCH, seats=3, _effect=Effect.READ))
        assert told.get("happened") is (True if is_trusted else None)
        told = shown(await made.perform("find", branch=BRANCH, seats=4, _effect=Effect.READ))
        assert told.get("happened") is (False if is_trusted else None)


async def test_a_clean_up_that_answers_an_error_has_done_nothing_to_rely_on(tmp_path):
    async with desk("stdio", tmp_path, trust_annotations=True) as made:
        for what in ("reconcile", "compensate", "verify"):
            attempt = await made.perform("fail", branch=f"~7.0/~{what}", _effect=Effect.READ)
            assert attempt.end == "failed", what
        words = await made.perform("count", branch="~7.0/~verify", _effect=Effect.READ)
        assert shown(words) == {"result": "counted"}
        truth = await made.perform("is_booked", branch="~7.0/~verify", _effect=Effect.READ)
        assert shown(truth) is False


async def test_arguments_that_do_not_fit_are_the_servers_to_judge_unless_they_are_no_object(tmp_path):
    async with desk("stdio", tmp_path) as made:
        assert (await made.perform("book", args=b"[1]")).code == "bad_arguments"
        wrong = await made.perform("book", seats="many", _error_means="not_happened")
        assert wrong.end == "failed"
        assert made.marked("booked") == []


async def test_what_was_not_made_leaves_the_doubt_of_an_earlier_attempt(tmp_path):
    async with desk("http", tmp_path) as made:
        made.serving.kill()
        for effect, attempt, end in (
            (Effect.IDEMPOTENT, 1, "failed"),
            (Effect.IDEMPOTENT, 2, "unknown"),
            (Effect.IRREVERSIBLE, 2, "failed"),
        ):
            mine = msgspec.structs.replace(permit(new_task(), seconds=0.3), attempt=attempt)
            assert (await made.perform("book", mine, seats=1, _effect=effect)).end == end


async def test_what_the_register_refuses_is_not_sent(tmp_path):
    async with desk("stdio", tmp_path) as made:
        made.register.refuses = Attempt("failed", error="changed", code="descriptor_changed")
        assert await made.perform("book", seats=1) == made.register.refuses
        assert made.marked("booked") == []
        made.register.refuses = None
        await made.perform("nothing")
        assert made.register.seen[-1] is None, "the server knows no such tool"
