"""A model for MLServer, of NumPy alone: the logistic function of the mean of an image plus a bias."""

import asyncio
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Brightness(MLModel):
    """Parameters: ``bias``; ``seconds`` for each request, which is noted in the file ``asked``."""

    async def load(self) -> bool:
        self.values = self.settings.parameters.extra
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        with Path(self.values["asked"]).open("a") as file:
            file.write("asked\n")
        await asyncio.sleep(self.values["seconds"])
        images = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float64)
        logit = images.reshape(len(images), -1).mean(axis=1) + self.values["bias"]
        said = (1 / (1 + np.exp(-logit))).astype(np.float32)
        output = NumpyCodec.encode_output("probability", said)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
