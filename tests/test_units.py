"""Quantities as people write them: what is read, and what is refused rather than guessed."""

import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from sim.units import (
    Price,
    count,
    dollars,
    dollars_per_hour,
    fraction,
    instant,
    moment,
    per_second,
    plain,
    positive_fraction,
    price,
    seconds,
    whole,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30 s", 30),
        ("30s", 30),
        (" 2.5 min ", 150),
        ("2 hours", 7200),
        ("5 days", 432_000),
        ("1 week", 604_800),
        ("250 ms", 0.25),
        ("1_000 s", 1000),
        ("1,000 s", 1000),
        ("1e3 s", 1000),
        ("0", 0),
        (0, 0),
        (timedelta(minutes=2), 120),
        ("never", math.inf),
    ],
)
def test_durations(text, value):
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["30", 30, 1.5, "30 parsecs", "-1 s", "s", "", "1 000 s", "1,00 s", True, None, [], {}, "nan s", "inf s"]
)
def test_a_duration_needs_a_unit_it_knows(text):
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


@pytest.mark.parametrize(("text", "value"), [(8000, 8000), ("1.5k", 1500), ("1M", 1e6), ("2 bn", 2e9), ("8,000", 8000)])
def test_counts(text, value):
    assert count(text) == value


@pytest.mark.parametrize(
    "text", [-1, "-1", "1m", "many", True, None, math.nan, math.inf, "nan", "inf", "1e400", 10**400]
)
def test_what_is_not_a_count(text):
    with pytest.raises(ValueError, match="count"):
        count(text)


def test_whole_numbers_are_whole():
    assert whole("8k") == 8000
    assert isinstance(whole(3.0), int)
    with pytest.raises(ValueError, match="whole"):
        whole("1.5")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 per day", 3 / 86400),
        ("1M per 5 days", 1e6 / 432_000),
        ("200/min", 200 / 60),
        ("200 / 5 min", 200 / 300),
        ("1.5k per hour", 1500 / 3600),
        ("unlimited", math.inf),
        (0, 0),
    ],
)
def test_rates(text, value):
    assert per_second(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", [3, "3", "3 per", "per day", "3 per 0 s", "3 per never", "-3 per day", "3 per day per day", True, None]
)
def test_what_is_not_a_rate(text):
    with pytest.raises(ValueError, match="expected a"):
        per_second(text)


@pytest.mark.parametrize(
    ("text", "value"), [(0.25, 0.25), ("25 %", 0.25), ("25%", 0.25), ("1/4", 0.25), (1, 1), (0, 0)]
)
def test_shares(text, value):
    assert fraction(text) == value


@pytest.mark.parametrize(
    "text", [1.01, -0.1, "101 %", "1/0", "2/1", "1/-4", "half", True, None, math.nan, "0.5 percent"]
)
def test_what_is_not_a_share(text):
    with pytest.raises(ValueError, match="share"):
        fraction(text)


def test_a_scale_is_above_zero():
    assert positive_fraction("1/500") == 1 / 500
    with pytest.raises(ValueError, match="above 0"):
        positive_fraction(0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-03-31", datetime(2025, 3, 31, tzinfo=UTC)),
        ("2025-03-31 18:00", datetime(2025, 3, 31, 18, tzinfo=UTC)),
        ("2025-03-31T18:00:00+02:00", datetime(2025, 3, 31, 16, tzinfo=UTC)),
        (date(2025, 3, 31), datetime(2025, 3, 31, tzinfo=UTC)),
        (datetime(2025, 3, 31, 18, tzinfo=timezone(timedelta(hours=-1))), datetime(2025, 3, 31, 19, tzinfo=UTC)),
        ("2 days", 172_800.0),
        (0, 0.0),
    ],
)
def test_instants_are_dates_in_utc_or_time_after_the_start(value, expected):
    assert instant(value) == expected


@pytest.mark.parametrize(
    "value", ["2025-13-01", "2025-02-30", "31 March", 5, None, True, "0001-01-01T00:00:00+23:00", "-2 days"]
)
def test_what_is_not_an_instant(value):
    with pytest.raises(ValueError, match="date and time"):
        instant(value)


def test_a_moment_is_a_date():
    assert moment("2025-03-25 17:00") == datetime(2025, 3, 25, 17, tzinfo=UTC)
    with pytest.raises(ValueError, match="a date and time"):
        moment("2 days")


@pytest.mark.parametrize("value", ["1 s", math.nan, math.inf, True, None, "x"])
def test_a_plain_number_has_no_unit(value):
    with pytest.raises(ValueError, match="number without a unit"):
        plain(value)
    assert plain("1.37") == 1.37


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (2.5, 2.5),
        ("2.5", 2.5),
        ("$2.5", 2.5),
        ("$ 2.50", 2.5),
        ("20 $", 20),
        ("$11.6 bn", 11.6e9),
        ("$1.2k", 1200),
        ("3M dollars", 3e6),
        ("USD 4", 4),
        ("1 dollar", 1),
    ],
)
def test_amounts_of_dollars(text, value):
    assert dollars(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["€2.5", "2.5 EUR", "$2.5 $", "$2.5/h", "-$2", "$-2", "$", "", "2.5 %", True, None, "$nan"]
)
def test_another_currency_or_unit_is_no_amount_of_dollars(text):
    with pytest.raises(ValueError, match="dollars"):
        dollars(text)


@pytest.mark.parametrize(
    "text",
    [
        2.5,
        "2.5",
        "$2.5",
        "$2.50/h",
        "$2.50 per hour",
        "$2.50 per GPU-hour",
        "2.5 $/GPU-h",
        "$60 per day",
        "$0.06/GPU-h",
    ],
)
def test_dollars_an_hour(text):
    assert dollars_per_hour(text) == pytest.approx(0.06 if "0.06" in str(text) else 2.5)


@pytest.mark.parametrize("text", ["$2.5 per image", "€2.5/h", "$2.5/GPU", "$2.5/h/day", "-$2.5/h", "2.5 h", None])
def test_dollars_an_hour_are_for_a_time(text):
    with pytest.raises(ValueError, match="dollars an hour"):
        dollars_per_hour(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$20 per month", Price(20)),
        ("20 $/month", Price(20)),
        ("$240 per year", Price(20)),
        ("$0.04 per image", Price(0.04, "image")),
        (0, Price(0)),
    ],
)
def test_prices(text, value):
    found = price(text)
    assert (found.per, found.dollars) == (value.per, pytest.approx(value.dollars))
    assert price(str(found)) == found


@pytest.mark.parametrize(
    "text", ["$20", 20, "20", "$20 per user", "€20 per month", "free", "-$1 per image", True, None]
)
def test_a_price_says_what_it_is_for(text):
    with pytest.raises(ValueError, match="a price"):
        price(text)
