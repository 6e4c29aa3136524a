"""The network: its backbone and head, the engine that runs it, the cached features, and training."""
