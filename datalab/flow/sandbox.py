"""What the operating system takes away from a process that touches other people's data or files.

Resource limits, no new privileges, no core dumps, death with the parent, and Landlock where the kernel has it. Must be
applied while the process has one thread: Landlock binds the calling thread and what it starts later.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_SYS_LANDLOCK_CREATE_RULESET: Final = 444
_SYS_LANDLOCK_ADD_RULE: Final = 445
_SYS_LANDLOCK_RESTRICT_SELF: Final = 446

# linux/landlock.h: access rights by the ABI version that brought them.
_READ: Final = (1 << 2) | (1 << 3)  # READ_FILE, READ_DIR
_WRITE: Final = (1 << 1) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8)  # WRITE_FILE, REMOVE_*, MAKE_DIR, MAKE_REG
_FS_BY_ABI: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TRUNCATE: Final = 1 << 14  # ABI 3
_NET_CONNECT_TCP: Final = 1 << 1  # ABI 4
_NET_BIND_TCP: Final = 1 << 0
_RULE_PATH_BENEATH: Final = 1
_RULE_NET_PORT: Final = 2

SYSTEM_READABLE: Final = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local", "/etc/ld.so.cache", "/etc/ssl", "/etc/pki",
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf", "/etc/localtime",
    "/run/systemd/resolve", "/proc/self", "/proc/meminfo", "/proc/cpuinfo", "/sys/devices/system/cpu", "/sys/fs/cgroup",
    "/dev/null", "/dev/urandom",
)  # fmt: skip


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def detach() -> None:
    """Die with the parent, gain no privileges, leave no core, give no debugger a hold."""
    libc = _libc()
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for the gateway, which ends us


def limit(*, memory_bytes: int, file_bytes: int) -> None:
    """Bound address space beyond what is mapped now, and the size of any file written (DuckDB's spill)."""
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, mapped + memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def thread_count() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def landlock_abi() -> int:
    """The kernel's Landlock ABI version, 0 where it has none."""
    version = _libc().syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, 1)
    return max(int(version), 0)


def landlock(*, readable: Iterable[str], writable: Iterable[str], connect_ports: Iterable[int]) -> bool:
    """Confine this process to those trees and, from ABI 4, those TCP ports. False: the kernel has no Landlock.

    Raises:
        OSError: the kernel has Landlock but refused the rules; the caller must not go on.
        RuntimeError: other threads exist already and would stay free.
    """
    abi = landlock_abi()
    if abi == 0:
        return False
    if thread_count() != 1:
        raise RuntimeError("Landlock must be applied before other threads start")
    libc = _libc()
    handled_fs = max((mask for version, mask in _FS_BY_ABI.items() if version <= abi), default=0)
    handled_net = _NET_CONNECT_TCP | _NET_BIND_TCP if abi >= 4 else 0
    attributes = struct.pack("QQ", handled_fs, handled_net)[: 16 if handled_net else 8]
    ruleset = _checked(libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0))
    try:
        for path in (*SYSTEM_READABLE, sys.prefix, sys.base_prefix, *sys.path, *readable):
            _allow_path(libc, ruleset, path, _READ | (1 << 0))  # EXECUTE: shared libraries
        for path in writable:
            write = _WRITE | (_TRUNCATE & handled_fs)
            _allow_path(libc, ruleset, path, _READ | write)
        if handled_net:
            for port in connect_ports:
                rule = struct.pack("QQ", _NET_CONNECT_TCP, port)
                _checked(libc.syscall(_SYS_LANDLOCK_ADD_RULE, ruleset, _RULE_NET_PORT, rule, 0))
        _checked(libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _allow_path(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not Path(path).is_dir():
            rights &= (1 << 0) | (1 << 1) | (1 << 2) | _TRUNCATE  # what a file can have
        rule = struct.pack("=Qi", rights, fd)
        _checked(libc.syscall(_SYS_LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "landlock")
    return int(result)
