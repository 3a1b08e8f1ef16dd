"""What every test shares: one thread for torch, as tests run side by side, single precision wherever a test
does not choose, and patience on a busy machine.
"""

import os

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported, here and in the processes tests start

os.environ.setdefault("DARKROOM_WITHOUT", "bf16,amx")  # the same numbers on every processor

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile(
    "darkroom", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("darkroom")
