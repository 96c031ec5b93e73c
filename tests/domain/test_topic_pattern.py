"""Regular expressions over topic names: what matches, what RE2 refuses, and that nothing takes long."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_server.domain.errors import InvalidRegularExpression
from kafka_server.domain.topic_pattern import STATES_MAX, TopicPattern

ATOMS = [
    "a",
    "b",
    "_",
    ".",
    "[ab]",
    "[^a]",
    "[a-c-]",
    "(a|b)",
    "(?:ab)",
    "(?P<n>a)",
    "(?i:B)",
    r"\w",
    r"\d",
    r"\.",
    "^",
    "$",
]
ATOMS += [r"\b", r"\B", r"\D", r"[\[]", "[^_.]", "a|", "(?:)"]
REPEATS = ["", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,}", "*?", "{"]


@given(
    parts=st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(REPEATS)), max_size=6),
    # Not the empty text: there \B matches for RE2 and, before 3.14, not for Python. No topic is named so.
    names=st.lists(st.text("abcB1x._-", min_size=1, max_size=6), min_size=1),
)
def test_it_matches_what_python_matches(parts: list[tuple[str, str]], names: list[str]) -> None:
    text = "".join(atom + repeat for atom, repeat in parts)
    try:
        judge = re.compile(text)
    except re.error:
        return
    pattern = TopicPattern(text)
    for name in names:
        assert pattern.matches(name) == bool(judge.fullmatch(name)), (text, name)


@pytest.mark.parametrize(
    ("text", "name", "matches"),
    [
        ("", "a", False),
        ("orders", "orders-eu", False),
        ("orders.*", "orders-eu", True),
        ("^orders$", "orders", True),
        (r"\Qa.b\E", "a.b", True),
        (r"\Qa.b\E", "a-b", False),
        ("(?i)ORDERS", "orders", True),
        ("(?i:A)b", "aB", False),
        ("[[:alpha:]]+", "abc", True),
        ("[[:^alpha:]]+", "1-2", True),
        (r"\pL+\p{Nd}", "abc1", True),
        (r"\PL", "a", False),
        (r"\x61\x{62}", "ab", True),
        ("a{,2}", "a", False),
        ("(?<year>[0-9]{4})", "2024", True),
        ("é|a", "a", True),
        ("[^é]", "a", True),
        (r"a\/b|c", "c", True),
        (r"\C", "a", True),
        (r"\s*a\t?", "a", True),
    ],
)
def test_re2_syntax(text: str, name: str, matches: bool) -> None:
    assert TopicPattern(text).matches(name) is matches


REFUSED = [
    "(",
    ")",
    "a)",
    "[a",
    "[",
    "a**",
    "a++",
    "*",
    "+a",
    "(?=a)",
    "(?!a)",
    "(?<=a)",
    r"(a)\1",
    "\\",
    r"\y",
    "[z-a]",
]
REFUSED += ["a{1001}", "a{2,1}", "((a{100}){100}){100}", "(?P<>a)", "(?P<n", "[[:foo:]]", r"\pX", r"\p{Foo}", r"\xz"]
REFUSED += [r"\x{", "(?z)", "(" * 200 + ")" * 200, "a" * 5_000]


@pytest.mark.parametrize("text", REFUSED)
def test_what_re2_refuses_is_refused(text: str) -> None:
    with pytest.raises(InvalidRegularExpression):
        TopicPattern(text)


@pytest.mark.parametrize("text", ["(a+)+b", "(a|a)*b", "(a*)*b", "(.*)(.*)(.*)(.*)(.*)b", "(a{1,30}){1,30}b"])
def test_no_pattern_takes_longer_than_its_length_times_the_name(text: str) -> None:
    started = time.perf_counter()
    assert not TopicPattern(text).matches("a" * 249)
    assert time.perf_counter() - started < 5


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRegularExpression):
        assert TopicPattern(text).matches("orders-eu.1") in (True, False)


def test_repetitions_cannot_blow_up() -> None:
    with pytest.raises(InvalidRegularExpression, match="too large"):
        TopicPattern(f"(a{{1000}}){{{STATES_MAX // 1000 + 1}}}")
