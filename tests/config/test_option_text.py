"""KEY=VALUE texts become the values that they say, or one line."""

import shlex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frozen_det.config.option_text import as_options, parse_options, parse_value
from frozen_det.errors import InputError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1_0", "1_0"),
        ("2024_01_05", "2024_01_05"),
        ("1_0.5", "1_0.5"),
        ("[1_0,2]", ["1_0", 2]),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("None", None),
        ("none", "none"),
        ("a b", "a b"),
        ("a=b", "a=b"),
        ("it's", "it's"),
        ("'3'", "3"),
        ('"a,b"', "a,b"),
        ("''", ""),
        ("1,2", [1, 2]),
        ("1,", [1]),
        ("[1, 2]", [1, 2]),
        ("[]", []),
        ("(1,2)", (1, 2)),
        ("(1,)", (1,)),
        ("[(1,2),(3,4)]", [(1, 2), (3, 4)]),
        ("('a,b',c)", ("a,b", "c")),
        ("dict(a=1, b='x')", {"a": 1, "b": "x"}),
        ("{'a': [1, dict(b=None)]}", {"a": [1, {"b": None}]}),
        ("päth/ü", "päth/ü"),
        ("0x", "0x"),
        ("1/2", "1/2"),
    ],
)
def test_a_value_is_read_as_it_is_written(text, value):
    got = parse_value(text, f"key={text}")
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["a"], "expected --cfg-options as KEY=VALUE"),
        (["=1"], "as KEY=VALUE"),
        (["a="], "expected a value after the ="),
        (["a =1"], "a key of names and numbers"),
        (["a..b=1"], "a key of names and numbers"),
        (["a[0]=1"], "written `list.0.key`"),
        (["a=[1"], "brackets and quotes in pairs"),
        (["a=(1]"], "in pairs"),
        (["a='b"], "in pairs"),
        (["a={b: 1}"], "a dict as Python writes it"),
        (["a=dict(b=open('x'))"], "a dict as Python"),
        (["a=dict(**b)"], "a dict as Python"),
        (["a=1", "a=2"], "a is given twice, as 1 and as 2"),
        (["a=3", "a=3.0"], "given twice"),
        (["a=1", "a.b=2"], "a and a.b contradict"),
        (["a.b=2", "a=dict(b=3)"], "a and a.b contradict"),
        (["a=dict(b=dict(c=1))", "a.b.c=2"], "a and a.b.c contradict"),
    ],
)
def test_what_cannot_be_read_or_contradicts_is_one_line(items, words):
    with pytest.raises(InputError, match=words) as raised:
        parse_options(items)
    assert "\n" not in str(raised.value)


def test_the_same_value_twice_and_a_dict_with_other_entries_are_no_contradiction():
    assert parse_options(["a=3", "a=3"]) == {"a": 3}
    assert parse_options(["b=dict(x=1)", "b.y=2", "b.x=1"]) == {"b": {"x": 1}, "b.y": 2, "b.x": 1}


_TEXTS = st.text("aB3,.[](){}= '-1TrueNone", max_size=6)
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS
_LISTS = st.lists(_PLAIN, max_size=3) | st.lists(_PLAIN, max_size=3).map(tuple)
_VALUES = _PLAIN | _LISTS | st.dictionaries(_TEXTS, _PLAIN, max_size=2) | st.lists(_LISTS, max_size=2)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_VALUES, max_size=2))
def test_entries_are_written_as_they_can_be_typed(values):
    entries = {f"key.{number}": value for number, value in enumerate(values)}
    typed = parse_options(shlex.split(as_options(entries)))
    assert repr(typed) == repr(entries)


def test_a_written_text_is_quoted_only_where_it_would_be_read_as_something_else():
    written = {"a": "my data", "b": "3", "c": "x,y", "d": "it's", "e": "", "f": ["u", 1e-4], "g": (16,), "h": "timm"}
    assert as_options(written) == (
        """'a=my data' 'b="3"' 'c="x,y"' 'd="it'"'"'s"' 'e=""' 'f=[u,0.0001]' 'g=(16,)' h=timm"""
    )
