"""Which addresses a host may have when its name comes from a conversation.

Somebody who may name the host of a request could point it at what only the gateway can reach: its own machine, the
network around it, a cloud's metadata service. So the name is resolved here, every address is checked, and the
connection goes to one that was: a second look-up could give another answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from router.aio import timeout
from router.errors import InvalidRequest, UpstreamTimeout, UpstreamUnreachable

# The addresses of a host name, as texts. Raises ``OSError``.
Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]


class FindAddress(Protocol):
    """The address to connect to for a host name, once it was judged. Raises ``GatewayError``."""

    async def __call__(self, host: str, *, timeout_s: float) -> str: ...


# What is public at all of IPv6 (RFC 4291, section 2.4), and what the standard library may not know to be reserved:
# documentation (RFC 9637), and assignments for protocols (RFC 6890).
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_RESERVED = (ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("192.0.0.0/24"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits


async def resolved(host: str) -> Sequence[str]:
    """What the system's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def public_address(host: str, *, timeout_s: float, resolve: Resolve = resolved) -> str:
    """An address of ``host``, all of which are public. Raises ``InvalidRequest`` and ``UpstreamError``."""
    try:
        async with timeout(timeout_s):
            addresses = await resolve(host)
    except (asyncio.TimeoutError, TimeoutError) as exc:
        raise UpstreamTimeout(f"The name '{host}' was not found in time.") from exc
    except (OSError, UnicodeError) as exc:
        raise UpstreamUnreachable(f"The name '{host}' is not known.") from exc
    if not addresses:
        raise UpstreamUnreachable(f"The name '{host}' is not known.")
    if not all(map(is_public, addresses)):
        raise InvalidRequest(f"'{host}' is not a public address, and no other may be called here.")
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether an address belongs to the internet: not to a private network, a link, this machine or a group."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inside:
            return is_public(str(inside))
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address in network for network in _RESERVED):
        return False
    return address.is_global and not address.is_multicast
