"""What every stage stands on: errors, files, paths, splits, locks, the machine's settings, cache keys."""
