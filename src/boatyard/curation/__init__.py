"""Which photos are used and for what: inspection, perceptual hashes, near duplicates, the split."""
