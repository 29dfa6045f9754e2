# SPDX-License-Identifier: Apache-2.0
"""``network place``: on which chassis a VIF's port is to be, while a guest moves above all."""

from __future__ import annotations

import click

from os_vif.cli.network import completing
from os_vif.cli.network.described import asking, numbered
from os_vif.cli.network.options import northbound_options
from os_vif.cli.options import Taught
from os_vif.cli.results import as_steps
from os_vif.cli.session import Exit, Failure, Session


@click.command("place", cls=Taught)
@click.argument("vif", metavar="VIF", shell_complete=completing.ports)
@click.argument("chassis", metavar="CHASSIS[,CHASSIS]")
@click.option(
    "--activation",
    type=click.Choice(["rarp", "none"]),
    help="How the port begins on the second chassis: shut until the guest's RARP comes (rarp, the "
    "default of two), or at once.",
)
@northbound_options
@click.pass_obj
def place(session: Session, vif: str, chassis: str, *, activation: str | None) -> int:
    """Say on which chassis a VIF's port is to be.

    VIF is its id (or its interface_id, if it has one), or the name of its device. CHASSIS is a
    chassis's name (its system-id) or host name. Only options:requested-chassis and
    activation-strategy of the port are written. '' as CHASSIS lets the port be on any.

    With two, both may have the port: the first one is where the guest is, the second where it goes.
    It takes OVN 22.09 (22.06 with --activation none).

    A guest moves from h1 to h2:
      os-vif network place tap-web h1,h2
      os-vif plug --only tap-web --wait-for ovn lab.yaml   on h2
      virsh migrate --live ...             QEMU's RARP opens the port
      os-vif network place tap-web h2
      os-vif unplug --only tap-web lab.yaml                on h1

    With --json: "port", its name, and "steps" (kind, args, words), none if it was so already.
    """
    names = [name.strip() for name in chassis.split(",") if name.strip()]
    if activation and len(names) < 2:
        raise click.UsageError("--activation goes with two chassis, as in h1,h2")
    session.start(objects=False)
    from os_vif import exception, network

    wanted = activation or ("rarp" if len(names) > 1 else "")
    rarp = "" if wanted == "none" else wanted
    port = vif
    with asking():
        try:
            steps = network.place(port, names, activation=rarp)
        except exception.UnusableDevice:
            port = _named(vif)
            if not port:
                raise
            steps = network.place(port, names, activation=rarp)
    done = as_steps(steps)
    where = " or ".join(names) or "any chassis"
    state, style = ("placed", "good") if steps else ("already placed", "quiet")
    how = f", shut on {names[1]} until the guest's RARP comes" if wanted == "rarp" else ""
    session.say((state, style), "  ", (f"port {vif}", "title"), f"  {where}{how}")
    for line in numbered(done if session.verbosity else []):
        session.say(*line)
    return session.finish(Exit.DONE, port=port, steps=done)


def _named(device: str) -> str:
    """Return the name of the port of a VIF with this device; '' for none.

    :raises Failure: there are several
    """
    from os_vif import network
    from os_vif.logical import held

    ports = [port for item in held.held(network.list_rows()) for port in item.ports]
    found = [port.name for port in ports if port.shown == device]
    if len(found) > 1:
        said = f"{device!r} may be any of {', '.join(found)}; name it by its id"
        raise Failure(said, Exit.BAD_INPUT)
    return found[0] if found else ""
