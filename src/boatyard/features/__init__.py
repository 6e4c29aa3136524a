"""The frozen backbone's embeddings: computing them, the store of the work folder, data/features/."""
