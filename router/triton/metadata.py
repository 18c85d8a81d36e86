"""What Triton says about a server and its models, as values.

The ``from_*`` functions read protobuf messages, which are untyped here; nothing beyond this package sees those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """Name, datatype ("BYTES", "FP32", ...) and shape of a tensor; -1 is a dimension of any size.

    In ``ModelMetadata`` the shape includes the batch dimension, in ``ModelConfig`` it does not: as Triton reports them.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """The server's id and its version, for example "2.51.0"."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """The signature of a loaded model, and the versions of it that are served."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What matters here of a model configuration (``config.pbtxt``).

    ``max_batch_size`` 0 means that the tensors carry no batch dimension. ``parameters`` are the string
    parameters.
    """

    name: str
    backend: str
    max_batch_size: int
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    parameters: Mapping[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of a classifier in the order of its scores, from the parameter ``labels``; empty without it."""
        return tuple(label for part in self.parameters.get("labels", "").split(",") if (label := part.strip()))

    @property
    def threshold(self) -> float:
        """The score that counts as a yes, from the parameter ``threshold``; 0.5 without it, or when it is no number."""
        try:
            return float(self.parameters.get("threshold", "0.5"))
        except ValueError:
            return 0.5

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The score that counts as a yes for each label, from the parameter ``thresholds`` in the order of ``labels``.

        ``threshold`` for every label without it, when the two lists differ in length, or when one entry is no number.
        """
        same = dict.fromkeys(self.labels, self.threshold)
        try:
            values = [float(part) for part in self.parameters.get("thresholds", "").split(",")]
        except ValueError:
            return same
        if len(values) != len(self.labels) or any(math.isnan(value) for value in values):
            return same
        return dict(zip(self.labels, values, strict=True))


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the repository index. ``version`` and ``state`` are empty for a model that was never loaded."""

    name: str
    version: str
    state: str
    reason: str

    @property
    def ready(self) -> bool:
        """Whether this version is served."""
        return self.state == "READY"


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What Triton has counted of one version of a model since it was loaded; times in seconds, summed up.

    ``queue_s`` is what the inferences that went well waited for, ``compute_s`` what they then took, with the copying of
    their tensors.
    """

    name: str
    version: str
    succeeded: int
    failed: int
    queue_s: float
    compute_s: float


def from_model_metadata(message: Any) -> ModelMetadata:
    """Read a ``ModelMetadataResponse``."""
    return ModelMetadata(
        name=message.name,
        versions=tuple(message.versions),
        platform=message.platform,
        inputs=tuple(TensorMetadata(t.name, t.datatype, tuple(t.shape)) for t in message.inputs),
        outputs=tuple(TensorMetadata(t.name, t.datatype, tuple(t.shape)) for t in message.outputs),
    )


def signature_only(metadata: ModelMetadata) -> ModelConfig:
    """What there is of a configuration where the server does not tell: tensors as in the metadata, no parameters."""
    return ModelConfig(metadata.name, metadata.platform, 0, metadata.inputs, metadata.outputs, {})


def from_model_config(message: Any) -> ModelConfig:
    """Read a ``ModelConfig``."""
    return ModelConfig(
        name=message.name,
        backend=message.backend,
        max_batch_size=message.max_batch_size,
        inputs=_tensors(message.input),
        outputs=_tensors(message.output),
        parameters={key: value.string_value for key, value in message.parameters.items()},
    )


def from_index(message: Any) -> tuple[IndexEntry, ...]:
    """Read a ``RepositoryIndexResponse``."""
    return tuple(IndexEntry(m.name, m.version, m.state, m.reason) for m in message.models)


def from_statistics(message: Any) -> tuple[ModelStatistics, ...]:
    """Read a ``ModelStatisticsResponse``."""
    return tuple(_statistics(model) for model in message.model_stats)


def _statistics(model: Any) -> ModelStatistics:
    counted = model.inference_stats
    computing = counted.compute_input.ns + counted.compute_infer.ns + counted.compute_output.ns
    return ModelStatistics(
        name=model.name,
        version=model.version,
        succeeded=counted.success.count,
        failed=counted.fail.count,
        queue_s=counted.queue.ns / 1e9,
        compute_s=computing / 1e9,
    )


def _tensors(declared: Iterable[Any]) -> tuple[TensorMetadata, ...]:
    return tuple(TensorMetadata(t.name, _datatype(t), tuple(t.dims)) for t in declared)


def _datatype(declared: Any) -> str:
    """Configurations say TYPE_STRING where the protocol says BYTES; the other names differ only in the prefix."""
    names = declared.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    name = str(names[declared.data_type].name).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name
