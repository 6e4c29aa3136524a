"""A run that someone has published for others with the commands of docs/sharing.md."""

from dataclasses import dataclass
from pathlib import Path

from clone import Clone
from remote_kinds import PAGE, Remote

MODEL, ONNX = "models/model.safetensors", "models/model.onnx"
GIT_SERVER = "git@git.example.org:ada/boatyard.git"


@dataclass(frozen=True)
class Shared:
    """A published run: its DVC remote and its repository on a git server."""

    publisher: Clone
    remote: Remote
    hub: Path  # the git server's repository

    def run(self, clone: Clone, commands: list[str]) -> str:
        """Run commands of the page in one shell, with the page's git server and remote replaced by these."""
        return self.remote.run(clone, [line.replace(GIT_SERVER, str(self.hub)) for line in commands])

    def someone(self, folder: Path) -> Clone:
        """An empty folder and home of someone without any account settings."""
        for name in ("work", "home"):
            (folder / name).mkdir(parents=True)
        return Clone(folder / "work", folder / "home")

    def clone(self, folder: Path) -> Clone:
        """Someone's clone from the git server, logged in to the remote, before any `dvc pull`."""
        someone = self.someone(folder)
        clone_it, _ = PAGE.commands("Take the model alone")
        self.run(someone, [clone_it, *self.remote.log_in()])
        return Clone(someone.folder / self.hub.stem, someone.home)


def share(publisher: Clone, remote: Remote, folder: Path) -> Shared:
    """Publish the run that `publisher` has committed, with the git server's repository in `folder`."""
    shared = Shared(publisher, remote, folder / "boatyard.git")
    publisher.git("init", "--quiet", "--bare", "--initial-branch", "main", str(shared.hub))
    publisher.git("remote", "add", "origin", str(shared.hub))
    remote.set_up(publisher)
    remote.run(publisher, remote.log_in())
    assert MODEL in publisher.dvc("status", "--cloud")
    shared.run(publisher, PAGE.commands("Publish"))
    assert MODEL not in publisher.dvc("status", "--cloud")
    return shared
