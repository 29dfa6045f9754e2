# SPDX-License-Identifier: Apache-2.0
"""A guest behind a vhost-user socket: its virtio-net driver and its hypervisor's side of it.

An independent witness of what a back end (Open vSwitch with DPDK, for one) does with a port.
Nothing polls: both sides tell each other by eventfd, and this one waits in select().

Sources: QEMU's docs/interop/vhost-user.rst for the protocol; virtio 1.2, 2.7 for the split
virtqueue and 5.1 for the network device.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence

from tests.guest import Guest

# Requests, of "Front-end message types".
GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 8, 9, 10
SET_VRING_KICK, SET_VRING_CALL = 12, 13
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_VRING_ENABLE = 15, 16, 18

_HEADER = struct.Struct("=III")  # request, flags, bytes that follow
_NUMBER = struct.Struct("=Q")
_ANSWER = struct.Struct("=IIIQ")  # a header and a number
_VRING_STATE = struct.Struct("=II")  # index, number
_VRING_ADDRESS = struct.Struct("=IIQQQQ")  # index, flags, descriptors, used, available, log
_ONE_REGION = struct.Struct("=IIQQQQ")  # count, 0, guest address, size, user address, offset

_VERSION, _REPLY, _NEED_REPLY = 0x1, 0x4, 0x8

VIRTIO_F_VERSION_1 = 1 << 32
VHOST_USER_F_PROTOCOL_FEATURES = 1 << 30
PROTOCOL_F_REPLY_ACK = 1 << 3

_RECEIVE, _TRANSMIT = 0, 1
"""The device's first two queues (5.1.2)."""

_SIZE = 256
"""Entries of a queue."""
_BUFFER = 10240
"""Bytes of a buffer: a frame arrives in one, as mergeable buffers are not negotiated."""
_NET_HEADER = 12
"""Bytes before a frame, num_buffers included (5.1.6); 0 in all of them asks for no offload."""
_WRITE_ONLY = 2
"""Descriptor flag: the buffer is the back end's to fill."""
_NO_NOTIFY = 1
"""Flag of the used ring: the back end polls and need not be told."""

# Unequal, so that a back end has to translate both: vrings' are user addresses, buffers' guest's.
_GUEST_ADDRESS, _USER_ADDRESS = 0x4000_0000, 0x7F00_0000_0000


class _Descriptor(ctypes.LittleEndianStructure):
    _fields_ = (
        ("address", ctypes.c_uint64),
        ("length", ctypes.c_uint32),
        ("flags", ctypes.c_uint16),
        ("next", ctypes.c_uint16),
    )


class _Available(ctypes.LittleEndianStructure):
    _fields_ = (
        ("flags", ctypes.c_uint16),
        ("index", ctypes.c_uint16),
        ("ring", ctypes.c_uint16 * _SIZE),
    )


class _Done(ctypes.LittleEndianStructure):
    _fields_ = (("slot", ctypes.c_uint32), ("length", ctypes.c_uint32))


class _Used(ctypes.LittleEndianStructure):
    _fields_ = (
        ("flags", ctypes.c_uint16),
        ("index", ctypes.c_uint16),
        ("ring", _Done * _SIZE),
    )


class _Shared(ctypes.LittleEndianStructure):
    """A queue's part of the shared memory."""

    _fields_ = (
        ("descriptors", _Descriptor * _SIZE),
        ("available", _Available),
        ("used", _Used),
        ("buffers", (ctypes.c_char * _BUFFER) * _SIZE),
    )


class _Queue:
    """The driver's side of a split virtqueue; each descriptor has a buffer for good."""

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        self.offset = index * ctypes.sizeof(_Shared)
        self.shared = _Shared.from_buffer(memory, self.offset)
        self.kick = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.call = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._taken = 0

    def close(self) -> None:
        os.close(self.kick)
        os.close(self.call)

    def offer(self, slot: int, length: int, flags: int = 0) -> None:
        """Make a buffer available. The index comes last: amd64 keeps the order of stores."""
        buffer = _GUEST_ADDRESS + self.offset + _Shared.buffers.offset + slot * _BUFFER
        self.shared.descriptors[slot] = _Descriptor(buffer, length, flags, 0)
        available = self.shared.available
        available.ring[available.index % _SIZE] = slot
        available.index = (available.index + 1) % 0x10000
        if not self.shared.used.flags & _NO_NOTIFY:
            os.eventfd_write(self.kick, 1)

    def take(self) -> tuple[int, int] | None:
        """Return slot and length of a buffer that the back end is done with; None for none."""
        used = self.shared.used
        if used.index == self._taken:
            return None
        element = used.ring[self._taken % _SIZE]
        self._taken = (self._taken + 1) % 0x10000
        return element.slot, element.length


class FrontEnd(Guest):
    """A guest that a vhost-user port is for; what it can say on the wire is in :class:`Guest`.

    As a *server* it listens from the beginning. When a back end has gone, :meth:`start` again.
    """

    def __init__(self, path: str, mac: str, *, server: bool) -> None:
        """Prepare the guest; if it is the server, its side makes the socket ``path`` now."""
        self.mac = mac
        self.path = path
        self._connection: socket.socket | None = None
        self._queues: list[_Queue] = []
        self._free: list[int] = []
        self._listener = socket.socket(socket.AF_UNIX) if server else None
        if self._listener is not None:
            self._listener.bind(path)
            self._listener.listen()

    def start(self, seconds: float = 30.0) -> None:
        """Meet the back end, and give it the queues; it has taken them when this returns.

        :raises TimeoutError: none came, or it does not answer.
        :raises OSError: its socket is not there, or nobody listens.
        """
        self._stop()
        self._free = list(range(_SIZE))
        if self._listener is not None:
            self._listener.settimeout(seconds)
            self._connection, _ = self._listener.accept()
        else:
            self._connection = socket.socket(socket.AF_UNIX)
            self._connection.connect(self.path)
        self._connection.settimeout(seconds)
        self._hand_over()
        for slot in range(_SIZE):
            self._queues[_RECEIVE].offer(slot, _BUFFER, _WRITE_ONLY)

    def close(self) -> None:
        """End as a hypervisor that is killed does; its socket is gone too."""
        self._stop()
        if self._listener is not None:
            self._listener.close()
            os.unlink(self.path)

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for queue in self._queues:
            queue.close()
        self._queues = []

    # --- frames ---------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Give the back end a frame.

        :raises TimeoutError: it has not taken any of the last 256 for 30 seconds.
        """
        queue = self._queues[_TRANSMIT]
        while (done := queue.take()) is not None:
            self._free.append(done[0])
        if not self._free:
            self._free.append(self._wait_for(queue, 30.0)[0])
        slot = self._free.pop()
        content = bytes(_NET_HEADER) + frame
        assert len(content) <= _BUFFER, f"a frame of {len(frame)} bytes"
        ctypes.memmove(queue.shared.buffers[slot], content, len(content))
        queue.offer(slot, len(content))

    def receive(self, timeout: float = 30.0) -> bytes:
        """Return the next frame.

        :raises TimeoutError: none came in so many seconds.
        :raises ConnectionError: the back end has gone.
        """
        queue = self._queues[_RECEIVE]
        slot, length = self._wait_for(queue, timeout)
        frame = ctypes.string_at(queue.shared.buffers[slot], length)[_NET_HEADER:]
        queue.offer(slot, _BUFFER, _WRITE_ONLY)
        return frame

    def frames(self, seconds: float = 30.0) -> Iterator[bytes]:
        """Yield frames as they come, until none has come for ``seconds``."""
        while True:
            try:
                frame = self.receive(seconds)
            except TimeoutError:
                return
            yield frame

    def _wait_for(self, queue: _Queue, seconds: float) -> tuple[int, int]:
        deadline = time.monotonic() + seconds
        while (done := queue.take()) is None:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([queue.call, self._connected().fileno()], [], [], left)
            if not ready:
                raise TimeoutError(f"the back end used no buffer for {seconds:g} s")
            if queue.call not in ready:
                raise ConnectionError("the back end has gone")
            os.eventfd_read(queue.call)
        return done

    # --- protocol -------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Negotiate, share memory, and set up and enable both queues."""
        self._say(SET_OWNER)
        offered = self._ask(GET_FEATURES)
        needed = VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES
        assert offered & needed == needed, f"the back end offers {offered:#x} only"
        protocol = self._ask(GET_PROTOCOL_FEATURES)
        assert protocol & PROTOCOL_F_REPLY_ACK, f"protocol: it offers {protocol:#x} only"
        self._say(SET_PROTOCOL_FEATURES, _NUMBER.pack(PROTOCOL_F_REPLY_ACK))
        self._confirm(SET_FEATURES, _NUMBER.pack(needed))

        descriptor = os.memfd_create("guest", os.MFD_CLOEXEC)
        try:
            size = 2 * ctypes.sizeof(_Shared)
            size += -size % mmap.PAGESIZE
            os.truncate(descriptor, size)
            memory = mmap.mmap(descriptor, size)
            region = _ONE_REGION.pack(1, 0, _GUEST_ADDRESS, size, _USER_ADDRESS, 0)
            self._confirm(SET_MEM_TABLE, region, [descriptor])
        finally:
            os.close(descriptor)
        for index in (_RECEIVE, _TRANSMIT):
            queue = _Queue(memory, index)
            self._queues.append(queue)
            parts = (_Shared.descriptors, _Shared.used, _Shared.available)
            addresses = (_USER_ADDRESS + queue.offset + part.offset for part in parts)
            self._confirm(SET_VRING_NUM, _VRING_STATE.pack(index, _SIZE))
            self._confirm(SET_VRING_BASE, _VRING_STATE.pack(index, 0))
            self._confirm(SET_VRING_ADDR, _VRING_ADDRESS.pack(index, 0, *addresses, 0))
            self._confirm(SET_VRING_KICK, _NUMBER.pack(index), [queue.kick])
            self._confirm(SET_VRING_CALL, _NUMBER.pack(index), [queue.call])
            self._confirm(SET_VRING_ENABLE, _VRING_STATE.pack(index, 1))

    def _say(
        self, request: int, payload: bytes = b"", descriptors: Sequence[int] = (), flags: int = 0
    ) -> None:
        message = _HEADER.pack(request, _VERSION | flags, len(payload)) + payload
        socket.send_fds(self._connected(), [message], descriptors)

    def _ask(
        self, request: int, payload: bytes = b"", descriptors: Sequence[int] = (), flags: int = 0
    ) -> int:
        self._say(request, payload, descriptors, flags)
        answer = b""
        while len(answer) < _ANSWER.size:
            part = self._connected().recv(_ANSWER.size - len(answer))
            if not part:
                raise ConnectionError("the back end has gone")
            answer += part
        answered, flags, size, number = _ANSWER.unpack(answer)
        assert (answered, flags & _REPLY, size) == (request, _REPLY, _NUMBER.size), answer
        return int(number)

    def _confirm(self, request: int, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        refused = self._ask(request, payload, descriptors, _NEED_REPLY)
        assert not refused, f"the back end refused request {request}: {refused}"

    def _connected(self) -> socket.socket:
        assert self._connection is not None, "not started"
        return self._connection
