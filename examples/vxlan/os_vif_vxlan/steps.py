# SPDX-License-Identifier: Apache-2.0
"""The kinds of step: what their fields may hold, what they do to the model, what undoes them."""

from os_vif.engine import fields
from os_vif.engine.step import Drift, Kind, Step
from os_vif.host.links.questions import LINKS, Link, is_mark


def told(alias):
    """Return what the alias of a device tells of its tunnel: vni and remote; None for nothing."""
    words = dict(word.partition("=")[::2] for word in alias.split(" "))
    if {"vni", "remote"} <= words.keys() and words["vni"].isdigit():
        return {"vni": int(words["vni"]), "remote": words["remote"]}
    return None


def _add(host, args):
    shown = {"up": True, "master": args["bridge"], "mac": args["mac"]}
    host[LINKS][args["name"]] = Link(args["name"], 0, "vxlan", args["alias"], shown)


def _again(host, args):
    link = host[LINKS].get(args["name"])
    tunnel = told(link.alias) if link else None
    if tunnel is None:
        return None
    seen = link.attributes
    back = {"name": link.name, "mac": seen["mac"], "bridge": seen["master"], "alias": link.alias}
    return Step("add_vxlan", back | tunnel)


KINDS = {
    "add_vxlan": Kind(
        {
            "name": fields.NAME,
            "mac": fields.is_mac,
            "bridge": fields.NAME,
            "vni": fields.number(0, 2**24 - 1),
            "remote": fields.IP,
            "alias": is_mark,
        },
        _add,
        lambda _host, args: Step("del_vxlan", {"name": args["name"]}),
        lambda args: f"add VXLAN {args['name']}: VNI {args['vni']} to {args['remote']}",
        drift=lambda args, _steps: [
            Drift(args["name"], f"no VXLAN {args['vni']} to {args['remote']}", missing=True)
        ],
        partial=True,
    ),
    "del_vxlan": Kind(
        {"name": fields.NAME},
        lambda host, args: host.device_gone(args["name"]),
        _again,
        lambda args: f"delete VXLAN {args['name']}",
        drift=lambda _args, _steps: [],
    ),
}
