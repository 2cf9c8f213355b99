"""Start a program as a cluster would: with a read-only root, without privileges, as a number.

The engine has no such setting, so this runs first in the service, as root, and becomes the
program: `python confine.py UID GID PROGRAM ARGUMENT…`. It needs nothing but the standard library.
"""

import ctypes
import os
import sys
from pathlib import Path

MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = 63  # more than any kernel has: those it lacks are refused, which is harmless
LINUX_CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    """Give up what can be given up, then run the program."""
    user, group, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int, what: str) -> None:
        if result:
            sys.exit(f"confine: {what}: {os.strerror(ctypes.get_errno())}")

    flags = MS_REMOUNT | MS_BIND | MS_RDONLY
    check(libc.mount(None, b"/", None, ctypes.c_ulong(flags), None), "the root stays writable")
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    status = Path("/proc/self/status").read_text()
    if "CapBnd:\t0000000000000000" not in status:
        sys.exit("confine: capabilities can still be had")
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    # What is left then is what a program with capabilities of its own could inherit.
    header, none = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    check(libc.capset(header, none), "capabilities can be inherited")
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "new privileges stay possible")
    os.execv(program[0], program)  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    main()
