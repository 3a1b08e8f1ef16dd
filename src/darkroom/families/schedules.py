"""Processes as the scheduler_config.json of a diffusers folder tells them."""

from collections.abc import Mapping
from typing import Any

import torch

from darkroom.diffusion.levels import VP
from darkroom.diffusion.prediction import Prediction, predict_eps, predict_v, predict_x0
from darkroom.diffusion.process import Process
from darkroom.errors import DarkroomError

PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": predict_eps,
    "v_prediction": predict_v,
    "sample": predict_x0,
}
CALLED = {"v": "v_prediction", "eps": "epsilon"}
"""The names of predictions here, by those that people and headers use."""


def vp_process(config: Mapping[str, Any], prediction: str | None = None) -> Process:
    """The process of a Stable Diffusion; what ``config`` leaves open is as it was published.

    ``prediction`` ("epsilon", "v_prediction" or "sample") overrules the config. Raises DarkroomError for a
    schedule that is unknown here.
    """
    table = _zero_terminal(_table(config), config)
    name = prediction or config.get("prediction_type", "epsilon")
    if name not in PREDICTIONS:
        known = ", ".join(PREDICTIONS)
        raise DarkroomError(f"the prediction '{name}' of this model is unknown here; known are {known}.")
    return Process(table, PREDICTIONS[name])


def _table(config: Mapping[str, Any]) -> VP:
    if betas := config.get("trained_betas"):
        return VP.from_betas(torch.tensor(betas, dtype=torch.float64))
    count = config.get("num_train_timesteps", 1000)
    first, last = config.get("beta_start", 0.00085), config.get("beta_end", 0.012)
    match name := config.get("beta_schedule", "scaled_linear"):
        case "scaled_linear":
            return VP.scaled_linear(count, first, last)
        case "linear":
            return VP.linear(count, first, last)
        case "squaredcos_cap_v2":
            return VP.cosine(count)
        case "sigmoid":
            return VP.sigmoid(count, first, last)
    raise DarkroomError(f"the beta schedule '{name}' of this model is unknown here; use another model.")


def _zero_terminal(table: VP, config: Mapping[str, Any]) -> VP:
    return table.zero_terminal() if config.get("rescale_betas_zero_snr") else table
