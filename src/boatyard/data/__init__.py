"""The photos: where they come from, which ones stay, how they are split and looked at."""
