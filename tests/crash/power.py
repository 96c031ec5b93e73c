"""Owns: a file system that can lose its power: a loop-mounted image, cut by the shutdown ioctl. Must never know:
brokers.

SIGKILL cannot find a missing fsync, because the page cache survives the process. This can: the ioctl stops the file
system without writing anything back, so that after umount and mount only what was synced is there. It needs root on
Linux and a loop device; ``why_not()`` says what is missing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

_SHUTDOWN = 0x8004587D  # _IOR('X', 125, u32)
_WITHOUT_FLUSH = 2
_BALLAST = "ballast"
SIZE_MIB = {"ext4": 1024, "xfs": 1024}


def why_not(kind: str) -> str | None:
    """Why a power cut on this kind of file system cannot be tried here, or None when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    if shutil.which(f"mkfs.{kind}") is None:
        return f"needs mkfs.{kind}"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    return None


class PowerSupply:
    """A mounted image. ``cut`` takes the power away, ``restore`` mounts again what survived."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.mount_point = folder / f"mnt-{kind}"
        self._image = folder / f"disk-{kind}.img"
        self._kind = kind
        self.mount_point.mkdir()
        with self._image.open("wb") as image:
            image.truncate(SIZE_MIB[kind] * 1024 * 1024)
        _run(f"mkfs.{kind}", "-q", str(self._image))
        self.restore()

    def cut(self) -> None:
        """From now on nothing reaches the image any more."""
        descriptor = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        _run("umount", str(self.mount_point))

    def restore(self) -> None:
        """Mounts the image; the file system replays its own journal."""
        _run("mount", "-o", "loop", str(self._image), str(self.mount_point))

    def fill(self) -> None:
        """Takes all room that is left."""
        with (self.mount_point / _BALLAST).open("wb") as file:
            # A file system needs some of what it calls free for itself, so the pieces get smaller towards the end.
            piece, taken = 2**28, 0
            while piece >= 2**12:
                try:
                    os.posix_fallocate(file.fileno(), taken, piece)
                except OSError:
                    piece //= 2
                else:
                    taken += piece

    def make_room(self) -> None:
        (self.mount_point / _BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        if os.path.ismount(self.mount_point):
            self.unmount()
        self._image.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
