import pytest

from pipeline.manifest.scalars import LARGEST_INTEGER, LONGEST_NUMBER, Refused, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("12000", 12000),
        (str(LARGEST_INTEGER), LARGEST_INTEGER),
        ("0.95", 0.95),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5e-3", -0.0015),
        ("1e3", 1000.0),
        ("0e400", 0.0),
        ("true", True),
        ("false", False),
    ],
)
def test_values(text, value):
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "no",
        "on",
        "off",
        "Yes",
        "NO",
        "y",
        "n",
        "True",
        "FALSE",
        "Null",
        "NULL",
        "010",
        "-007",
        "0x1F",
        "0o17",
        "0b1",
        "1_000",
        "1:30",
        "1:30:45.5",
        "2026-11-02",
        "2026-11-02T10:00:00Z",
        "1.2.0",
        "NaN",
        "nan",
        "inf",
        "Infinity",
        "1e",
        "1e5.0",
        ".e1",
        ".",
        "+",
        "-",
        "0.9.5",
        "1,5",
        "٣",
        "1٣",
    ],
)
def test_spellings_on_which_readers_disagree_are_text(text):
    assert resolve(text) == text


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_null(text):
    with pytest.raises(Refused):
        resolve(text)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN", ".inf", "-.inf", "+.Inf", ".INF"])
def test_numbers_that_are_not_finite(text):
    with pytest.raises(Refused, match="finite"):
        resolve(text)


@pytest.mark.parametrize(
    "text",
    ["1e400", "-1e309", "1e-400", "0.1e-323", str(LARGEST_INTEGER + 1), str(-LARGEST_INTEGER - 1)],
)
def test_numbers_that_json_readers_would_change(text):
    with pytest.raises(Refused):
        resolve(text)


@pytest.mark.parametrize("text", ["9" * 10_000, "0." + "9" * 10_000, "1" * (LONGEST_NUMBER + 1)])
def test_numbers_of_absurd_length(text):
    with pytest.raises(Refused, match="characters"):
        resolve(text)


def test_long_text_is_text():
    assert resolve("9" * 50 + "x") == "9" * 50 + "x"
