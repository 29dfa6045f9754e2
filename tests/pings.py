# SPDX-License-Identifier: Apache-2.0
"""Pings from somewhere, one after the other, and which of them nobody answered."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

from tests.conftest import PrivateHost


class Ping:
    """Pings from a host, until it is stopped.

    :param folder: for what it says
    :param interval: seconds between two
    """

    PATIENCE = 30.0

    def __init__(
        self, host: PrivateHost, address: str, folder: Path, interval: float = 0.02
    ) -> None:
        self._said = folder / f"ping-{host.pid}-{address}-{time.monotonic_ns()}"
        argv = host.argv("stdbuf", "-oL", "ping", "-n", "-i", f"{interval:g}", address)
        with self._said.open("w") as out:
            self._process = subprocess.Popen(argv, stdout=out, stderr=out)

    def answered(self) -> list[int]:
        """Return the numbers of those that were answered, in the order of the answers."""
        return [int(found) for found in re.findall(r"icmp_seq=(\d+) ttl", self._said.read_text())]

    def more(self, count: int = 10) -> None:
        """Wait until so many more were answered."""
        before = len(self.answered())
        deadline = time.monotonic() + self.PATIENCE
        while len(self.answered()) < before + count:
            assert time.monotonic() < deadline, "nobody answers any more"
            time.sleep(0.02)

    def lost(self) -> list[int]:
        """Stop, and return which were not answered, of those from the first answer to the last."""
        answered = self.stop()
        return sorted(set(range(answered[0], answered[-1] + 1)) - set(answered))

    def stop(self) -> list[int]:
        """Stop, and return which were answered; it must not have stopped by itself before."""
        ended = self._process.poll()
        assert ended is None, f"it has ended with {ended}: {self._said.read_text()[-500:]}"
        self._process.send_signal(signal.SIGINT)
        self._process.wait(self.PATIENCE)
        return self.answered()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
