"""An attack of a size goes on until its numbers are reached, as far as they can be reached on this machine."""

from __future__ import annotations

from pathlib import Path

from tests.crash.campaign import ABORTED_PERCENT, SIZES, Campaign, Size
from tests.crash.run import Outcome


def outcome(faults: dict[str, int], **counts: int) -> Outcome:
    return Outcome(
        {"lost-write": []}, {name.replace("_", " "): count for name, count in counts.items()}, faults, Path()
    )


def test_what_is_missing_is_what_the_rounds_have_not_reached_together() -> None:
    campaign = Campaign(Size(60, 60, (1, 2), {"kills": 5, "operations": 100}))
    campaign.add(outcome({"kills": 3}, operations=80), None)
    assert campaign.missing() == {"kills": 5, "operations": 100}
    campaign.add(outcome({"kills": 3}, operations=10), None)
    assert campaign.missing() == {"operations": 100}


def test_power_cuts_are_asked_for_only_where_they_can_be_tried() -> None:
    size = Size(60, 60, (1, 2), {"power cuts on ext4": 2, "power cuts on xfs": 2})
    campaign = Campaign(size, kinds=["ext4"])
    assert campaign.missing() == {"power cuts on ext4": 2}
    assert campaign.next_kind(seconds=60) == "ext4"
    campaign.add(outcome({"power-cut": 2}), "ext4")
    assert campaign.missing() == {}


def test_the_share_of_aborted_transactions_is_taken_of_all_rounds() -> None:
    campaign = Campaign(SIZES["release"])
    campaign.add(outcome({}, committed_transactions=60, aborted_transactions=40), None)
    campaign.add(outcome({}, committed_transactions=80, aborted_transactions=20), None)
    assert campaign.totals[ABORTED_PERCENT] == 30
    assert campaign.totals["transactions"] == 200


def test_the_table_shows_what_was_counted_beside_what_was_asked_for() -> None:
    campaign = Campaign(SIZES["change"])
    campaign.add(outcome({"kills": 7}), None)
    assert any(line.split() == ["kills", "7", "of", "at", "least", "5"] for line in campaign.table())


def test_what_was_violated_is_kept_for_the_end_with_the_round_it_happened_in() -> None:
    campaign = Campaign(SIZES["change"])
    campaign.add(outcome({}), None)
    campaign.add(Outcome({"lost-write": ["offset 7"], "fencing": []}, {}, {}, Path()), None)
    assert campaign.findings == ["in round 2, VIOLATED lost-write: 1, for example: offset 7"]
