"""The report of a run: a page that is one file, a summary for a pull request, the model card."""
