"""Ceph's object gateway, a real S3, on the smallest possible cluster: a monitor and a store in memory."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from remotes import processes

# One copy of each object, on one store: Ceph takes several settings to accept that.
CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor_port}
public addr = 127.0.0.1
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.socket
pid file =
crash dir = {folder}
log file = {folder}/$name.log
mon data = {folder}/monitor
mon data avail warn = 1
mon data avail crit = 0
mon allow pool size one = true
auth allow insecure global id reclaim = false
osd data = {folder}/store
osd objectstore = memstore
memstore device bytes = 1073741824
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
rgw data = {folder}/gateway
rgw frontends = beast endpoint=127.0.0.1:{port}
"""

ALL = dict.fromkeys(("mon", "osd", "mgr"), "allow *")
KEYS = {"mon.": {"mon": "allow *"}, "client.admin": ALL, "osd.0": ALL, "client.gateway": ALL}


@dataclass(frozen=True)
class S3:
    port: int
    access_key: str
    secret_key: str


@contextmanager
def serving(folder: Path) -> Iterator[S3]:
    """Run the cluster and its gateway, in `folder` and in memory, and create one user."""
    fsid, monitor_port, port = str(uuid.uuid4()), processes.free_port(), processes.free_port()
    for name in ("monitor", "store", "gateway"):
        (folder / name).mkdir()
    configuration = folder / "ceph.conf"
    configuration.write_text(
        CONFIGURATION.format(fsid=fsid, folder=folder, monitor_port=monitor_port, port=port), encoding="utf-8"
    )

    def run(program: str, *arguments: str) -> str:
        return processes.run(program, "--conf", configuration, *arguments, cwd=folder)

    for name, capabilities in KEYS.items():
        options = [word for part, grant in capabilities.items() for word in ("--cap", part, grant)]
        create = [] if (folder / "keyring").exists() else ["--create-keyring"]
        processes.run("ceph-authtool", "keyring", *create, "--gen-key", "--name", name, *options, cwd=folder)
    address = f"v2:127.0.0.1:{monitor_port}"
    processes.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, "monitors", cwd=folder)
    run("ceph-mon", "--mkfs", "--id", "a", "--monmap", "monitors")

    with ExitStack() as servers:

        def start(program: str, *arguments: str, port: int | None = None) -> None:
            servers.enter_context(
                processes.running(
                    program, "--conf", configuration, "--foreground", *arguments,
                    cwd=folder, ready=lambda: port is None or processes.listens(port),
                )
            )  # fmt: skip

        start("ceph-mon", "--id", "a", port=monitor_port)
        run("ceph", "osd", "create")
        run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=localhost")
        run("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", str(uuid.uuid4()))
        start("ceph-osd", "--id", "0")
        start("radosgw", "--name", "client.gateway", port=port)
        user = json.loads(
            run("radosgw-admin", "--name", "client.gateway", "user", "create", "--uid", "ada", "--display-name", "Ada")
        )
        yield S3(port, user["keys"][0]["access_key"], user["keys"][0]["secret_key"])
