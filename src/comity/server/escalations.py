"""Questions of admission: whether a call may pass a rule of the shared world, asked and answered like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comity.core.codec import decode
from comity.core.errors import UsageError
from comity.core.ids import Id, show_id
from comity.journal.call import CallKey, Kind
from comity.runtime.words import arguments, iso
from comity.server.asking import Ask
from comity.server.fleet_documents import QuestionDocument

if TYPE_CHECKING:
    from comity.runtime.coordination.rows import EscalationRow

OPTIONS = ("allow", "refuse")


async def admission_questions(ask: Ask) -> list[QuestionDocument]:
    """Return which calls wait for a person's word under a rule, oldest first."""
    return [await _document(ask, key, row) for key, row in await ask.world.escalations()]


async def answer_admission(ask: Ask, call: int, answer: Any) -> bool:
    """Say whether a call may pass; False where nobody asks that of it.

    Raises:
        UsageError: the answer is neither `allow` nor `refuse`.
    """
    for key, row in await ask.world.escalations():
        if row.task != ask.task or await _seq(ask, key, row) != call:
            continue
        if answer not in OPTIONS:
            hint = f"one of: {', '.join(OPTIONS)}"
            raise UsageError("not_an_option", f"`{answer}` is no option", hint=hint)
        await ask.world.answer(key, allow=answer == "allow")
        return True
    return False


async def _document(ask: Ask, key: str, row: EscalationRow) -> QuestionDocument:
    text = f"May it call {row.tool}({arguments(decode(row.args), 200)})? {row.rule}: {row.reason}"
    call = await _seq(ask, key, row)
    return QuestionDocument(
        show_id(row.task), call, row.agent, text, list(OPTIONS), iso(row.asked_us), "admission"
    )  # fmt: skip


async def _seq(ask: Ask, key: str, row: EscalationRow) -> int:
    """Return the number of the call; 0 where its journal does not have it yet."""
    record = (await ask.orders.ledger(row.task)).by_key.get(_key_of(key, row.task))
    return record.seq if record is not None else 0


def _key_of(key: str, task: Id) -> CallKey:
    """Return which call an escalation is about: its key is `TASK/BRANCH:NAME:OCCURRENCE#ROUND|RULE`."""
    label = key.partition("|")[0].rpartition("#")[0].removeprefix(f"{task.hex()}/")
    branch, _, rest = label.partition(":")
    name, _, occurrence = rest.rpartition(":")
    return CallKey(branch, Kind.TOOL, name, int(occurrence))
