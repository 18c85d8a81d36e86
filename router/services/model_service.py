"""``ModelService``: the models on Triton, as it lists them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from router.context import RequestContext
from router.errors import ModelNotFound
from router.protos.v1 import model_pb2 as wire
from router.triton.client import TritonClient
from router.triton.metadata import IndexEntry, TensorMetadata

NAME = wire.DESCRIPTOR.services_by_name["ModelService"].full_name

_STATES: Mapping[str, wire.ModelState.ValueType] = MappingProxyType(
    {
        "READY": wire.MODEL_STATE_READY,
        "LOADING": wire.MODEL_STATE_LOADING,
        "UNLOADING": wire.MODEL_STATE_UNLOADING,
        "UNAVAILABLE": wire.MODEL_STATE_UNAVAILABLE,
    }
)


class ModelService:
    """``required`` are the models without which the configuration cannot be served as it says."""

    def __init__(self, triton: TritonClient, required: Iterable[str]) -> None:
        self._triton = triton
        self._required = frozenset(required)

    async def list_models(self, request: wire.ListModelsRequest, context: RequestContext) -> wire.ListModelsResponse:
        """Every version of every model. Raises ``ModelUnavailable`` when Triton does not answer."""
        index = await self._triton.index(context.remaining_s(), ready_only=request.ready_only)
        entries = sorted(index, key=lambda entry: (entry.name, entry.version))
        return wire.ListModelsResponse(models=[self._model(entry) for entry in entries])

    async def model_status(self, request: wire.ModelStatusRequest, context: RequestContext) -> wire.ModelStatusResponse:
        """One model. Raises ``ModelNotFound``, and ``ModelUnavailable`` when Triton does not answer."""
        index = await self._triton.index(context.remaining_s())
        versions = sorted((entry for entry in index if entry.name == request.name), key=lambda entry: entry.version)
        if not versions:
            raise ModelNotFound("The model repository has no such model.", param="name")
        ready = any(entry.ready for entry in versions)
        answer = wire.ModelStatusResponse(versions=[self._model(entry) for entry in versions], ready=ready)
        if ready:
            metadata, config = await asyncio.gather(
                self._triton.model_metadata(request.name, context.remaining_s()),
                self._triton.model_config(request.name, context.remaining_s()),
            )
            answer.inputs.extend(map(_tensor, metadata.inputs))
            answer.outputs.extend(map(_tensor, metadata.outputs))
            answer.labels.extend(config.labels)
            answer.threshold = config.threshold
        return answer

    def _model(self, entry: IndexEntry) -> wire.Model:
        return wire.Model(
            name=entry.name,
            version=entry.version,
            state=_STATES.get(entry.state, wire.MODEL_STATE_UNSPECIFIED),
            detail=entry.reason,
            required=entry.name in self._required,
        )


def _tensor(tensor: TensorMetadata) -> wire.Tensor:
    return wire.Tensor(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
