"""Two states of the repository side by side: what each one says, what differs, and how to tell of it."""
