from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from router.errors import InvalidRequest, UpstreamTimeout, UpstreamUnreachable
from router.functions.addresses import is_public, public_address, resolved


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "64:ff9b:1::7f00:1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
        "3fff::1",
        "5f00::1",
        "192.0.0.8",
        "not an address",
    ],
)
def test_addresses_that_only_the_gateway_can_reach_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(address)


def _says(*addresses: str) -> object:
    async def resolve(host: str) -> Sequence[str]:
        return addresses

    return resolve


async def test_the_address_to_connect_to_is_one_that_was_checked() -> None:
    resolve = _says("93.184.215.14", "93.184.215.15")
    assert await public_address("h", timeout_s=1, resolve=resolve) == "93.184.215.14"  # type: ignore[arg-type]


async def test_one_private_address_is_enough_to_refuse_a_name() -> None:
    with pytest.raises(InvalidRequest, match="not a public address"):
        await public_address("h", timeout_s=1, resolve=_says("93.184.215.14", "10.0.0.1"))  # type: ignore[arg-type]


async def test_this_machine_is_refused_under_its_own_name() -> None:
    assert await resolved("localhost")
    with pytest.raises(InvalidRequest):
        await public_address("localhost", timeout_s=5)


async def test_names_that_lead_nowhere_say_so() -> None:
    async def unknown(host: str) -> Sequence[str]:
        raise OSError("no such name")

    async def silent(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    with pytest.raises(UpstreamUnreachable, match="'h' is not known"):
        await public_address("h", timeout_s=1, resolve=unknown)
    with pytest.raises(UpstreamUnreachable):
        await public_address("h", timeout_s=1, resolve=_says())  # type: ignore[arg-type]
    with pytest.raises(UpstreamTimeout):
        await public_address("h", timeout_s=0.01, resolve=silent)
