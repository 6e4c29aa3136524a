"""Training of the head on cached features, then fine-tuning of the backbone."""
