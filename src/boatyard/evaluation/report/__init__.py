"""The report of a run: a page that is one file, and a summary for a pull request."""
