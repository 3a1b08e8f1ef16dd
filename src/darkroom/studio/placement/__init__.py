"""Where and how a model runs: what the machine has, what follows from it, and the model set up so.

All choices of precision, layout, packing, kernels and memory are made here; networks and samplers know
nothing of them.
"""
