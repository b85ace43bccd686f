"""Quantities as people write them ('30 s', '5 days', '1M', '3 per day', '1/200') read into plain numbers."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

SECONDS = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("week", "weeks"), 604800.0),
    **dict.fromkeys(("month", "months"), 365.0 * 86400 / 12),
    **dict.fromkeys(("year", "years"), 365.0 * 86400),
}
THOUSANDS = {"": 1.0, "k": 1e3, "M": 1e6, "bn": 1e9}

# Commas part thousands: 1,500 but not 1,5 nor 0,500, which are decimal fractions elsewhere.
NUMBER = r"[+-]?(?:(?:[1-9][0-9]{0,2}(?:[_,][0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"  # of what may follow, '+02:00' would be read as two o'clock


def number(value: Any, expected: str) -> float:
    """A finite float from a number or its text; refuses booleans, NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected {expected}")
    if isinstance(value, str) and not re.fullmatch(NUMBER, value.strip()):
        raise ValueError(f"expected {expected}")
    try:
        result = float(re.sub("[_,]", "", value) if isinstance(value, str) else value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"expected {expected}; this number is not finite")
    return result + 0.0  # so that -0 is 0


def split(text: str, expected: str) -> tuple[float, str]:
    """The number at the head of a text and what follows it."""
    found = re.match(rf"\s*({NUMBER})\s*(.*?)\s*$", text)
    if not found:
        raise ValueError(f"expected {expected}")
    return number(found[1], expected), found[2]


def not_negative(value: float, expected: str) -> float:
    if value < 0:
        raise ValueError(f"expected {expected}, not a negative number")
    return value


def in_thousands(text: str, expected: str) -> float:
    """A number that may end in k, M or bn."""
    amount, suffix = split(text, expected)
    if suffix not in THOUSANDS:
        raise ValueError(f"expected {expected}")
    return amount * THOUSANDS[suffix]


def two_sides(value: Any, expected: str) -> list[str]:
    """What stands before and after 'per' or '/'."""
    parts = re.split(r"\s+per\s+|\s*/\s*", value.strip()) if isinstance(value, str) else []
    if len(parts) != 2:
        raise ValueError(f"expected {expected}")
    return parts


def is_zero(value: Any) -> bool:
    """Whether a value is the number 0, which needs no unit."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def seconds(value: Any) -> float:
    """A duration: '30 s', '2.5 min', '5 days', '0', a timedelta, or 'never' (infinite)."""
    expected = "a duration with its unit, like '30 s', '10 min', '2 hours' or '5 days'"
    if isinstance(value, timedelta):
        return not_negative(value.total_seconds(), expected)
    if value == "never":
        return math.inf
    if is_zero(value):
        return 0.0
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}")
    amount, unit = split(value, expected)
    if unit not in SECONDS:
        if amount == 0 and not unit:
            return 0.0
        raise ValueError(f"expected {expected}; units are {', '.join(SECONDS)}")
    return not_negative(number(amount * SECONDS[unit], expected), expected)


def count(value: Any) -> float:
    """How many: 8000, '8000', '1.5k', '1M', '2bn'."""
    expected = "a count, like 8000, '1.5k' or '1M'"
    value = in_thousands(value, expected) if isinstance(value, str) else value
    return not_negative(number(value, expected), expected)


def whole(value: Any) -> int:
    """A count that must be a whole number."""
    result = count(value)
    if result != int(result):
        raise ValueError("expected a whole number, like 3 or '8k'")
    return int(result)


def per_second(value: Any) -> float:
    """A rate: '3 per day', '1M per 5 days', '200/min', or 'unlimited' (infinite)."""
    expected = "a rate, like '3 per day', '1M per hour' or '1M per 5 days'"
    if value == "unlimited":
        return math.inf
    if is_zero(value):
        return 0.0
    many, every = two_sides(value, expected)
    period = seconds(every if re.match(r"\s*[0-9.]", every) else f"1 {every}")
    if not 0 < period < math.inf:
        raise ValueError(f"expected {expected}")
    return number(count(many) / period, expected)


def fraction(value: Any) -> float:
    """A part of a whole from 0 to 1: 0.25, '25 %', '1/4'."""
    expected = "a share from 0 to 1, like 0.25, '25 %' or '1/4'"
    if isinstance(value, str) and "%" in value:
        amount, unit = split(value, expected)
        if unit != "%":
            raise ValueError(f"expected {expected}")
        result = amount / 100
    elif isinstance(value, str) and "/" in value:
        above, _, below = value.partition("/")
        divisor = number(below, expected)
        if divisor <= 0:
            raise ValueError(f"expected {expected}")
        result = number(above, expected) / divisor
    else:
        result = number(value, expected)
    if not 0 <= result <= 1:
        raise ValueError(f"expected {expected}")
    return result


def positive_fraction(value: Any) -> float:
    """A part of a whole above 0 and up to 1."""
    result = fraction(value)
    if result == 0:
        raise ValueError("expected a share above 0, like '1/500'")
    return result


def instant(value: Any) -> float | datetime:
    """A moment: a date ('2025-03-31', '2025-03-31 18:00', UTC) or a duration after the scenario's start ('2 days')."""
    expected = "a date and time (UTC) like '2025-03-31 18:00', or a duration after the start like '2 days'"
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        except OverflowError:
            raise ValueError(f"expected {expected}; this one is out of range") from None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str) and re.fullmatch(rf"{DATE}(?:[T ].*)?", value.strip()):
        try:
            return instant(datetime.fromisoformat(value.strip()))
        except ValueError as wrong:
            raise ValueError(f"expected {expected}; {wrong}") from None
    try:
        return seconds(value)
    except ValueError:
        raise ValueError(f"expected {expected}") from None


def moment(value: Any) -> datetime:
    """A date and time in UTC."""
    result = instant(value)
    if not isinstance(result, datetime):
        raise ValueError("expected a date and time (UTC) like '2025-03-25 17:00'")
    return result


def dollars(value: Any) -> float:
    """An amount of money: 2.5, '$2.50', '20 $', '$11.6 bn', '3 M dollars'."""
    expected = "an amount in dollars, like 2.5, '$2.50' or '$11.6 bn'"
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\$|USD\b)?\s*(.*?)\s*(\$|USD\b|dollars?\b)?\s*", value)
        if not found or (found[1] and found[3]):
            raise ValueError(f"expected {expected}")
        value = in_thousands(found[2], expected)
    return not_negative(number(value, expected), expected)


def dollars_per(value: str, expected: str) -> tuple[float, str]:
    """The dollars of '$20 per month' or '20 $/month', and what they are for."""
    paid, period = two_sides(value, expected)
    try:
        return dollars(paid), period
    except ValueError:
        raise ValueError(f"expected {expected}") from None


def dollars_per_hour(value: Any) -> float:
    """What an hour costs: 2.5, '$2.50', '$2.50/h', '$2.50 per GPU-hour', '$60 per day'."""
    expected = "dollars an hour, like 2.5, '$2.50' or '$2.50/h'"
    if not isinstance(value, str) or not re.search(r"\bper\b|/", value):
        try:
            return dollars(value)
        except ValueError:
            raise ValueError(f"expected {expected}") from None
    paid, period = dollars_per(value, expected)
    unit = re.sub(r"^GPU[- ]", "", period)
    if unit not in SECONDS:
        raise ValueError(f"expected {expected}")
    return paid * 3600.0 / SECONDS[unit]


@dataclass(frozen=True)
class Price:
    """What a user pays, in dollars: for a month, or for each image."""

    dollars: float
    per: Literal["month", "image"] = "month"

    def __str__(self) -> str:
        return f"${self.dollars!r} per {self.per}".replace(".0 per", " per")


def price(value: Any) -> Price:
    """A price: '$20 per month', '$240 per year', '$0.04 per image', or 0 for what is free."""
    expected = "a price, like '$20 per month', '$0.04 per image' or 0"
    if isinstance(value, Price):
        return value
    if is_zero(value):
        return Price(0.0)
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}")
    paid, what = dollars_per(value, expected)
    if what in ("image", "images"):
        return Price(paid, "image")
    if what not in SECONDS:
        raise ValueError(f"expected {expected}")
    return Price(paid if what == "month" else paid * (SECONDS["month"] / SECONDS[what]))


def plain(value: Any) -> float:
    """A finite number without a unit."""
    return number(value, "a number without a unit, like 1.37")


def time_text(value: Any) -> Any:
    """A duration or an instant as a scenario file writes it: the exact inverse of `seconds` and `instant`."""
    if isinstance(value, datetime):
        return value.isoformat()
    return "never" if value == math.inf else with_unit(value, " s")


def rate_text(value: Any) -> Any:
    """A rate as a scenario file writes it: the exact inverse of `per_second`."""
    return "unlimited" if value == math.inf else with_unit(value, " per s")


def with_unit(value: Any, unit: str) -> Any:
    """A number with its unit; anything else is left as it is, for validation to judge."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return f"{float(value)!r}".removesuffix(".0") + unit


def text_schema(*examples: str | float) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", "number"], "examples": list(examples)})


TIME_TEXT = PlainSerializer(time_text, when_used="json")  # model_dump(mode="json") writes what a file may hold
RATE_TEXT = PlainSerializer(rate_text, when_used="json")

Seconds = Annotated[float, BeforeValidator(seconds), TIME_TEXT, text_schema("30 s", "10 min", "5 days")]
Count = Annotated[float, BeforeValidator(count), text_schema(8000, "1.5k", "1M")]
Whole = Annotated[int, BeforeValidator(whole), text_schema(3, "8k")]
Rate = Annotated[float, BeforeValidator(per_second), RATE_TEXT, text_schema("3 per day", "1M per 5 days")]
Fraction = Annotated[float, BeforeValidator(fraction), text_schema(0.25, "25 %", "1/4")]
Scale = Annotated[float, BeforeValidator(positive_fraction), text_schema("1/500", 1)]
Dollars = Annotated[float, BeforeValidator(dollars), text_schema(2.5, "$2.50", "$11.6 bn")]
HourlyDollars = Annotated[float, BeforeValidator(dollars_per_hour), text_schema(2.5, "$2.50", "$2.50/h")]
Charge = Annotated[
    Price, BeforeValidator(price), PlainSerializer(str), text_schema("$20 per month", "$0.04 per image", 0)
]
Plain = Annotated[float, BeforeValidator(plain), WithJsonSchema({"type": "number"})]
Instant = Annotated[float | datetime, BeforeValidator(instant), TIME_TEXT, text_schema("2025-03-31 18:00", "2 days")]
Moment = Annotated[datetime, BeforeValidator(moment), text_schema("2025-03-25 17:00")]
