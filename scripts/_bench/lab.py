"""A wire between two network namespaces, a process of its own: distance for nodes on one machine.

Each nation gets a namespace with one TUN interface; this process carries the packets from one to
the other and holds each back as long as it is told. The nodes' own TCP runs from end to end,
with its windows and acknowledgements, as it would across an ocean; nothing is lost and nothing
overtakes. It needs root and ``/dev/net/tun``, and no tool besides (many kernels lack netem).

Run as ``python -m scripts._bench.lab``; see `scripts._bench.helper`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Final

import orjson

from scripts._bench.helper import answer

TUN: Final = Path("/dev/net/tun")
ADDRESSES: Final[Mapping[str, str]] = {"FR": "10.99.0.1", "US": "10.99.0.2"}
MTU: Final = 9_000
"""Of the longest frames in use: a packet costs the wire as much as a short one, in Python."""

_NETMASK: Final = "255.255.255.0"
_DEVICE: Final = b"bench0"
_PACKETS_A_TURN: Final = 64
_LONGEST_PACKET: Final = 65_536
_QUEUE_LENGTH: Final = 10_000

_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU, _SIOCSIFTXQLEN = 0x8916, 0x891C, 0x8922, 0x8943
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x0001

_libc: Final = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Return why there can be no wire here; empty if there can."""
    if os.geteuid() != 0:
        return "it needs root, for network namespaces"
    return "" if TUN.exists() else f"there is no {TUN}"


class _End:
    """One end of the wire: a namespace and its interface."""

    def __init__(self, nation: str) -> None:
        self.nation = nation
        self.namespace = -1
        self.tun = -1
        self._failure: OSError | None = None
        # A namespace is left and entered by thread: this one never needs to come back.
        maker = threading.Thread(target=self._try)
        maker.start()
        maker.join()
        if self._failure is not None:
            raise self._failure

    def _try(self) -> None:
        try:
            self._make()
        except OSError as error:
            self._failure = error

    def _make(self) -> None:
        if _libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self.namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, _TUNSETIFF, struct.pack("16sH22x", _DEVICE, _IFF_TUN | _IFF_NO_PI))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            for request, address in (
                (_SIOCSIFADDR, ADDRESSES[self.nation]),
                (_SIOCSIFNETMASK, _NETMASK),
            ):
                packed = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
                fcntl.ioctl(channel, request, _ifreq(_DEVICE, packed))
            for request, number in ((_SIOCSIFMTU, MTU), (_SIOCSIFTXQLEN, _QUEUE_LENGTH)):
                fcntl.ioctl(channel, request, _ifreq(_DEVICE, struct.pack("i", number)))
            for device in (_DEVICE, b"lo"):
                found = fcntl.ioctl(channel, _SIOCGIFFLAGS, _ifreq(device, b""))
                flags = struct.unpack_from("H", found, 16)[0] | _IFF_UP
                fcntl.ioctl(channel, _SIOCSIFFLAGS, _ifreq(device, struct.pack("H", flags)))


def _ifreq(device: bytes, tail: bytes) -> bytes:
    return struct.pack("16s", device) + tail.ljust(24, b"\0")


class Wire:
    """Carries packets between both ends."""

    def __init__(self) -> None:
        """Make the ends; nothing is held back yet."""
        self.ends = [_End(nation) for nation in ADDRESSES]
        self.delay_s = 0.0
        # All packets of one direction are held back equally long, so each leaves in its turn.
        self._held: dict[int, deque[tuple[float, bytes]]] = {end.tun: deque() for end in self.ends}
        self._other = {self.ends[0].tun: self.ends[1].tun, self.ends[1].tun: self.ends[0].tun}

    def run(self) -> None:
        """Carry packets and take questions, until there are no more of these."""
        poll = select.epoll()
        for tun in self._other:
            poll.register(tun, select.EPOLLIN)
        poll.register(sys.stdin.fileno(), select.EPOLLIN)
        while True:
            for number, _ in poll.poll(self._wait_s()):
                if number == sys.stdin.fileno():
                    line = sys.stdin.buffer.readline()
                    if not line:
                        return
                    self.delay_s = float(orjson.loads(line)["delay_s"])
                    answer({"delay_s": self.delay_s})
                else:
                    self._take(number)
            self._give()

    def _wait_s(self) -> float:
        due = [held[0][0] for held in self._held.values() if held]
        return max(0.0, min(due) - monotonic()) if due else 1.0

    def _take(self, tun: int) -> None:
        held, due_s = self._held[self._other[tun]], monotonic() + self.delay_s
        for _ in range(_PACKETS_A_TURN):
            try:
                held.append((due_s, os.read(tun, _LONGEST_PACKET)))
            except BlockingIOError:
                return

    def _give(self) -> None:
        now = monotonic()
        for tun, held in self._held.items():
            while held and held[0][0] <= now:
                # An interface that takes no more loses packets, as a real one does.
                with contextlib.suppress(OSError):
                    os.write(tun, held.popleft()[1])


def main() -> None:
    """Make the wire, say where its namespaces are, and carry packets."""
    try:
        wire = Wire()
    except OSError as error:
        answer({"error": f"no wire can be made: {error.strerror}"})
        return
    answer({"namespaces": {end.nation: end.namespace for end in wire.ends}})
    wire.run()


if __name__ == "__main__":
    main()
