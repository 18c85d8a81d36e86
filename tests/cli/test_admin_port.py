"""The operator's port: the default gives way, a chosen one does not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from router.cli.admin_port import admin_port
from router.cli.ports import PortTakenError
from router.config.admin import Admin


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something else listens on."""
    server = socket.create_server(("127.0.0.1", 0))
    yield server.getsockname()[1]
    server.close()


def a_default(port: int) -> Admin:
    """As if ``port`` were the default: nobody chose it."""
    return Admin.model_construct(enabled=True, address="127.0.0.1", port=port, _fields_set=set())


def test_the_port_is_held_while_it_is_in_use_by_those_who_share_it() -> None:
    with admin_port(a_default(0)) as port:
        assert port
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port), reuse_port=True):
            pass
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_where_the_default_is_taken_another_one_is_found(taken: int) -> None:
    with admin_port(a_default(taken)) as port:
        assert port not in {None, taken}


def test_a_port_that_was_chosen_is_the_one_or_none(taken: int) -> None:
    with pytest.raises(PortTakenError, match=f"Listener admin: port {taken}"), admin_port(Admin(port=taken)):
        pytest.fail("nothing may be held")


def test_there_is_none_where_it_is_turned_off(taken: int) -> None:
    with admin_port(Admin(enabled=False, port=taken)) as port:
        assert port is None
