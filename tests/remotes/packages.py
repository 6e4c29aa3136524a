"""Install the servers that `make test-remotes` starts, if they are missing, as Debian packages.

It needs root, or sudo without a password. The packages' services are neither started nor enabled: running tests must
not open an SSH server to the world.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Programs and files that the tests use → the package that has them. The packages' dependencies bring the rest.
PACKAGES = {
    "sshd": "openssh-server",
    "nginx": "nginx",
    "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so": "libnginx-mod-http-dav-ext",
    "openssl": "openssl",
    "ceph": "ceph-common",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "radosgw": "radosgw",
}
UNITS = Path("/lib/systemd/system")
POLICY = Path(
    "/usr/sbin/policy-rc.d"
)  # Debian runs it before a package starts its service; exit status 101 forbids that


def main() -> int:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [package for needed, package in PACKAGES.items() if not shutil.which(needed, os.F_OK, path)]
    if not missing:
        return 0
    by_hand = f"apt-get install --no-install-recommends {' '.join(missing)}"
    if not shutil.which("apt-get"):
        return refuse(f"missing: on Debian, run '{by_hand}' as root")
    if os.geteuid() != 0:
        if subprocess.run(["sh", "-c", "sudo --non-interactive true"], stderr=subprocess.DEVNULL).returncode != 0:
            return refuse(f"missing, and installing them needs root: 'sudo {by_hand}'")
        return subprocess.run(["sudo", "--non-interactive", sys.executable, __file__]).returncode
    print(f"Installing {', '.join(missing)}", flush=True)
    with services_left_alone():
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            done = subprocess.run(
                ["apt-get", "--quiet=2", *arguments],
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode != 0:
                return refuse(f"missing, and 'apt-get {' '.join(arguments)}' failed: see above")
    return 0


def refuse(why: str) -> int:
    print(f"error: the servers of 'make test-remotes' are {why}", file=sys.stderr)
    return 2


@contextmanager
def services_left_alone() -> Iterator[None]:
    """Packages installed in the block start no service, neither now nor at boot."""
    before = set(UNITS.glob("*"))
    asked = POLICY.exists()
    if not asked:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if not asked:
            POLICY.unlink()
        new = sorted(unit.name for unit in set(UNITS.glob("*")) - before if "@" not in unit.name)
        if new and shutil.which("systemctl"):
            subprocess.run(["systemctl", "--quiet", "disable", *new], check=True)


if __name__ == "__main__":
    sys.exit(main())
