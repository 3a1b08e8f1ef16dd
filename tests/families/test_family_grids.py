"""Against the schedulers of diffusers."""

import pytest
import torch

from darkroom.diffusion.levels import VP, Flow
from darkroom.families.grids import ddim, dpm, lcm, sd3

diffusers = pytest.importorskip("diffusers.schedulers")
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
STEPS = pytest.mark.parametrize("steps", [1, 2, 4, 7, 20, 28])


@STEPS
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_sd3_is_the_scheduler_where_nobody_says_the_sigmas(shift, steps):
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(steps)
    torch.testing.assert_close(sd3(Flow(shift), steps).levels.sigma.float(), theirs.sigmas)


@STEPS
def test_lcm_takes_the_indices_of_the_scheduler(steps):
    theirs = diffusers.LCMScheduler(**SD)
    theirs.set_timesteps(steps)
    assert lcm(VP.scaled_linear(), steps).levels.t[:-1].round().int().tolist() == theirs.timesteps.tolist()


@STEPS
def test_ddim_ends_at_the_last_trained_level(steps):
    theirs = diffusers.DDIMScheduler(**SD, steps_offset=1, set_alpha_to_one=False, clip_sample=False)
    theirs.set_timesteps(steps)
    levels = ddim(VP.scaled_linear(), steps).levels
    assert levels.t[:-1].round().int().tolist() == [min(t, 999) for t in theirs.timesteps.tolist()]
    assert levels.alpha[-1].item() ** 2 == pytest.approx(theirs.final_alpha_cumprod.item())


@STEPS
def test_dpm_takes_the_indices_of_the_scheduler(steps):
    theirs = diffusers.DPMSolverMultistepScheduler(beta_schedule="linear", beta_start=0.0001, beta_end=0.02)
    theirs.set_timesteps(steps)
    levels = dpm(VP.linear(1000, 0.0001, 0.02), steps).levels
    assert levels.t[:-1].round().int().tolist() == theirs.timesteps.tolist()
