"""Both assignors over random groups: complete and without overlap always; balanced and sticky as each promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_server.domain.assignors import (
    ASSIGNORS,
    Assignor,
    Reader,
    TopicPartitions,
    assign_range,
    assign_uniform,
)

TOPICS = [bytes([number]) * 16 for number in range(4)]
T, U, V, _ = TOPICS
Case = tuple[list[Reader], dict[bytes, int]]


def reader(
    name: str, *topics: bytes, target: Mapping[bytes, Sequence[int]] | None = None, static: str | None = None
) -> Reader:
    held = {topic: frozenset(partitions) for topic, partitions in (target or {}).items()}
    return Reader(name, static, frozenset(topics), held)


def size(share: TopicPartitions) -> int:
    return sum(map(len, share.values()))


@st.composite
def groups(draw: st.DrawFn, *, same_topics: bool = False) -> Case:
    counts = {topic: draw(st.integers(1, 7)) for topic in TOPICS}
    common = draw(st.frozensets(st.sampled_from(TOPICS), min_size=1))
    some = st.just(common) if same_topics else st.frozensets(st.sampled_from(TOPICS))
    topics = draw(st.lists(some, min_size=1, max_size=6))
    return [Reader(f"m{number}", None, read, {}) for number, read in enumerate(topics)], counts


@st.composite
def histories(draw: st.DrawFn, *, same_topics: bool = False) -> tuple[Case, Case]:
    """A group with its assignment, and the same group after somebody came, went or a topic grew."""
    readers, counts = draw(groups(same_topics=same_topics))
    shares = assign_uniform(readers, counts)
    before = [Reader(r.member_id, None, r.topics, shares[r.member_id]) for r in readers]
    after = [r for r in before if draw(st.booleans()) or len(before) == 1]
    newcomers = draw(st.integers(0 if after else 1, 2))
    after += [Reader(f"n{number}", None, before[0].topics, {}) for number in range(newcomers)]
    grown = {topic: count + draw(st.integers(0, 2)) for topic, count in counts.items()}
    return (before, counts), (after, grown)


@pytest.mark.parametrize("assign", ASSIGNORS.values(), ids=list(ASSIGNORS))
@given(case=groups())
def test_every_partition_that_somebody_reads_has_exactly_one_reader(assign: Assignor, case: Case) -> None:
    readers, counts = case
    shares = assign(readers, counts)
    given_out = [(topic, index) for share in shares.values() for topic, indexes in share.items() for index in indexes]
    wanted = {(topic, index) for r in readers for topic in r.topics for index in range(counts[topic])}
    assert len(given_out) == len(set(given_out))
    assert set(given_out) == wanted
    assert all(topic in r.topics for r in readers for topic in shares[r.member_id])
    assert set(shares) == {r.member_id for r in readers}


@given(case=groups(same_topics=True))
def test_uniform_gives_everybody_the_same_when_all_read_the_same(case: Case) -> None:
    sizes = [size(share) for share in assign_uniform(*case).values()]
    assert max(sizes) - min(sizes) <= 1


@given(case=groups())
def test_uniform_leaves_no_move_that_would_help(case: Case) -> None:
    readers, counts = case
    shares = assign_uniform(readers, counts)
    for giver in readers:
        for taker in readers:
            could_give = any(topic in taker.topics for topic in shares[giver.member_id])
            assert not could_give or size(shares[giver.member_id]) - size(shares[taker.member_id]) <= 1


@given(history=histories(same_topics=True))
def test_uniform_moves_no_more_than_balance_asks_for(history: tuple[Case, Case]) -> None:
    _, (after, counts) = history
    shares = assign_uniform(after, counts)
    largest = max(map(size, shares.values()))
    for r in after:
        kept = sum(len(r.target.get(topic, frozenset()) & indexes) for topic, indexes in shares[r.member_id].items())
        assert kept >= min(size(r.target), largest - 1)


@given(case=groups())
def test_uniform_changes_nothing_when_nothing_changed(case: Case) -> None:
    readers, counts = case
    shares = assign_uniform(readers, counts)
    again = assign_uniform([Reader(r.member_id, None, r.topics, shares[r.member_id]) for r in readers], counts)
    assert again == shares


def test_range_gives_neighbours_and_the_first_members_one_more() -> None:
    shares = assign_range([reader("b", T), reader("a", T)], {T: 5})
    assert shares == {"a": {T: {0, 1, 2}}, "b": {T: {3, 4}}}


def test_range_gives_the_same_numbers_of_each_topic_so_that_joins_find_their_partner() -> None:
    shares = assign_range([reader("a", T, U), reader("b", T, U)], {T: 4, U: 4})
    assert shares["a"][T] == shares["a"][U] == {0, 1}


def test_range_puts_static_members_first_by_instance_id_whatever_their_member_ids_are() -> None:
    shares = assign_range([reader("a", T), reader("z", T, static="i"), reader("y", T, static="j")], {T: 3})
    assert shares == {"z": {T: {0}}, "y": {T: {1}}, "a": {T: {2}}}


def test_a_member_beyond_the_number_of_partitions_gets_nothing() -> None:
    for assign in ASSIGNORS.values():
        shares = assign([reader("a", T), reader("b", T)], {T: 1})
        assert sorted(map(size, shares.values())) == [0, 1]


def test_uniform_forgets_partitions_that_are_gone_and_topics_that_are_read_no_more() -> None:
    shares = assign_uniform([reader("a", T, target={T: [0, 7], U: [0]})], {T: 2})
    assert shares == {"a": {T: {0, 1}}}


def test_uniform_balances_over_topics_of_which_each_alone_looks_fine() -> None:
    crowded = reader("a", T, U, V, target={T: [0], U: [0], V: [0]})
    shares = assign_uniform([crowded, reader("b", T, U, V)], {T: 1, U: 1, V: 1})
    assert sorted(map(size, shares.values())) == [1, 2]


def test_uniform_keeps_the_first_of_two_who_claim_the_same_partition() -> None:
    shares = assign_uniform([reader("a", T, target={T: [0]}), reader("b", T, target={T: [0]})], {T: 2})
    assert shares == {"a": {T: {0}}, "b": {T: {1}}}
