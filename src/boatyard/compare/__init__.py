"""`boatyard compare`: two states of the repository, how they differ, and the result as Markdown."""
