# SPDX-License-Identifier: Apache-2.0
"""The only room that touches the system: here with ip(8)."""

import errno
import subprocess

from os_vif.engine.family import Phase, System
from os_vif.engine.step import Step
from os_vif_vxlan.questions import REACHED

PORT = "4789"
"""UDP port of VXLAN (RFC 7348, section 5)."""


def _ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        number = errno.EEXIST if "exists" in done.stderr else errno.EIO
        number = errno.ENODEV if "Cannot find" in done.stderr else number
        raise OSError(number, done.stderr.strip())


def _leads_to(address):
    try:
        _ip("route", "get", address)
    except OSError:
        return False
    return True


def _look(asked, host, _place):
    host[REACHED].update({address: _leads_to(address) for address in asked[REACHED]})
    return ()


def _add(args):
    tunnel = ("id", str(args["vni"]), "remote", args["remote"], "dstport", PORT)
    _ip("link", "add", args["name"], "address", args["mac"], "type", "vxlan", *tunnel)
    _ip("link", "set", args["name"], "alias", args["alias"], "master", args["bridge"], "up")


def _delete(args):
    try:
        _ip("link", "delete", args["name"], "type", "vxlan")
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def _remove(plugged, phase):
    if phase is not Phase.DELETE:
        return []
    ours = [link.name for link in plugged["links"] if link.kind == "vxlan"]
    return [Step("del_vxlan", {"name": name}) for name in ours]


SYSTEM = System(look=_look, run={"add_vxlan": _add, "del_vxlan": _delete}, remove=_remove)
