"""The service that the Restate server calls: a module of its own, since the SDK resolves its annotations."""

from __future__ import annotations

from typing import Any

import restate

from benchmarks.peer import Strike


def service_app(strike: Strike) -> Any:
    """Return the ASGI application with a task of trivial steps, one that strikes, and one without steps."""
    bench = restate.Service("Bench")

    async def striking_step(number: int) -> int:
        return strike(number)

    @bench.handler()
    async def task(ctx: restate.Context, steps: int) -> int:
        for number in range(steps):
            await ctx.run_typed(f"step-{number}", _trivial, number=number)
        return steps

    @bench.handler()
    async def noop(ctx: restate.Context, steps: int) -> int:
        return 0

    @bench.handler()
    async def striking(ctx: restate.Context, steps: int) -> int:
        for number in range(steps):
            await ctx.run_typed(f"step-{number}", striking_step, number=number)
        return steps

    return restate.app([bench], protocol="bidi")


async def _trivial(number: int) -> int:
    return number
