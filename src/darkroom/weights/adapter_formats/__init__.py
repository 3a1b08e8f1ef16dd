"""LoRA and its kin as files name them: reading every style, finding the layers meant, and writing."""

from darkroom.weights.adapter_formats.reading import AdapterFile, config_of, read_adapter
from darkroom.weights.adapter_formats.targets import Target, Targets
from darkroom.weights.adapter_formats.writing import save_adapter

__all__ = ["AdapterFile", "Target", "Targets", "config_of", "read_adapter", "save_adapter"]
