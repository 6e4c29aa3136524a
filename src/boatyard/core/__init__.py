"""What every stage uses: errors, files and tables, paths, splits, locks, machine settings, cache keys."""
