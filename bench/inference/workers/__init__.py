"""One file a tool: each loads the shared model as its users do, and takes steps when it is told to."""
