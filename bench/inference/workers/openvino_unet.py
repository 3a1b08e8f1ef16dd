"""OpenVINO through optimum-intel: static shapes, bf16 arithmetic, and int8 by NNCF."""

from time import perf_counter

BEGUN = perf_counter()

import argparse  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import openvino  # noqa: E402
from optimum.intel import OVStableDiffusionPipeline  # noqa: E402

from bench.inference.protocol import serve  # noqa: E402
from bench.inference.workers.told import parser, question  # noqa: E402

SIDE, SAMPLES = 512, 4


class OpenVINO:
    """Its pipeline, whose U-Net is asked as the pipeline asks it."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told
        asked = question(told.model, told.rows)
        self.inputs = {
            "sample": asked.x,
            "timestep": np.array(asked.time, dtype=np.float32),
            "encoder_hidden_states": asked.tokens,
        }
        self.exported: Path = told.cache.parent / "openvino-exported"

    def load(self) -> None:
        """Convert the model once to OpenVINO's own format, and read that; weights in half precision."""
        if not self.exported.exists():
            self.export()
        self.pipeline: Any = OVStableDiffusionPipeline.from_pretrained(
            self.exported, compile=False, ov_config=self.settings()
        )

    def export(self) -> None:
        from optimum.exporters.openvino import main_export
        from optimum.intel import OVConfig

        main_export(
            str(self.told.model / "pipeline"),
            self.exported,
            task="text-to-image",
            ov_config=OVConfig(dtype="fp16"),
        )

    def settings(self) -> dict[str, str]:
        return {
            "INFERENCE_PRECISION_HINT": "bf16",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": str(self.told.threads),
            "CACHE_DIR": str(self.told.cache / "compiled"),
        }

    def prepare(self) -> None:
        """Fix the shapes (the pipeline itself knows only guided ones), pack to int8 if told, and compile."""
        unet = self.pipeline.unet
        if self.told.int8:
            unet.model = self.packed(unet.model)
        x, tokens = self.inputs["sample"], self.inputs["encoder_hidden_states"]
        unet.model.reshape({"sample": x.shape, "timestep": [], "encoder_hidden_states": tokens.shape})
        unet.compile()

    def packed(self, model: Any) -> Any:
        """The model in int8, which is kept on disk."""
        file = self.told.cache.parent / f"openvino-{self.told.int8}.xml"
        if not file.exists():
            openvino.save_model(self.pack(model), file)
        return openvino.Core().read_model(file)

    def pack(self, model: Any) -> Any:
        import nncf

        if self.told.int8 == "weights":
            return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        return nncf.quantize(
            model,
            nncf.Dataset(list(self.samples())),
            subset_size=SAMPLES,
            model_type=nncf.ModelType.TRANSFORMER,
            fast_bias_correction=True,
            advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
        )

    def samples(self) -> Iterator[dict[str, Any]]:
        """Inputs to watch the activations' ranges on, other than those that are asked later."""
        draw = np.random.default_rng(1)
        for time in np.linspace(0, 999, SAMPLES, dtype=np.float32):
            drawn = {
                name: draw.standard_normal((1, *value.shape[1:]), dtype=np.float32)
                for name, value in self.inputs.items()
                if name != "timestep"
            }
            yield drawn | {"timestep": np.array(time)}

    def step(self) -> None:
        self.given = self.pipeline.unet(**self.inputs)

    def answer(self) -> Any:
        self.step()
        (sample,) = self.given.values()
        return sample.numpy()


def main() -> None:
    told = parser(__doc__)
    told.add_argument("--int8", choices=("weights", "full"))
    serve(OpenVINO(told.parse_args()), BEGUN)


if __name__ == "__main__":
    main()
