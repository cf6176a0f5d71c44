"""Java's patterns: matched whole, in linear time, refused where they mean something else here."""

from __future__ import annotations

import time

import pytest

from forms.expressions import Refused
from forms.expressions.regex import pattern


@pytest.mark.parametrize(
    ("text", "matching", "others"),
    [
        (r"^(0|\+84)\d{9}$", ["0912345678", "+84912345678"], ["091234567", "x0912345678", "0912345678\n"]),
        (r"[A-Z]{2}", ["AB"], ["xABy", "A", "ab"]),
        (r"a|ab", ["a", "ab"], ["b", "aba"]),
        (r"[\p{L} ]+", ["Hồng Ánh"], ["Hồng1", ""]),
        (r"\w+", ["abc_1"], ["Hồng"]),
        (r"\d", ["5"], ["٣"]),
        (r"\p{Lu}\p{Ll}*", ["Ánh"], ["ánh"]),
        (r"(?i)ab[c-d]", ["ABD", "abc"], ["abe"]),
        (r"(?i:a)b", ["Ab"], ["aB"]),
        (r"a.b", ["a b"], ["a\nb", "ab"]),
        (r"(?s)a.b", ["a\nb"], []),
        (r"[^a-c]", ["d", "\n"], ["a", ""]),
        (r"[a\-z\]]", ["-", "]"], ["b"]),
        (r"\Qa.b\E+", ["a.b", "a.bb"], ["axb", "a.ba.b"]),
        (r"(?!0+$)\d{4}", ["0010"], ["0000"]),
        (r"(?=.*\d)(?=.*[a-z]).{4,}", ["abc1"], ["abcd", "1234"]),
        (r"x{2,3}?", ["xx", "xxx"], ["x", "xxxx"]),
        (r"a^b|$c", [], ["ab", "c", ""]),
        (r"(a?){3}", ["", "a", "aaa"], ["aaaa"]),
        (r"\x41\u0042\.", ["AB."], ["ABx"]),
        ("", [""], ["a"]),
    ],
)
def test_patterns_match_whole_texts_as_in_java(text, matching, others):
    assert [word for word in matching if not pattern(text).matches(word)] == []
    assert [word for word in others if pattern(text).matches(word)] == []


@pytest.mark.parametrize(
    "text",
    [
        r"(a)\1", r"(?<=a)b", r"a(?=b)", r"\bword\b", r"a*+", r"(?>a)", r"[a&&b]", r"[a[b]]", r"a**", r"*a", r"a{2}{3}",
        r"a{,3}", r"{", r"(a", r"a)", r"[a", r"[z-a]", "\\", r"\y", r"\p{Greek}", r"\p{X", r"(?x)a", r"(?P<n>a)",
        r"((a{50}){50}){50}", "(" * 99 + ")" * 99,
    ],
)  # fmt: skip
def test_what_cannot_be_matched_faithfully_is_refused_with_a_cure(text):
    with pytest.raises(Refused) as caught:
        pattern(text)

    assert caught.value.problem.vi
    assert caught.value.cure.en


@pytest.mark.parametrize("text", [r"(a+)+b", r"(a|a)*b", r"(.*)(.*)(.*)(.*)x", r"(a?){100}a{100}b", r"([a-z]+)*\d"])
def test_no_pattern_runs_for_ever(text):
    started = time.perf_counter()

    assert not pattern(text).matches("a" * 5_000)
    assert time.perf_counter() - started < 5
