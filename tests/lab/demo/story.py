# SPDX-License-Identifier: Apache-2.0
"""The acts: ``python -m tests.lab.demo.story FOLDER``, in a private network that it makes itself.

Everything is done by the command ``os-vif`` as one would type it; only what a management layer
does, to open a second card's tap and to speak to QEMU's monitor, is done here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from os_vif import verbs
from os_vif.cli.demo import world
from os_vif.cli.demo.story import Story
from os_vif.cli.session import Failure, Session
from os_vif.guest import GuestOptions, qmp
from os_vif.objects.vif import VIFBase
from tests import stage
from tests.lab.demo import machine
from tests.vm.qmp import PATIENCE, Monitor, Refused

OS_VIF = str(Path(sys.executable).with_name("os-vif"))

# Filtered: rules of the packet filter are of no use here.
WEB = """\
type: bridge
bridge: br-web
name: tap-web
mac: 52:54:00:00:00:01
filtered: true
instance: {name: web}
network: {mtu: 1400}
"""
BACK = """\
type: bridge
bridge: br-back
name: tap-back
mac: 52:54:00:00:00:02
filtered: true
instance: {name: web}
"""
HOST = {"br-web": "198.51.100.254/24", "br-back": "203.0.113.254/24"}


class Play:
    """The demo on its stage: a folder with what the guest boots, and ``busybox``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.story = Story(Session())
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ.get('PATH', '')}"}

    def play(self) -> None:
        """Play all acts.

        :raises Failure: something does not come out as it should
        """
        before = world.devices()
        (self.folder / "web.yaml").write_text(WEB)
        (self.folder / "back.yaml").write_text(BACK)
        with self.guest():
            self.ping("the guest", "eth0")
            with contextlib.closing(Monitor(str(self.folder / "monitor"))) as monitor:
                self.plug_in(monitor)
                self.ping("the guest by its second card", "eth1")
                with self.story.act("Where it all sits"):
                    self.run("os-vif", "show")
                self.pull_out(monitor)
                self.end(monitor)
        with self.story.act("Nothing is left"):
            self.run("os-vif", "list")
            devices = [name for name in world.devices() if name not in (*before, *HOST)]
            self.story.expect(not devices, f"devices are left: {', '.join(devices)}")
            self.story.tell("the bridges, which guests share, go with the private network")

    @contextlib.contextmanager
    def guest(self) -> Iterator[None]:
        """Start the guest; end it, if it has not ended."""
        words = ["run", "--die-with-me", "web.yaml", "--", machine.PROGRAM]
        words += [word for line in machine.LINES for word in shlex.split(line)]
        with self.story.act("Plug, and boot a guest that has it: os-vif run"):
            self.show("web.yaml", WEB)
            self.run("os-vif", "guest", "web.yaml", "--format", "qemu")
            self.story.tell("$ os-vif run web.yaml -- qemu-system-x86_64 \\")
            for line in machine.LINES:
                self.story.tell(f"      {line}", "" if line is machine.LINES[-1] else " \\")
            with (self.folder / "said").open("wb") as said:
                # Whatever becomes of this process, the guest ends, and its VIF goes.
                self.process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", "--", OS_VIF, *words],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                )
            try:
                self.hear("eth0 is there.*")
            except BaseException:
                self.stop()
                raise
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """End the guest, and let its VIF be unplugged."""
        self.process.terminate()
        self.process.wait()

    def hear(self, pattern: str) -> None:
        """Wait for what the guest says on its console, and tell it.

        :raises Failure: it does not come, or the guest has ended
        """
        try:
            said = machine.heard(self.folder / "console", pattern, self.process)
        except machine.Silent as error:
            raise Failure(f"{error}{(self.folder / 'said').read_text()}") from None
        self.story.tell(("the guest: ", "guest"), said)

    def ping(self, whom: str, card: str) -> None:
        """Ping one of the guest's addresses."""
        address = machine.ADDRESSES[card]
        bridge, own = list(HOST.items())[list(machine.ADDRESSES).index(card)]
        with self.story.act(f"Ping {whom}"):
            self.run("ip", "address", "add", own, "dev", bridge)
            said = self.run("ping", "-c", "3", "-W", str(int(PATIENCE)), address)
            answered = re.search(r"(\d+) packets received", said)
            self.story.expect(
                answered is not None and answered[1] != "0", "the guest does not answer"
            )

    def plug_in(self, monitor: Monitor) -> None:
        """Plug a second VIF, and its card into the running guest."""
        with self.story.act("Plug a second card into the running guest: os-vif guest, by QMP"):
            self.run("os-vif", "plug", "back.yaml")
            vif, dialogue = self.second()
            self.tell_commands("plug", dialogue.plug)
            descriptors = verbs.open_guest_end(vif)
            try:
                monitor.follow(dialogue.plug, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            self.hear("eth1 is there.*")

    def pull_out(self, monitor: Monitor) -> None:
        """Take the second card out of the guest, and unplug its VIF."""
        with self.story.act("And out again: the guest lets go of it first"):
            _vif, dialogue = self.second()
            self.tell_commands("unplug", dialogue.unplug)
            monitor.follow(dialogue.unplug)
            self.hear("eth1 is gone")
            self.run("os-vif", "unplug", "back.yaml")

    def end(self, monitor: Monitor) -> None:
        """Switch the guest off; os-vif run unplugs the first VIF."""
        with self.story.act("Switch the guest off: os-vif run unplugs its VIF, and ends"):
            with contextlib.suppress(OSError):  # it ends before it answers
                monitor.execute("quit")
            code = self.process.wait(PATIENCE)
            self.story.tell(f"os-vif run has ended with {code}")
            said = (self.folder / "said").read_text()
            self.story.expect(code == 0, f"os-vif run ended with {code}: {said}")

    def second(self) -> tuple[VIFBase, qmp.Dialogue]:
        """Return the second VIF, and what QEMU's monitor is told for it."""
        [entry] = self.story.session.read([str(self.folder / "back.yaml")]).entries
        card = verbs.guest_card(entry.vif, entry.instance)
        return entry.vif, qmp.dialogue(card, GuestOptions(bus=machine.PORT))

    def tell_commands(self, verb: str, commands: Sequence[qmp.Command]) -> None:
        """Show what QEMU's monitor is told."""
        self.story.tell(
            f'QEMU is told by QMP, as "{verb}" of os-vif guest back.yaml --format qmp --bus '
            f"{machine.PORT} has it:"
        )
        for command in commands:
            with_it = "" if command.descriptor is None else ", with the tap's descriptor"
            then = "" if command.wait is None else f", and wait for {command.wait.event}"
            said = " ".join(f"{name}={value}" for name, value in command.arguments.items())
            self.story.tell((f"  {command.execute}  {said}{with_it}{then}", "quiet"))

    def show(self, name: str, text: str) -> None:
        """Show a file."""
        self.story.tell(f"$ cat {name}")
        for line in text.splitlines():
            self.story.tell((line, "quiet"))

    def run(self, program: str, *words: str) -> str:
        """Run a command where the guest's network is, and show both; return what it said.

        :raises Failure: it fails
        """
        self.story.tell(f"$ {shlex.join([program, *words])}")
        argv = [OS_VIF] if program == "os-vif" else [str(self.folder / "busybox"), program]
        return stage.run_and_tell(
            self.story, program, [*argv, *words], cwd=self.folder, env=self.environment
        )


def main(folder: str) -> int:
    """Make the private network, and play; return the exit code."""
    return stage.play(lambda: Play(Path(folder)).play(), "guest and private network", Refused)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
