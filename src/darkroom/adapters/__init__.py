"""LoRA and kin, textual inversion, ControlNet, IP-Adapter: attached and taken off cleanly."""
