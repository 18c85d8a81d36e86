"""Certificates for one test: an authority, a server for ``localhost`` and a client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its key, as PEM files."""

    cert: Path
    key: Path


class Certificates:
    """One authority and what it issues, as files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        self.server = self._issue("localhost")
        self.client = self._issue("gateway.test")

    def credentials(self, *, client: bool = False) -> grpc.ChannelCredentials:
        """What a client needs to trust the server, with a certificate of its own if it is to show one."""
        own = (self.client.key.read_bytes(), self.client.cert.read_bytes()) if client else (None, None)
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), *own)

    def _issue(self, name: str) -> Pair:
        issued = self._authority.issue_cert(name)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pair.cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(pair.key))
        return pair
