"""Darkroom beside other tools on one SD 1.5 U-Net: ``python -m bench.inference``."""
