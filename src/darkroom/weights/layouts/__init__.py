"""How single files name their tensors, one file a kind of network: rules as data."""
