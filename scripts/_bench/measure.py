"""What the machine says of processes: CPU, memory, bytes between the nodes, bytes on disk.

Everything is read from the kernel, from outside: the nodes do nothing for it, and it
costs a few reads at the beginning and the end of a run.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_DONE = 3
_NLMSG_ERROR = 2
_INET_DIAG_INFO = 2
_ESTABLISHED = 1
_BYTES_ACKED_AT = 120
_BYTES_RECEIVED_AT = 128

NODES: Final = ("fr", "us")
"""Nations as they stand in the names of processes."""


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds of all threads of a process: in its own code, and in the kernel for it."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Return both together."""
        return self.user + self.system


def cpu_time(pid: int) -> CpuTime:
    """Return the CPU time that a process has used so far."""
    # The command name may hold spaces; what follows its closing bracket may not.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return CpuTime(user=int(fields[11]) / TICKS_PER_S, system=int(fields[12]) / TICKS_PER_S)


def machine_cpu_seconds() -> float:
    """Return the CPU time that everything on this machine has used since it started."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, fields)
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def memory_bytes(pid: int, what: str) -> int:
    """Return a size of a process from its status: ``VmRSS`` is now, ``VmHWM`` the highest so far."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0]) * 1_024
    return 0


def reset_memory_peak(pid: int) -> None:
    """Let ``VmHWM`` begin anew at what the process has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def folder_bytes(folder: Path) -> int:
    """Return the sizes of all files of a folder together."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def commits(database: Path) -> int | None:
    """Return how many transactions SQLite has committed to a database since its index was made.

    Each of them is one sync of the write-ahead log. SQLite counts them in the first page of
    the log's shared index, 4 bytes from offset 8 on, in the machine's byte order.

    Returns:
        The counter; None where nobody has the database open.

    Spec: https://www.sqlite.org/walformat.html, "WAL-Index Header", iChange.
    """
    try:
        with database.with_name(database.name + "-shm").open("rb") as index:
            header = index.read(12)
    except FileNotFoundError:
        return None
    return int.from_bytes(header[8:12], sys.byteorder)


def file_system(path: Path) -> str:
    """Return the kind of the file system that holds a path."""
    best, kind = "", "unknown"
    real = str(path.resolve())
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, name, *_ = line.split()
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, name
    return kind


@dataclass(frozen=True, slots=True)
class LinkBytes:
    """Bytes of TCP payload, TLS included, that one connection carried.

    Attributes:
        sent: From the side that opened it, acknowledged by the other.
        received: The other way.
    """

    sent: int
    received: int


def link_bytes(ports: Iterable[int]) -> dict[int, LinkBytes] | None:
    """Return what each open connection to these local ports has carried, by the kernel's own count.

    Args:
        ports: Ports on which the other side listens.

    Returns:
        By the kernel's cookie of the connection; None where it does not let us ask.
    """
    wanted = set(ports)
    try:
        answers = _ask_sock_diag()
    except OSError:
        return None
    found: dict[int, LinkBytes] = {}
    for message in answers:
        destination = int.from_bytes(message[6:8], "big")
        if destination not in wanted:
            continue
        cookie = int.from_bytes(message[44:52], "little")
        info = _attribute(message[72:], _INET_DIAG_INFO)
        if len(info) >= _BYTES_RECEIVED_AT + 8:
            found[cookie] = LinkBytes(
                sent=int.from_bytes(info[_BYTES_ACKED_AT : _BYTES_ACKED_AT + 8], "little"),
                received=int.from_bytes(info[_BYTES_RECEIVED_AT : _BYTES_RECEIVED_AT + 8], "little"),
            )
    return found


def _ask_sock_diag() -> list[bytes]:
    """Return the kernel's description (inet_diag_msg) of every established TCP connection over IPv4."""
    request = struct.pack(
        "=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 1 << _ESTABLISHED
    )
    request += bytes(48)
    header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0)
    messages: list[bytes] = []
    # NETLINK_SOCK_DIAG is protocol 4; the socket module has no name for it.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diagnosis:
        diagnosis.settimeout(2.0)
        diagnosis.send(header + request)
        while True:
            data = diagnosis.recv(1 << 20)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _NLMSG_ERROR:
                    msg = "the kernel does not describe sockets"
                    raise OSError(msg)
                if kind == _NLMSG_DONE:
                    return messages
                messages.append(data[16:length])
                data = data[(length + 3) & ~3 :]


def _attribute(data: bytes, wanted: int) -> bytes:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if kind == wanted:
            return data[4:length]
        data = data[max((length + 3) & ~3, 4) :]
    return b""


class LinkCount:
    """Counts the bytes between the nodes over a run, across connections that come and go."""

    def __init__(self, ports: Iterable[int]) -> None:
        """Begin at what was carried so far.

        Args:
            ports: Peer ports of both nodes.
        """
        self._ports = tuple(ports)
        first = link_bytes(self._ports)
        self.available = first is not None
        self._before = first or {}
        self._newest = dict(self._before)

    def look(self) -> None:
        """Remember what connections have carried that may be gone at the end."""
        self._newest.update(link_bytes(self._ports) or {})

    def total(self) -> int | None:
        """Return the bytes since the beginning, both ways, or None if they cannot be counted."""
        self.look()
        if not self.available:
            return None
        total = 0
        for cookie, now in self._newest.items():
            before = self._before.get(cookie, LinkBytes(0, 0))
            total += now.sent - before.sent + now.received - before.received
        return total


class CommitCount:
    """Counts the commits of nodes over a run."""

    def __init__(self, databases: Mapping[str, Path]) -> None:
        """Begin now.

        Args:
            databases: By the name they have in the result.
        """
        self._databases = dict(databases)
        self._before = {name: commits(path) for name, path in self._databases.items()}
        self._began = monotonic()

    def result(self) -> dict[str, float | None]:
        """Return commits a second by database."""
        elapsed = monotonic() - self._began
        counts: dict[str, float | None] = {}
        for name, path in self._databases.items():
            before, now = self._before[name], commits(path)
            # The counter has 32 bits and may wrap.
            counts[name] = None if before is None or now is None else (now - before) % 2**32 / elapsed
        return counts


class CpuCount:
    """Counts CPU time of processes, and of everything else on the machine, over a run."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """Begin now.

        Args:
            pids: Processes by the name they have in the result.
        """
        self._pids = dict(pids)
        self._before = {name: cpu_time(pid) for name, pid in self._pids.items()}
        self._machine = machine_cpu_seconds()
        self._began = monotonic()

    def result(self, messages: int) -> dict[str, float]:
        """Return CPU microseconds a message by process, and cores that others kept busy.

        Args:
            messages: By how many the time is divided.
        """
        elapsed = monotonic() - self._began
        now = {name: cpu_time(pid) for name, pid in self._pids.items()}
        used = {name: time.total - self._before[name].total for name, time in now.items()}
        others = machine_cpu_seconds() - self._machine - sum(used.values())
        result = {name: 1e6 * value / max(messages, 1) for name, value in used.items()}
        for name, time in now.items():
            # Syncs and sockets: what no change to the program's own code makes cheaper.
            result[f"{name}_system"] = 1e6 * (time.system - self._before[name].system) / max(messages, 1)
        crews = {
            nation: [result[name] for name in used if name.startswith(f"crew_{nation}")] for nation in NODES
        }
        result |= {f"crew_{nation}": sum(members) for nation, members in crews.items() if members}
        result["both_nodes"] = sum(result.get(f"{part}_{n}", 0.0) for part in ("node", "crew") for n in NODES)
        result["all"] = sum(1e6 * value / max(messages, 1) for value in used.values())
        result["cores_of_run"] = sum(used.values()) / elapsed
        result["cores_of_others"] = max(others, 0.0) / elapsed
        return result


def memory_bytes_of_machine() -> int:
    """Return how much memory the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
