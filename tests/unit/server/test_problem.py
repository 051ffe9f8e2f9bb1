"""Each error has one status and one document."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

from comity.core import errors
from comity.core.errors import ComityError
from comity.server.problem import BY_CODE, problem_of, problem_response, status_of

SOURCES = Path(errors.__file__).parents[1]


def families() -> list[type[ComityError]]:
    found = [ComityError]
    for family in found:
        found += [kind for kind in family.__subclasses__() if kind.__module__ == errors.__name__]
    return found


@pytest.mark.parametrize("family", families())
def test_every_family_of_errors_has_a_status(family: type[ComityError]) -> None:
    made = family.__new__(family)
    made.code, made.message, made.hint = "anything", "it went wrong", ""
    assert 400 <= status_of(made) < 600


def test_a_problem_says_all_that_the_error_does() -> None:
    error = errors.UsageError("no_such_task", "there is no task `7`", hint="`comity tasks ls` lists them")
    assert msgspec.to_builtins(problem_of(error)) == {
        "type": "urn:comity:problem:no_such_task",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no task `7`",
        "code": "no_such_task",
        "hint": "`comity tasks ls` lists them",
        "retry": "never",
    }


def test_answers_say_how_to_come_in_and_when_to_come_again() -> None:
    answer = problem_response(errors.GovernanceError("no_token", "no token"))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = problem_response(errors.StoreError("store_unreachable", "gone"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_table_names_only_codes_that_are_raised_somewhere() -> None:
    said = {
        node.value
        for file in SOURCES.rglob("*.py")
        if file.name != "problem.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(BY_CODE) <= said
