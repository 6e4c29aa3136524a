"""The kinds of DVC remotes of docs/sharing.md that can run on one machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clone import Clone
from pages import Page
from remotes import nginx, radosgw, sshd

PAGE = Page.read("docs/sharing.md")


@dataclass(frozen=True)
class Remote:
    """An empty remote, and what replaces the page's addresses and secrets."""

    heading: str | None = None  # of its section; None: the folder at the top of the page
    here: dict[str, str] = field(default_factory=dict)  # an address or secret of the page → the one to use
    account_file: str | None = None  # below the home folder, where the remote's own tools look for the key
    secrets: tuple[str, ...] = ()

    def set_up(self, clone: Clone) -> None:
        """What one person does once, and commits."""
        name_it, *commit_it = PAGE.commands("Name a remote")
        shared = [line for line in self._section() if "--local" not in line]
        self.run(clone, [*(shared or [name_it]), *commit_it])

    def log_in(self) -> list[str]:
        """The commands that everyone runs in their clone."""
        return [line for line in self._section() if "--local" in line]

    def log_in_everywhere(self, clone: Clone) -> None:
        """What the owner of the clone's home does to reach the remote from any project."""
        if self.account_file and self.heading:
            path = clone.home / self.account_file
            path.parent.mkdir()
            (content,) = PAGE.blocks("text", self.heading)
            path.write_text(self._as_here(content), encoding="utf-8")
        elif self.secrets:
            certificate = [line.replace("--local", "--global") for line in self.log_in() if "ssl_verify" in line]
            self.run(clone, [*PAGE.commands("Passwords and keys"), *certificate])

    def run(self, clone: Clone, commands: list[str]) -> str:
        """Run commands of the page in one shell, up to the first that fails; return their output."""
        return clone.run("sh", "-ec", self._as_here("\n".join(commands))).stdout

    def _section(self) -> list[str]:
        return PAGE.commands(self.heading) if self.heading else []

    def _as_here(self, text: str) -> str:
        for there, here in self.here.items():
            text = text.replace(there, here)
        return text


@contextmanager
def folder(place: Path) -> Iterator[Remote]:
    yield Remote(here={"/mnt/nas": str(place)})


@contextmanager
def ssh(place: Path) -> Iterator[Remote]:
    with sshd.serving(place) as server:
        here = {
            "ssh://files.example.org/srv": f"ssh://127.0.0.1:{server.port}{server.files}",
            "Host files.example.org": "Host 127.0.0.1",
            "user ada": f"user {server.user}",
            "User ada": f"User {server.user}",
            "~/.ssh/boatyard": str(server.key),
        }
        yield Remote("SSH", here, account_file=".ssh/config")


@contextmanager
def webdav(place: Path) -> Iterator[Remote]:
    with nginx.serving(place) as server:
        (server.files / "boatyard").mkdir()
        here = {
            "files.example.org": f"127.0.0.1:{server.port}",
            "user ada": f"user {server.user}",
            "s3cret": server.password,
            "/etc/ssl/our-own.pem": str(server.certificate),
        }
        yield Remote("WebDAV", here, secrets=(server.password,))


@contextmanager
def s3(place: Path) -> Iterator[Remote]:
    import s3fs  # half a second that the other kinds do without

    with radosgw.serving(place) as server:
        address, keys = f"http://127.0.0.1:{server.port}", (server.access_key, server.secret_key)
        s3fs.S3FileSystem(endpoint_url=address, key=keys[0], secret=keys[1]).mkdir("boatyard-models")
        here = {"https://s3.example.org": address, "YOUR_KEY_ID": keys[0], "YOUR_SECRET": keys[1]}
        yield Remote("S3", here, account_file=".aws/credentials", secrets=keys)


KINDS = {"folder": folder, "ssh": ssh, "webdav": webdav, "s3": s3}
