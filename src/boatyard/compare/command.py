"""`boatyard compare`: what changed since another commit, in Markdown for a pull request."""

from dataclasses import replace

from boatyard.compare import code_changes, difference, results, revision, summary


def run(name: str | None) -> int:
    """Print how the working tree differs from a commit.

    Args:
        name: of the commit; None for where the current branch left the main branch.

    Returns:
        The exit status: 0, whatever differs.

    Raises:
        UserError: no repository, no such commit, or results that are missing or damaged on either side.
    """
    tree = revision.working_tree()
    commit = revision.find(name, results.FILES)
    before, after = results.read(commit), results.read(tree)
    tables = results.read_photos(before, after)
    found = difference.compare(before, after, tables)
    found = replace(found, code=code_changes.files_changed_since(commit.sha, found.code))
    print(summary.render(found, commit, tree), end="")
    return 0
