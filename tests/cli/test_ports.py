from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from router.cli.ports import Binding, PortTakenError, claim_ports, release_ports
from router.errors import OperatorError


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_taken_port_is_refused_with_the_name_of_its_listener(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    with pytest.raises(
        PortTakenError, match=rf"Listener travel: port {port} on 127\.0\.0\.1 is already in use"
    ) as caught:
        claim_ports([Binding("travel", "127.0.0.1", port)])
    assert caught.value.binding == Binding("travel", "127.0.0.1", port)


def test_a_port_that_others_share_is_taken_too() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server, pytest.raises(PortTakenError):
        claim_ports([Binding("travel", "127.0.0.1", server.getsockname()[1])])


def test_a_claim_shuts_out_the_next_instance_and_lets_workers_in() -> None:
    binding = Binding("travel", "127.0.0.1", free_port())
    held = claim_ports([binding])
    try:
        with pytest.raises(PortTakenError):
            claim_ports([binding])
        address = ("127.0.0.1", binding.port)
        with (
            socket.create_server(address, reuse_port=True),
            socket.create_server(address, reuse_port=True),
            socket.create_connection(address, timeout=5),
        ):
            pass
    finally:
        release_ports(held)
    release_ports(claim_ports([binding]))


def test_a_refusal_releases_what_was_claimed_before(listening: socket.socket) -> None:
    first = Binding("first", "127.0.0.1", free_port())
    with pytest.raises(PortTakenError):
        claim_ports([first, Binding("second", "127.0.0.1", listening.getsockname()[1])])
    release_ports(claim_ports([first]))


def test_two_listeners_on_one_port_are_refused() -> None:
    port = free_port()
    with pytest.raises(PortTakenError) as caught:
        claim_ports([Binding("first", "127.0.0.1", port), Binding("second", "127.0.0.1", port)])
    assert caught.value.binding.listener == "second"


@pytest.mark.parametrize(
    ("address", "message"),
    [("192.0.2.1", "not an address of this machine"), ("no such host", "cannot be resolved")],
)
def test_an_address_that_cannot_be_bound_says_so(address: str, message: str) -> None:
    with pytest.raises(OperatorError, match=message) as caught:
        claim_ports([Binding("travel", address, free_port())])
    assert caught.value.fix
