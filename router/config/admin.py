"""``admin``: the operator's port, with metrics and health."""

from __future__ import annotations

from pydantic import Field

from router.config.fields import Name, Port, Section


class Admin(Section):
    """The operator's port: `/metrics` for Prometheus, `/healthz` and `/readyz`. Nobody is authenticated there."""

    enabled: bool = Field(default=True, description="Turns it off.")
    address: Name = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(
        default=9901, description="TCP port. Where it is taken and the file does not choose it, any free one is used."
    )

    @property
    def port_is_chosen(self) -> bool:
        """Whether the file says which port it is."""
        return "port" in self.model_fields_set
