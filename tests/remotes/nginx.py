"""nginx as a WebDAV server over TLS, with one user, a password and a self-signed certificate."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from remotes import processes

# Listing needs PROPFIND, which nginx's own WebDAV module lacks.
MODULE = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")

CONFIGURATION = """\
load_module {module};
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path temporary;
  proxy_temp_path temporary;
  fastcgi_temp_path temporary;
  uwsgi_temp_path temporary;
  scgi_temp_path temporary;
  client_max_body_size 0;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate certificate.pem;
    ssl_certificate_key key.pem;
    auth_basic files;
    auth_basic_user_file users;
    root files;
    location / {{
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class WebDav:
    port: int
    user: str
    password: str
    certificate: Path
    files: Path  # the served folder, empty at first


@contextmanager
def serving(folder: Path) -> Iterator[WebDav]:
    """Run the server with all of its files in `folder`."""
    files = folder / "files"
    files.mkdir()
    processes.run(
        "openssl",
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key.pem"),
        *("-out", "certificate.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        cwd=folder,
    )
    user, password, port = "ada", secrets.token_hex(), processes.free_port()
    (folder / "users").write_text(f"{user}:{{PLAIN}}{password}\n")
    (folder / "nginx.conf").write_text(
        CONFIGURATION.format(module=MODULE, port=port, user="user root;" if os.geteuid() == 0 else "")
    )
    with processes.running(
        "nginx", "-p", folder, "-e", "stderr", "-c", "nginx.conf", cwd=folder, ready=lambda: processes.listens(port)
    ):
        yield WebDav(port, user, password, folder / "certificate.pem", files)
