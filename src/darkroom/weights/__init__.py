"""Reading and writing checkpoints: headers first, key maps, formats of adapters; no code runs from a file."""
