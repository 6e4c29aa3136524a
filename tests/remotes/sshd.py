"""OpenSSH's server with its own configuration: one user, one key, no password."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from remotes import processes

# StrictModes would refuse keys below /tmp, because everyone may write there.
CONFIGURATION = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Sshd:
    port: int
    user: str
    key: Path  # the user's private key, without a passphrase
    files: Path  # an empty folder of the server's machine


@contextmanager
def serving(folder: Path) -> Iterator[Sshd]:
    """Run the server for the current user, with all of its files in `folder`."""
    for name in ("host_key", "key"):
        processes.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name, cwd=folder)
    files = folder / "files"
    files.mkdir()
    port = processes.free_port()
    (folder / "sshd_config").write_text(CONFIGURATION.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # the package's own service does so when it starts
    with processes.running(
        "sshd", "-D", "-e", "-f", folder / "sshd_config", cwd=folder, ready=lambda: processes.listens(port)
    ):
        yield Sshd(port, getpass.getuser(), folder / "key", files)
