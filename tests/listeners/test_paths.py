from __future__ import annotations

import pytest

from router.listeners.paths import PathTable

TABLE = PathTable(
    {
        "/v1/responses": "create",
        "/v1/responses/{response_id}": "response",
        "/v1/responses/{response_id}/input_items": "input items",
        "/v1/responses/input_tokens": "tokens",
        "/v1/conversations/{conversation_id}/items/{item_id}": "item",
        "/v1/{kind}/all/items/{item_id}": "any",
        "/v1/conversations/all/{what}/{item_id}": "all",
    }
)


@pytest.mark.parametrize(
    ("path", "found", "parameters"),
    [
        ("/v1/responses", "create", {}),
        ("/v1/responses/resp_1", "response", {"response_id": "resp_1"}),
        ("/v1/responses/resp 1?", "response", {"response_id": "resp 1?"}),
        ("/v1/responses/input_tokens", "tokens", {}),
        ("/v1/responses/input_tokens/input_items", "input items", {"response_id": "input_tokens"}),
        ("/v1/conversations/conv_1/items/msg_1", "item", {"conversation_id": "conv_1", "item_id": "msg_1"}),
        ("/v1/conversations/all/items/msg_1", "all", {"what": "items", "item_id": "msg_1"}),
        ("/v1/responses/all/items/msg_1", "any", {"kind": "responses", "item_id": "msg_1"}),
    ],
)
def test_a_path_leads_to_what_fits_it_best(path: str, found: str, parameters: dict[str, str]) -> None:
    match = TABLE.find(path)
    assert match is not None
    assert (match.found, match.parameters) == (found, parameters)
    assert match.template.format(**parameters) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "v1/responses", "/v1/responses/", "/v1//input_items", "/v1/responses//input_items"),
        *("/v1/responses/a/b", "/v1/responses/a/input_items/", "/V1/responses/a", "/v1/conversations/a/items"),
        "/" * 10_000,
    ],
)
def test_a_path_that_nothing_fits_leads_nowhere(path: str) -> None:
    assert TABLE.find(path) is None


def test_the_paths_are_listed_as_they_were_given() -> None:
    assert sorted(PathTable({"/a": 1, "/b/{c}": 2, "/b/{c}/d": 3})) == ["/a", "/b/{c}", "/b/{c}/d"]


@pytest.mark.parametrize(
    "paths",
    [
        ("/a/{b}", "/a/{c}"),
        ("/a/x{b}",),
        ("/a/{b}x",),
        ("/a/{}",),
        ("/a/{b c}",),
        ("/a/{b}/}",),
        ("/{a}/{a}",),
    ],
)
def test_templates_that_cannot_be_told_apart_or_read_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^/"):
        PathTable(dict.fromkeys(paths, 1))
