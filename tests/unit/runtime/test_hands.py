"""The `Hand` port over real processes: what they perform, and how each kind of death and delay ends an attempt."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from comity.core.codec import canonical, decode
from comity.journal.call import Attempt, Call, Permit
from comity.journal.spec import Effect, ToolSpec
from comity.runtime.hands import HandsByTool
from comity.testing.waiting import wait_until
from staging import CLOCK, Stage, is_gone, new_task, permit, staged, write

TOOLS = """
SEEN = []

@tool
async def act(text: str = "") -> str:
    return text.upper()

@tool
def act_in_thread(text: str = "") -> str:
    return text.upper()

@tool(effect="read")
def whoami() -> list:
    SEEN.append(1)
    return [os.getpid(), len(SEEN), random.random()]

@tool(effect="read")
def environment() -> dict:
    return dict(os.environ)

@tool
def told(context: CallContext, n: int) -> dict:
    return {"key": context.key, "attempt": context.attempt, "task": context.task, "args": context.args}

@tool
async def refuse() -> None:
    raise NotHappened("the shop is closed")

@tool
async def fail() -> None:
    raise ValueError("half way")

@tool(effect="read")
async def fail_to_read() -> None:
    raise ValueError("no such page")

@tool
async def give_nonsense() -> object:
    return threading.Lock()

@tool
async def exit_python() -> None:
    sys.exit(3)

@tool
async def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

@tool
async def touch_then_wait(path: str) -> None:
    open(path, "w").close()
    await asyncio.sleep(1000)

@tool
async def hold_on(path: str) -> None:
    open(path, "w").close()
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass

@tool
def hang(path: str) -> None:
    open(path, "w").close()
    time.sleep(1000)

@tool
async def block_the_loop(path: str) -> None:
    open(path, "w").close()
    time.sleep(1000)

@tool
async def start_helper(path: str) -> None:
    helper = subprocess.Popen(["sleep", "1000"])
    with open(path, "w") as file:
        file.write(str(helper.pid))
    await asyncio.sleep(1000)

@tool
async def tell() -> str:
    report("half", 0.5)
    await asyncio.sleep(0.03)
    report("all", 7)
    return "told"

@tool
async def prepare_for_long() -> str:
    while True:
        await asyncio.sleep(0.005)
        ensure_permit()

class Parrot:
    def __init__(self):
        self.__comity_scripted__ = True
    def answer(self, messages, tools):
        return {"role": "assistant", "content": messages[-1]["content"]}

parrot = Parrot()
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path / "shop.py", TOOLS)


GIVEN: dict[bytes, Permit] = {}
"""The permit of each task's attempt: an attempt is known by it."""


async def begin(stage: Stage, tool: str, mark: Path, number: int = 1) -> tuple[asyncio.Task, bytes]:
    """Start an attempt in a new task, and return when its tool has run to where it waits."""
    task = new_task()
    args = canonical({"path": str(mark)})
    GIVEN[task] = permit(task, number)
    attempt = asyncio.create_task(stage.perform(tool, args, with_permit=GIVEN[task]))
    await wait_until(lambda: mark.exists() and (mark.stat().st_size > 0 or tool != "start_helper"))
    return attempt, task


async def test_tools_are_performed_with_what_they_are_told(file: str) -> None:
    async with staged(file) as stage:
        assert decode((await stage.perform("act", b'{"text":"a"}')).value) == "A"
        assert decode((await stage.perform("act_in_thread", b'{"text":"b"}')).value) == "B"
        attempt = await stage.perform("told", b'{"n":1}', with_permit=permit(new_task(), call=7))
        told = decode(attempt.value)
        assert (told["key"], told["attempt"], told["args"]) == ("key-7", 1, {"n": 1})
        assert len(told["task"]) == 36


async def test_a_task_keeps_its_hand_and_shares_it_with_no_other(file: str) -> None:
    async with staged(file) as stage:
        one, two = new_task(), new_task()
        first = decode((await stage.perform("whoami", with_permit=permit(one))).value)
        again = decode((await stage.perform("whoami", with_permit=permit(one))).value)
        other = decode((await stage.perform("whoami", with_permit=permit(two))).value)
        assert again[:2] == [first[0], 2]
        assert other[1] == 1
        assert other[0] != first[0]
        assert other[2] != first[2], "two hands drew the same chance"
        assert stage.hands.pids == {one: first[0], two: other[0]}
        stage.hands.release(one)
        await wait_until(lambda: is_gone(first[0]) and one not in stage.hands.pids)
        assert not is_gone(other[0])


@pytest.mark.parametrize("args", [b'{"words":"a"}', b'{"text":1}', b'{"text":"a","text":"b"}', b"[1]"])
async def test_arguments_that_do_not_fit_are_known_not_to_have_acted(file: str, args: bytes) -> None:
    async with staged(file) as stage:
        assert (await stage.perform("act", args)).end == "failed"


async def test_only_not_happened_says_that_nothing_happened(file: str) -> None:
    async with staged(file) as stage:
        refused = await stage.perform("refuse")
        assert (refused.end, refused.error) == ("failed", "the shop is closed")
        failed = await stage.perform("fail")
        assert (failed.end, failed.error) == ("unknown", "ValueError: half way")
        assert (await stage.perform("fail_to_read")).end == "failed"
        assert (await stage.perform("give_nonsense")).end == "unknown"
        assert (await stage.perform("exit_python")).end == "unknown"
        assert any("half way" in line for _, line in stage.lines), "the log has no traceback"


async def test_a_hand_killed_while_it_acts_leaves_a_doubt_and_the_next_call_gets_another(
    file: str, tmp_path: Path
) -> None:
    async with staged(file) as stage:
        died = await stage.perform("die")
        assert (died.end, died.error) == ("unknown", "the hand died: SIGKILL")
        attempt, task = await begin(stage, "touch_then_wait", tmp_path / "mark")
        os.kill(stage.hands.pids[task], signal.SIGKILL)
        assert (await attempt).error == "the hand died: SIGKILL"
        assert (await stage.perform("act", b"{}", with_permit=permit(task, 2))).end == "done"


async def test_a_hand_frozen_past_its_permit_does_not_call_the_tool(file: str) -> None:
    async with staged(file) as stage:
        task = new_task()
        await stage.perform("act", with_permit=permit(task))
        for tool in ("act", "act_in_thread"):
            short = permit(task, 2, seconds=0.05)
            os.kill(stage.hands.pids[task], signal.SIGSTOP)
            attempt = asyncio.create_task(stage.perform(tool, with_permit=short))
            await wait_until(lambda: CLOCK.monotonic_s() > short.expires_s)  # noqa: B023
            os.kill(stage.hands.pids[task], signal.SIGCONT)
            assert (await attempt).end == "expired"


async def test_a_tool_that_prepares_for_long_can_check_its_permit_again(file: str) -> None:
    async with staged(file) as stage:
        attempt = await stage.perform("prepare_for_long", with_permit=permit(new_task(), seconds=0.2))
        assert (attempt.end, attempt.error) == ("failed", "the permit ran out before the tool acted")


async def test_a_cancelled_coroutine_ends_and_its_hand_lives(file: str, tmp_path: Path) -> None:
    async with staged(file) as stage:
        attempt, task = await begin(stage, "touch_then_wait", tmp_path / "mark")
        pid = stage.hands.pids[task]
        await stage.hands.cancel(GIVEN[task])
        assert (await attempt).end == "unknown"
        assert stage.hands.pids[task] == pid


@pytest.mark.parametrize("tool", ["hang", "hold_on", "block_the_loop"])
async def test_a_tool_that_cannot_be_interrupted_ends_with_its_hand(file: str, tmp_path: Path, tool: str) -> None:
    async with staged(file) as stage:
        attempt, task = await begin(stage, tool, tmp_path / "mark")
        pid = stage.hands.pids[task]
        await stage.hands.cancel(GIVEN[task])
        ended = await attempt
        assert (ended.end, ended.error) == ("unknown", "cancelled: its hand was ended while it ran")
        assert is_gone(pid)


async def test_what_a_tool_started_ends_with_its_hand(file: str, tmp_path: Path) -> None:
    async with staged(file) as stage:
        attempt, task = await begin(stage, "start_helper", tmp_path / "mark")
        helper = int((tmp_path / "mark").read_text())
        os.kill(stage.hands.pids[task], signal.SIGKILL)
        assert (await attempt).end == "unknown"
        await wait_until(lambda: is_gone(helper))


@pytest.mark.parametrize("tool", ["touch_then_wait", "hang", "block_the_loop"])
async def test_a_hand_ends_when_the_lease_that_it_was_told_runs_out(file: str, tmp_path: Path, tool: str) -> None:
    async with staged(file) as stage:
        stage.hands.told_lease(CLOCK.monotonic_s() + 30)
        attempt, task = await begin(stage, tool, tmp_path / "mark")
        pid = stage.hands.pids[task]
        stage.hands.told_lease(CLOCK.monotonic_s() + 0.1)
        assert (await attempt).end == "unknown"
        assert is_gone(pid)


async def test_a_renewed_lease_keeps_a_tool_alive_that_blocks_its_loop(file: str, tmp_path: Path) -> None:
    async with staged(file) as stage:
        end_s = CLOCK.monotonic_s() + 0.6
        stage.hands.told_lease(end_s)
        attempt, task = await begin(stage, "block_the_loop", tmp_path / "mark")
        stage.hands.told_lease(end_s + 60)
        await wait_until(lambda: CLOCK.monotonic_s() > end_s + 0.3)
        assert not attempt.done()
        stage.hands.release(task)
        assert (await attempt).end == "unknown"


async def test_progress_is_told_while_the_tool_runs(file: str) -> None:
    async with staged(file) as stage:
        assert (await stage.perform("tell")).end == "done"
        assert stage.progress == [("half", 0.5), ("all", 1.0)]


async def test_a_scripted_model_answers_from_its_file(file: str) -> None:
    async with staged(file) as stage:
        request = canonical({"messages": [{"role": "user", "content": "hello"}], "tools": []})
        deltas = [delta async for delta in stage.hands.complete(permit(new_task()), "parrot", request)]
        assert [delta.text for delta in deltas] == ["hello", ""]
        assert decode(deltas[-1].message) == {"role": "assistant", "content": "hello"}


async def test_many_attempts_of_one_task_run_at_once(file: str) -> None:
    async with staged(file) as stage:
        task = new_task()
        work = [
            stage.perform(("act", "act_in_thread")[n % 2], canonical({"text": str(n)}), with_permit=permit(task, n))
            for n in range(80)
        ]
        assert [decode(attempt.value) for attempt in await asyncio.gather(*work)] == [str(n) for n in range(80)]
        assert len(stage.hands.pids) == 1


async def test_a_call_whose_hand_cannot_start_has_not_happened(tmp_path: Path) -> None:
    shop = tmp_path / "shop.py"
    async with staged(write(shop, TOOLS)) as stage:
        shop.write_text("def broken(:\n")
        attempt = await stage.perform("act")
        assert attempt.end == "failed"
        assert "shop.py:1" in attempt.error


async def test_a_task_has_a_hand_for_each_file_whose_tools_it_uses(tmp_path: Path) -> None:
    more = write(
        tmp_path / "more.py", '@tool(effect="read")\ndef where() -> list:\n    return [__name__, os.getpid()]\n'
    )
    async with staged(write(tmp_path / "clerk.py", TOOLS)) as stage:
        (where,) = [spec for spec in (await stage.zygotes.describe(more)).tools if spec.name == "where"]
        task, call = new_task(), Call("", "tool", "where", 0, b"{}")
        own = decode((await stage.perform("whoami", with_permit=permit(task))).value)[0]
        spec = msgspec.structs.replace(where, file=more)
        found = await stage.hands.perform(permit(task, 2), call, spec, lambda *_: None)
        name, pid = decode(found.value)
        assert "more" in name
        assert pid != own
        again = await stage.hands.perform(permit(task, 3), call, spec, lambda *_: None)
        assert decode(again.value)[1] == pid
        assert decode((await stage.perform("whoami", with_permit=permit(task, 4))).value)[0] == own
        stage.hands.release(task)
        await wait_until(lambda: is_gone(pid) and is_gone(own))


class Played:
    """A hand that says who it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[object] = []

    async def perform(self, permit: Permit, call: Call, tool: ToolSpec, on_progress: object) -> Attempt:
        return Attempt("done", canonical(self.name))

    async def cancel(self, permit: Permit) -> None:
        self.heard.append(permit)

    def release(self, task: bytes) -> None:
        self.heard.append(task)


async def test_each_tool_is_performed_where_it_is() -> None:
    inside, upstreams = Played("inside"), Played("upstreams")
    hands = HandsByTool(inside)
    mine = permit(new_task())
    call = Call("", "tool", "crm.book", 0, b"{}")

    async def by(**spec: str) -> Attempt:
        return await hands.perform(mine, call, ToolSpec("crm.book", **spec), lambda *_: None)

    assert (await by(server="crm")).code == "no_such_upstream"
    hands.upstreams = upstreams
    assert decode((await by(server="crm")).value) == "upstreams"
    assert decode((await by(file="tools.py")).value) == "inside"
    assert decode((await by()).value) == "inside"
    await hands.cancel(mine)
    hands.release(mine.task)
    assert inside.heard == upstreams.heard == [mine, mine.task]


async def test_a_hand_that_cannot_be_started_says_nothing_of_an_earlier_attempt(tmp_path: Path) -> None:
    async with staged(write(tmp_path / "clerk.py", TOOLS)) as stage:
        write(tmp_path / "clerk.py", "1 / 0")
        call, spec = Call("", "tool", "act", 0, b"{}"), ToolSpec("act", Effect.IDEMPOTENT)
        for attempt, end in ((1, "failed"), (2, "unknown")):
            mine = msgspec.structs.replace(permit(new_task()), attempt=attempt)
            found = await stage.hands.perform(mine, call, spec, lambda *_: None)
            assert found.end == end
            assert "no hand could be started" in found.error
