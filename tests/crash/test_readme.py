"""What README.md says of checks and planted bugs is so."""

from __future__ import annotations

import re
from pathlib import Path

from tests.crash.checks import CHECKS
from tests.crash.group_checks import GROUP_CHECKS
from tests.crash.log_checks import CHECKS as LOG_CHECKS
from tests.crash.planted.bugs import BUGS
from tests.crash.transaction_checks import TRANSACTION_CHECKS

README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
ROWS = {
    name: set(re.findall(r"[a-z]+(?:-[a-z]+)+", bugs))
    for name, bugs in re.findall(r"^\| ([a-z-]+) \|.*\| (.*) \|$", README, re.M)
}

NAMES = (*CHECKS, *TRANSACTION_CHECKS, *GROUP_CHECKS, *LOG_CHECKS, "stuck")


def test_every_check_has_a_row_and_a_bug_that_it_has_to_catch() -> None:
    for name in NAMES:
        assert ROWS[name] & BUGS.keys(), name


def test_a_row_names_the_bugs_that_it_has_to_catch_and_no_others() -> None:
    for name in NAMES:
        assert ROWS[name] & BUGS.keys() == {bug for bug, planted in BUGS.items() if name in planted.caught_by}, name
