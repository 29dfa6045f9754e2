# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates for servers and clients of OVSDB: ours, and a stranger's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import debian


def make(folder: Path, tree: Path) -> None:
    """Make NAME.key and NAME.pem of ``ca``, of ``server`` and ``client``, and of ``stranger``.

    :param folder: to be made, for them
    :param tree: Debian's, with its openssl
    """
    folder.mkdir()
    _make(folder, tree, "ca")
    for name in ("server", "client"):
        _make(folder, tree, name, "ca")
    _make(folder, tree, "stranger")


def _make(folder: Path, tree: Path, name: str, issuer: str = "") -> None:
    """Make a key, and a certificate signed by ``issuer`` or by itself."""
    signed = ["-CA", f"{folder}/{issuer}.pem", "-CAkey", f"{folder}/{issuer}.key"]
    subprocess.run(
        [
            *debian.command(tree, "usr/bin/openssl"),
            *("req", "-config", f"{tree}/etc/ssl/openssl.cnf", "-x509", "-batch", "-nodes"),
            *("-days", "2", "-subj", f"/CN={name}", *(signed if issuer else ())),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )


def options(folder: Path, who: str = "client", ca: str = "ca") -> dict[str, str]:
    """Return the files that go with ``ssl:``, by the option that holds each."""
    return {
        "ssl_key_file": str(folder / f"{who}.key"),
        "ssl_cert_file": str(folder / f"{who}.pem"),
        "ssl_ca_cert_file": str(folder / f"{ca}.pem"),
    }


def of_server(folder: Path) -> tuple[str, ...]:
    """Return the options that ovsdb-server takes for ``pssl:``."""
    return (
        f"--private-key={folder}/server.key",
        f"--certificate={folder}/server.pem",
        f"--ca-cert={folder}/ca.pem",
    )
