"""Run a command with the system calls that a unit leaves it, as systemd would, where no systemd is booted.

Usage: python3 confined.py CALLS COMMAND…; CALLS is a file with the names of the calls that are let through, which
``python -m tests.acceptance.confined`` writes from a unit. The command has no way to new rights and no sockets but of
Unix and IP. Needs libseccomp, and nothing else: it runs in a system of its own.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
NO_NEW_PRIVILEGES = 38  # prctl(2)
ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # seccomp.h
EQUAL, GREATER = 4, 6  # enum scmp_compare


class Argument(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def confine(calls: set[str]) -> None:
    """Leave this process ``calls``; any other fails with EPERM, as SystemCallErrorNumber=EPERM has it."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(ERRNO | errno.EPERM)))

    def add(action: int, number: int, *arguments: Argument) -> None:
        array = (Argument * len(arguments))(*arguments)
        if library.seccomp_rule_add_array(rules, ctypes.c_uint32(action), number, len(arguments), array):
            raise OSError(f"no rule for call {number}")

    for call in sorted(calls - {"socket"}):
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # else of another machine
            add(ALLOW, number)
    number = library.seccomp_syscall_resolve_name(b"socket")
    for family in FAMILIES:
        add(ALLOW, number, Argument(0, EQUAL, family, 0))
    add(ERRNO | errno.EAFNOSUPPORT, number, Argument(0, GREATER, max(FAMILIES), 0))
    if ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.seccomp_load(rules):
        raise OSError("the rules could not be loaded")


def calls_of(unit: str) -> set[str]:
    """The names of the calls that the lines SystemCallFilter= of ``unit`` let through."""
    found: set[str] = set()
    for line in unit.splitlines():
        name, _, value = line.partition("=")
        if name == "SystemCallFilter":
            found = found - _calls(value[1:]) if value.startswith("~") else found | _calls(value)
    return found


def _calls(name: str) -> set[str]:
    """The calls of a set of systemd's, those of the sets in it too."""
    if not name.startswith("@"):
        return {name}
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in done.stdout.splitlines()[1:]]
    return {call for line in lines if line and not line.startswith("#") for call in _calls(line)}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        from release.systemd_units import ALL, units

        sys.stdout.write("\n".join(sorted(calls_of(units()[ALL]))) + "\n")
    else:
        confine(set(Path(sys.argv[1]).read_text().split()))
        os.execv(sys.argv[2], sys.argv[2:])
