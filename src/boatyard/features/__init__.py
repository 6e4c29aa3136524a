"""The frozen backbone's embeddings: how they are computed, the store in the work folder, and data/features/."""
