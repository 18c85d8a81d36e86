"""An orchestrator of the scoring contract, served by MLServer: a route is needed when the user names it.

Runs in MLServer's own environment and imports nothing of ours.
"""

from __future__ import annotations

import json

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Orchestrator(MLModel):
    """Scores 0.9 for routes that the newest turn names, in the order in which it names them, and 0.1 for others."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One conversation and its routes."""
        given = {tensor.name: StringCodec.decode_input(tensor)[0] for tensor in payload.inputs}
        said = json.loads(given["CONVERSATION"])[-1]["content"]
        names = [route["name"] for route in json.loads(given["ROUTES"])]
        places = [said.find(name) for name in names]
        scores = np.array([[0.9 if place >= 0 else 0.1 for place in places]], dtype=np.float32)
        ranking = sorted(range(len(names)), key=lambda index: (places[index] < 0, places[index]))
        order = np.array([[ranking.index(index) for index in range(len(names))]], dtype=np.int32)
        outputs = [NumpyCodec.encode_output("SCORES", scores), NumpyCodec.encode_output("ORDER", order)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
