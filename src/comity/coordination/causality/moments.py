"""Circles within one moment: what happened at the same time and, by what is recorded, caused each other.

Source: strongly connected components (Tarjan 1972), without recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator


def circles(names: Iterable[str], causes_of: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """Return the members of circles, each with the number of its circle; what is in none is left out.

    Args:
        names: What happened at one moment.
        causes_of: Its causes at that moment, which must be among `names`.

    Cost: linear in names and causes.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: dict[str, int] = {}
    done: set[str] = set()
    for name in names:
        if name in index:
            continue
        path: list[tuple[str, Iterator[str]]] = [(name, iter(causes_of(name)))]
        index[name] = low[name] = len(index)
        stack.append(name)
        while path:
            here, causes = path[-1]
            for cause in causes:
                if cause not in index:
                    index[cause] = low[cause] = len(index)
                    stack.append(cause)
                    path.append((cause, iter(causes_of(cause))))
                    break
                if cause not in done:
                    low[here] = min(low[here], index[cause])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[here])
                if low[here] == index[here]:
                    _close(here, stack, done, found)
    return found


def _close(root: str, stack: list[str], done: set[str], found: dict[str, int]) -> None:
    place = stack.index(root) if stack[-1] != root else len(stack) - 1
    members = stack[place:]
    del stack[place:]
    done.update(members)
    if len(members) > 1:
        number = len(found)
        found.update(dict.fromkeys(members, number))
