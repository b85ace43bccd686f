"""Names of columns and keys as programs and people write them, brought into one form; units of time within them."""

import re

LASTED = re.compile(
    r"^(?:.*_)?(?:duration|latency|elapsed(?:_time)?|(?:response|request|processing|process|total)_time|time_taken|took|dauer)"
    r"(?:_in)?(?:_(?P<unit>ns|nanos|nanoseconds|us|micros|microseconds|ms|millis|milliseconds|msec|s|sec|secs|seconds))?$"
)
SIZES = {  # of a request: pixels, steps of denoising, tokens of the answer
    "side": ("side",),
    "width": ("width",),
    "height": ("height",),
    "steps": ("steps", "num_inference_steps", "inference_steps", "sampling_steps"),
    "tokens": ("output_tokens", "completion_tokens", "generated_tokens", "output_len", "tokens"),
}
AREAS = ("resolution", "size", "image_size")
UNITS = {"n": 1e9, "u": 1e6, "mic": 1e6, "m": 1e3, "s": 1.0}


def plain_name(name: str) -> str:
    """A name in small letters, its words joined by _: response_time_ms of 'Response Time (ms)', user_id of userId."""
    name = re.sub(r"[(\[](utc|gmt|local|count)[)\]]|\b(utc|gmt)\b", "", name.strip(), flags=re.IGNORECASE)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def seconds_per(name: str) -> float | None:
    """What to divide a duration by for seconds, as its name says; 0 where it names no unit, None where it is none."""
    found = LASTED.match(plain_name(name))
    if found is None:
        return None
    unit = found["unit"] or ""
    return next((per for begins, per in sorted(UNITS.items(), reverse=True) if unit[:3].startswith(begins)), 0.0)


TIME_UNIT = re.compile(
    r"^(?P<stem>.+?)_(?:in_)?(?P<unit>s|sec|secs|seconds|ms|msec|millis|milliseconds|us|micros|microseconds|ns|nanos|"
    r"nanoseconds|min|minutes|h|hours)$"
)
TIME_UNITS = {"s": "s", "ms": "ms", "mi": "ms", "us": "us", "mic": "us", "ns": "ns", "na": "ns", "min": "min", "h": "h"}


def unit_of_time(name: str) -> tuple[str, str | None]:
    """The name of a column of times without its unit, and the unit: arrival and ms of 'Arrival (ms)'."""
    found = TIME_UNIT.match(plain_name(name))
    if found is None:
        return plain_name(name), None
    unit = found["unit"]
    if unit in ("min", "minutes"):
        return found["stem"], "min"
    begins = max((key for key in TIME_UNITS if unit.startswith(key)), key=len)
    return found["stem"], TIME_UNITS[begins]


SECONDS = {
    "request_time",
    "duration",
    "time_taken",
    "properties_time_taken",
    "http_request_latency",
}  # by their programs
WHOLE = ((1e7, 1e9), (1e6, 1e6), (50.0, 1e3))  # from which whole numbers are nanoseconds, and so on
MILLISECONDS = {"response_time"}  # of programs in JavaScript


def shown_per(name: str, values: list[float]) -> tuple[float, str]:
    """What to divide durations by, and a note where their size had to show it.

    Nothing takes 50 s and only whole seconds each time: whole numbers from there on are milliseconds, from 1e6 on,
    which would be a quarter of an hour, microseconds, from 1e7 on nanoseconds.
    """
    named = seconds_per(name)
    if named:
        return named, ""
    plain = plain_name(name)
    middle = sorted(values)[len(values) // 2] if values else 0.0
    whole = bool(values) and all(value == int(value) for value in values)
    per = next((unit for least, unit in WHOLE if whole and middle >= least), 1.0)
    if per == 1.0 and plain.endswith(tuple(MILLISECONDS)):
        per = 1e3
    if per == 1.0 and plain in SECONDS:
        return per, ""
    return (
        per,
        f"{name} names no unit, and is taken for {({1.0: '', 1e3: 'milli', 1e6: 'micro', 1e9: 'nano'})[per]}seconds",
    )
