"""Owns: how a snapshot is kept - one readable text file each, called as the test's parameter is.

Must never know: what is shown. `make snapshots` accepts what the tests show now.
"""

from __future__ import annotations

from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation
from syrupy.types import SnapshotIndex


class PlainText(SingleFileSnapshotExtension):
    """Use: ``assert text == snapshot(extension_class=PlainText)`` in a parametrised test."""

    file_extension = "txt"
    _write_mode = WriteMode.TEXT

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: SnapshotIndex = 0) -> str:
        return test_location.snapshot_name.partition("[")[2].removesuffix("]")
