# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without a window, told what to do by the DevTools protocol, through two pipes.

https://chromedevtools.github.io/devtools-protocol/: JSON, each message with a NUL behind it; the
browser reads from descriptor 3 and writes to 4. It has a new profile, and no network.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

_PATIENCE_S = 60.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
)


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends are not where the browser's are to be."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


class Page:
    """One tab of a browser of its own.

    :ivar requests: the addresses asked for since the last page was opened.
    """

    def __init__(self, profile: Path) -> None:
        read, to_browser = _pipe()
        from_browser, write = _pipe()
        self._to, self._from = to_browser, from_browser
        shell = (
            'exec unshare --map-root-user --net chromium "$@"'
            f" 3<&{read} 4>&{write} {read}<&- {write}>&-"
        )
        flags = [*_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._browser = subprocess.Popen(
            ["bash", "-c", shell, "chromium", *flags],
            pass_fds=(read, write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._rest = b""
        self._last = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        [target, *_more] = [
            target
            for target in self.call("Target.getTargets")["targetInfos"]
            if target["type"] == "page"
        ]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Network.enable")

    def close(self) -> None:
        """End the browser."""
        self._session = None
        try:
            self.call("Browser.close")
            self._browser.wait(_PATIENCE_S)
        finally:
            self._browser.kill()
            self._browser.wait()
            os.close(self._to)
            os.close(self._from)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Have something done; return what it answered."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer)
                found: dict[str, Any] = answer["result"]
                return found
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        message, _nul, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])

    def open(self, address: str) -> None:
        """Open a page, and wait until all of it is loaded."""
        self.requests.clear()
        self._events.clear()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._note(self._receive())

    def look(self, width: int, *, mobile: bool = False, scheme: str = "light") -> None:
        """Take a width in CSS pixels, and a colour scheme: ``light`` or ``dark``."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def ask(self, script: str) -> Any:
        """Return what a JavaScript expression is."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")
