"""Darkroom: train, run, steer and trust models that develop pictures out of noise."""

__version__ = "0.1.0"
