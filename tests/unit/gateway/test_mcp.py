"""The tool URL as bare HTTP clients see it: eras, shapes of errors, who is let in, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comity.gateway.refusal import Refusal
from comity.gateway.reply import VisitOver
from mcp_stage import TOKEN, PlayedDoor, calling, modern, rpc, tool_call

ERAS = ("2025-06-18", "2025-11-25")


@pytest.mark.parametrize("version", ERAS)
async def test_a_handshake_is_answered_in_the_version_that_the_client_wants(version: str) -> None:
    async with calling(PlayedDoor()) as caller:
        answer = await caller.post(rpc("initialize", {"protocolVersion": version}))
        result = answer.json()["result"]
        assert result["protocolVersion"] == version
        assert result["capabilities"] == {"tools": {}}
        assert result["serverInfo"]["name"] == "comity"
        assert "mcp-session-id" not in answer.headers
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        accepted = await caller.post(told, mcp_protocol_version=version)
        assert (accepted.status_code, accepted.content) == (202, b"")
        assert await caller.old(rpc("ping"), mcp_protocol_version=version) == {"jsonrpc": "2.0", "id": 1, "result": {}}


async def test_a_client_of_an_unknown_era_is_offered_the_newest_handshake() -> None:
    async with calling(PlayedDoor()) as caller:
        answer = await caller.old(rpc("initialize", {"protocolVersion": "2024-11-05"}))
        assert answer["result"]["protocolVersion"] == "2025-11-25"


async def test_a_client_without_a_handshake_may_discover_what_is_here() -> None:
    async with calling(PlayedDoor()) as caller:
        result = (await caller.new(rpc("server/discover")))["result"]
        assert result["resultType"] == "complete"
        assert result["supportedVersions"] == ["2026-07-28", "2025-11-25", "2025-06-18"]
        assert (result["ttlMs"], result["cacheScope"]) == (0, "private")
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "comity"


async def test_tools_are_listed_in_the_shape_of_each_era() -> None:
    async with calling(PlayedDoor()) as caller:
        old = (await caller.old(rpc("tools/list")))["result"]
        new = (await caller.new(rpc("tools/list")))["result"]
        assert set(old) == {"tools"}
        assert (new["resultType"], new["ttlMs"], new["cacheScope"]) == ("complete", 0, "private")
        assert [tool["name"] for tool in old["tools"]] == [tool["name"] for tool in new["tools"]]
        count = {tool["name"]: tool for tool in old["tools"]}["count"]
        assert "outputSchema" not in count  # before 2026 a result is an object
        assert {tool["name"]: tool for tool in new["tools"]}["count"]["outputSchema"] == {"type": "integer"}


async def test_a_bare_request_needs_no_handshake_and_no_version() -> None:
    async with calling(PlayedDoor()) as caller:
        answer = (await caller.post(tool_call("book", {"room": 1}))).json()
        assert answer["result"]["content"] == [{"type": "text", "text": "booked"}]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"{", -32700, "body"),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32700, "duplicate key `id`"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"n":NaN}}', -32700, "NaN"),
        (b"[" * 200 + b"]" * 200, -32700, "nested"),
        (b"[]", -32600, "batch"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, "batch"),
        (b'"ping"', -32600, "JSON-RPC 2.0"),
        (b'{"id":1,"method":"ping"}', -32600, "JSON-RPC 2.0"),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600, "JSON-RPC 2.0"),
        (b'{"jsonrpc":"2.0","id":1}', -32600, "`method`"),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, "`id`"),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, "`id`"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, "`id`"),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, "`method`"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32600, "`params`"),
    ],
)
async def test_what_is_no_request_is_refused_with_its_fault(body: bytes, code: int, said: str) -> None:
    async with calling(PlayedDoor()) as caller:
        response = await caller.post(body)
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (400, code)
        assert said in error["message"]
        assert error["data"]["hint"]


async def test_answers_and_notifications_are_only_acknowledged() -> None:
    async with calling(PlayedDoor()) as caller:
        for message in (
            {"jsonrpc": "2.0", "id": 1, "result": {}},
            {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        ):
            assert (await caller.post(message)).status_code == 202


async def test_an_unknown_method_is_told_in_the_way_of_each_era() -> None:
    async with calling(PlayedDoor()) as caller:
        for method in ("prompts/list", "resources/list", "logging/setLevel", "server/discover"):
            response = await caller.post(rpc(method, id="a"), mcp_protocol_version="2025-11-25")
            assert (response.status_code, response.json()["error"]["code"]) == (200, -32601)
            assert response.json()["id"] == "a"
        for method in ("ping", "initialize", "subscriptions/listen"):
            body, headers = modern(rpc(method))
            response = await caller.post(body, **headers)
            assert (response.status_code, response.json()["error"]["code"]) == (404, -32601)


async def test_an_unknown_version_is_told_which_are_spoken() -> None:
    async with calling(PlayedDoor()) as caller:
        response = await caller.post(rpc("ping"), mcp_protocol_version="2031-01-01")
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (400, -32022)
        assert error["data"]["requested"] == "2031-01-01"
        assert "2026-07-28" in error["data"]["supported"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"mcp-method": "tools/list"}, -32020),
        ({"mcp-method": ""}, -32020),
        ({"mcp-name": "look"}, -32020),
        ({"mcp-name": "=?base64?!!!?="}, -32020),
        ({"mcp-protocol-version": "2025-11-25"}, None),
    ],
)
async def test_headers_must_say_what_the_body_says(changed: dict[str, str], code: int | None) -> None:
    async with calling(PlayedDoor()) as caller:
        body, headers = modern(tool_call("book", {"room": 1}))
        response = await caller.post(body, **{**headers, **changed})
        if code is None:
            assert response.json()["result"]  # an older client that sends a newer client's keys along
            return
        assert (response.status_code, response.json()["error"]["code"], response.json()["id"]) == (400, code, 1)


async def test_a_tool_name_may_stand_encoded_in_its_header() -> None:
    async with calling(PlayedDoor()) as caller:
        body, headers = modern(tool_call("book", {"room": 1}))
        assert (await caller.post(body, **{**headers, "mcp-name": "=?base64?Ym9vaw==?="})).json()["result"]


async def test_a_header_that_stands_there_twice_is_refused() -> None:
    async with calling(PlayedDoor()) as caller:
        body, headers = modern(tool_call("book", {"room": 1}))
        twice = [("mcp-name", "look"), *headers.items(), ("content-type", "application/json")]
        named = [*twice, ("authorization", f"Bearer {TOKEN}")]
        response = await caller.http.post(caller.url + "/mcp", content=json.dumps(body).encode(), headers=named)
        error = response.json()["error"]
        assert (error["code"], error["message"]) == (-32020, "header `mcp-name` stands there twice")


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities"])
async def test_a_request_that_stands_for_itself_says_its_version_and_abilities(missing: str) -> None:
    async with calling(PlayedDoor()) as caller:
        body, headers = modern(rpc("tools/list"))
        del body["params"]["_meta"][f"io.modelcontextprotocol/{missing}"]
        response = await caller.post(body, **headers)
        assert (response.status_code, response.json()["error"]["code"]) == (400, -32602)
        assert missing in response.json()["error"]["message"]


async def test_the_body_alone_makes_a_request_modern_and_then_lacks_its_headers() -> None:
    async with calling(PlayedDoor()) as caller:
        body, _ = modern(rpc("tools/list"))
        assert (await caller.post(body)).json()["error"]["code"] == -32020


# ---- who is let in -----------------------------------------------------------------------------------------


async def test_a_wrong_token_is_refused_before_anything_is_read() -> None:
    async with calling(PlayedDoor()) as caller:
        for body in (rpc("tools/list"), b"{"):
            response = await caller.post(body, token="ct_wrong")
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            error = response.json()["error"]
            assert (error["data"]["code"], error["data"]["hint"]) == ("unknown_token", "ask for one")
            assert error["data"]["retry"] is False
        assert (await caller.http.post(caller.url + "/mcp", json=rpc("ping"))).status_code == 401


async def test_the_token_is_taken_from_header_key_or_path() -> None:
    async with calling(PlayedDoor()) as caller:
        kind = {"content-type": "application/json"}
        for path, headers in (
            ("/mcp", {"authorization": f"bearer {TOKEN}"}),
            ("/mcp", {"x-api-key": TOKEN}),
            (f"/t/{TOKEN}/mcp", {"authorization": "Bearer a-fixed-key"}),
            (f"/t/{TOKEN}/mcp/crm", {}),
        ):
            response = await caller.http.post(
                caller.url + path, content=json.dumps(rpc("ping")), headers={**kind, **headers}
            )
            assert response.json()["result"] == {}, path


async def test_a_refused_question_has_the_status_and_headers_of_the_refusal() -> None:
    door = PlayedDoor()
    door.inner.refusal = Refusal(503, "task_moving", "the task moves", "ask again", is_final=False, retry_after_s=1)
    async with calling(door) as caller:
        response = await caller.post(tool_call("book", {"room": 1}), mcp_protocol_version="2025-11-25")
        assert response.status_code == 503
        assert (response.headers["retry-after"], response.headers["x-should-retry"]) == ("1", "true")
        error = response.json()["error"]
        assert (response.json()["id"], error["data"]["code"], error["data"]["retry"]) == (1, "task_moving", True)


async def test_a_visit_that_is_over_is_looked_for_again() -> None:
    door = PlayedDoor()
    door.inner.refusal = VisitOver()
    visits: list[str] = []
    visit = door.visit

    async def again(credential: str) -> Any:
        visits.append(credential)
        if len(visits) == 2:
            door.inner.refusal = None
        return await visit(credential)

    door.visit = again  # type: ignore[method-assign]
    async with calling(door) as caller:
        assert (await caller.result("book", {"room": 1}))["content"]
        assert len(visits) == 2


async def test_a_request_for_a_task_elsewhere_goes_there_with_its_body() -> None:
    door = PlayedDoor()
    door.elsewhere = ["http://node2"]
    async with calling(door) as caller:
        assert (await caller.result("book", {"room": 1}))["content"]  # that node was gone, so it was looked for again
        assert json.loads(door.forwarded[0])["params"]["name"] == "book"


# ---- HTTP ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_no_stream_and_no_session_to_end(method: str) -> None:
    async with calling(PlayedDoor()) as caller:
        response = await caller.http.request(
            method, caller.url + "/mcp", headers={"accept": "text/event-stream", "authorization": f"Bearer {TOKEN}"}
        )
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert response.json()["error"]["data"]["hint"]


async def test_a_body_that_a_web_page_could_send_unasked_is_refused() -> None:
    async with calling(PlayedDoor()) as caller:
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert (await caller.post(rpc("ping"), content_type=kind)).status_code == 415
        assert (await caller.post(rpc("ping"), content_type="application/json; charset=utf-8")).status_code == 200


async def test_a_client_that_takes_neither_form_is_told() -> None:
    async with calling(PlayedDoor()) as caller:
        assert (await caller.post(rpc("ping"), accept="text/html")).status_code == 406


async def test_a_body_above_the_limit_is_refused() -> None:
    async with calling(PlayedDoor()) as caller:
        response = await caller.post(tool_call("look", {"at": "x" * 200_001}))
        assert (response.status_code, response.json()["error"]["data"]["code"]) == (413, "body_too_large")


# ---- calls ---------------------------------------------------------------------------------------------------


async def test_an_unknown_tool_is_told_what_is_near() -> None:
    async with calling(PlayedDoor()) as caller:
        response = await caller.post(tool_call("bok"), mcp_protocol_version="2025-11-25")
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (200, -32602)
        assert "`book`" in error["data"]["hint"]
        body, headers = modern(tool_call("bok"))
        assert (await caller.post(body, **headers)).status_code == 400


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "`arguments`: `room` is missing"),
        ({"room": "7"}, '`arguments.room`: expected integer, got `"7"`'),
        ({"room": 7, "rum": 1}, "`rum` is not among"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_where_and_how(args: dict[str, Any], said: str) -> None:
    door = PlayedDoor()
    async with calling(door) as caller:
        error = (await caller.old(tool_call("book", args)))["error"]
        assert error["code"] == -32602
        assert said in error["message"]
        assert "`book`" in error["message"]
        assert not door.inner.asked


@pytest.mark.parametrize("params", [{}, {"name": 7}, {"name": "book", "arguments": []}])
async def test_a_call_without_a_name_or_with_a_list_is_refused(params: dict[str, Any]) -> None:
    async with calling(PlayedDoor()) as caller:
        assert (await caller.old(rpc("tools/call", params)))["error"]["code"] == -32602


async def test_a_duplicate_key_deep_in_the_arguments_is_refused() -> None:
    door = PlayedDoor()
    async with calling(door) as caller:
        call = (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"book","arguments":{"room":1,"room":9}}}'
        )
        assert (await caller.post(call)).json()["error"]["code"] == -32700
        assert not door.inner.asked


async def test_what_is_asked_are_the_canonical_arguments_under_the_full_name() -> None:
    door = PlayedDoor()
    async with calling(door) as caller:
        await caller.result("book", {"room": 1, "for": "Ada"})
        question = door.inner.asked[0]
        assert (question.kind, question.name, question.args) == ("tool", "crm.book", b'{"for":"Ada","room":1}')
        assert question.acts
        assert not question.is_retry
        assert door.inner.replies[0].told == ["handed over"]


async def test_one_server_has_its_own_tools_under_their_own_names() -> None:
    async with calling(PlayedDoor()) as caller:
        listed = (await caller.old(rpc("tools/list"), "/mcp/crm"))["result"]["tools"]
        assert [tool["name"] for tool in listed] == ["book", "search"]
        assert (await caller.result("search", {}, "/mcp/crm"))["content"]
        assert (await caller.old(tool_call("comity_wait", {"seconds": 1}), "/mcp/crm"))["error"]["code"] == -32602


async def test_an_unknown_server_is_told_what_is_near() -> None:
    async with calling(PlayedDoor()) as caller:
        response = await caller.post(rpc("tools/list"), "/mcp/crn")
        assert response.status_code == 404
        assert "/mcp/crm" in response.json()["error"]["data"]["hint"]


async def test_a_list_has_one_page() -> None:
    async with calling(PlayedDoor()) as caller:
        assert (await caller.old(rpc("tools/list", {"cursor": "2"})))["error"]["code"] == -32602


async def test_a_handshake_without_a_version_is_refused() -> None:
    async with calling(PlayedDoor()) as caller:
        assert (await caller.old(rpc("initialize")))["error"]["code"] == -32602


async def test_a_lone_surrogate_is_refused() -> None:
    async with calling(PlayedDoor()) as caller:
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"at":"\\ud800"}}}'
        assert (await caller.post(body)).json()["error"]["code"] == -32700
