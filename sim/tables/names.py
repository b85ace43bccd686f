"""Names of columns and keys as programs and people write them, brought into one form; units of time within them."""

import re
from collections.abc import Callable, Iterable

PER = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "min": 1 / 60, "h": 1 / 3600}  # of a second
UNITS = {  # by the last word of a name
    **dict.fromkeys(("s", "sec", "secs", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "micros", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nano", "nanos", "nanoseconds"), "ns"),
    **dict.fromkeys(("min", "minutes"), "min"),
    **dict.fromkeys(("h", "hours"), "h"),
}
WITH_UNIT = re.compile(rf"^(?P<stem>.+?)_(?:in_)?(?P<unit>{'|'.join(UNITS)})$")
LASTED = re.compile(
    r"^(?:.*_)?(?:duration|latency|elapsed(?:_time)?|(?:response|request|processing|process|total)_time|time_taken|took|"
    r"time_elapsed|turn_around_time|"
    r"dauer|dur)$"
)
MEDIA = re.compile(r"(^|_)(audio|video|clip|media|track|song|speech|session|connection)_duration$")  # of other things
WHOLE_ONE = re.compile(  # names of how long a whole request took
    r"^(?:(?:total|overall|request|response|e2e|end_to_end|http|api|client)_)*"
    r"(?:duration|latency|elapsed(?:_time)?|(?:response|request|total)_time|time_taken|took|dauer|dur)$"
)
LASTED_IN = ("response", "request", "total", "runtime", "run_time", "round_trip")  # with a unit behind them
ONLY_UNIT = ("ms", "msec", "millis", "milliseconds")  # the whole name of a duration
PARTS = {  # of a request's time, by names without their unit
    "wait_s": ("wait", "queue", "wait_time", "queue_time", "waiting_time", "delay_time", "queued", "waited"),
    "service_s": ("service", "service_time", "inference_time", "execution_time", "predict_time", "inference", "served"),
}
SERVICES = ("processing_time", "process_time")  # of the service, where the wait is beside it
SIZES = {  # of a request: pixels, steps of denoising, tokens of the answer
    "side": ("side",),
    "width": ("width",),
    "height": ("height",),
    "steps": ("steps", "num_inference_steps", "inference_steps", "sampling_steps"),
    "tokens": ("output_tokens", "completion_tokens", "generated_tokens", "output_len", "tokens"),
}
DATES = ("date", "datum", "day", "fecha", "jour")
CLOCKS = (  # times of day, whose date is in another column
    *("time", "uhrzeit", "zeit", "hora", "heure", "time_of_day", "clock"),
    *("hour", "interval", "period", "slot", "time_slot", "stunde"),
)
ASKED = (  # when a request came, where another column says when its service began
    *("arrival", "arrival_time", "arrived", "arrived_at", "submitted", "submitted_at", "submitted_time", "submit"),
    *("submit_time", "submission_time", "enqueued", "enqueued_at", "enqueue_time", "queued_at", "requested_at"),
    *("received", "received_at", "sent_at", "request_timestamp", "request_creation_time", "request_created_at"),
    *("create_time", "created_time", "creation_time", "created_on", "sent_timestamp"),
    "creation_timestamp",  # of Kubernetes
)
CREATED = (*ASKED, "created_at", "created")  # before a service began, where another column says when it did
BEGUN = ("started", "started_at", "start_time", "start", "dequeued_at", "dequeue_time", "began", "execution_start")
ENDS = (
    *("completed", "completed_at", "finished", "finished_at", "ended", "ended_at", "end", "end_time", "finish_time"),
    *("completion_time", "execution_end", "succeeded", "request_end_time", "end_ts", "end_timestamp", "t_end"),
    *("response_created_at", "response_timestamp", "responded_at", "finish", "stop", "stop_time", "stopped_at"),
    *("completed_time", "finished_time", "ended_time", "time_end"),
)
REQUEST_IDS = ("request_id", "req_id", "x_request_id", "request_uuid", "trace_id", "trace_trace_id")  # of all its rows
RETRY = ("attempt", "attempt_number", "attempt_no", "is_retry", "retry", "retry_count", "retry_number", "retries")
SUCCESS = ("success", "succeeded", "successful", "is_success", "ok")  # true or false
ERRORS = ("error", "error_message", "error_code", "err", "exception", "failure_reason")  # empty where none
ERROR_WORDS = {  # of errors that name no status
    "429": "throttl|too.?many|rate.?limit|quota|resource.?exhausted",
    "503": "unavailable|overload|capacity",
    "504": "time.?out|timed.?out|deadline",
    "499": "cancel|abort|disconnect|hung up",
}
NO_ERROR = {"", "none", "null", "nan", "-", "false", "0", "no", "[]", "{}", "ok"}
WEIGHTS = ("item_count", "sample_rate", "sampling_rate", "sample_interval", "sample_weight")  # of sampled rows
AREAS = ("resolution", "size", "image_size")

# Names of durations that have a unit by their programs.
SECONDS = ("request_time", "duration", "time_taken", "properties_time_taken", "http_request_latency")
MILLISECONDS = "response_time"  # of programs in JavaScript
LONG = 50.0  # s: from there on seconds are said to be taken for such
WHOLE = ((1e7, 1e9), (1e6, 1e6), (50.0, 1e3))  # from which whole numbers are nanoseconds, and so on


ZONE = re.compile(r"[(\[]([A-Z][a-z]+(?:/\w+)+)[)\]]")  # (Europe/Paris)
PER_STEP = re.compile(r"(?i)^@?(timestamp|time|date)s? per (\d+ )?(millisecond|second|minute|hour|day)s?$")  # of Kibana
UTC = re.compile(r"(?<![a-zA-Z])(UTC|GMT|utc|gmt)(?![a-zA-Z])")


def zone_in(name: str) -> str | None:
    """The zone that the name of a column of times says, like time_utc or 'Time (Europe/Paris)'."""
    found = ZONE.search(name)
    return found[1] if found else "UTC" if UTC.search(name) else None


def plain_name(name: str) -> str:
    """A name in small letters, its words joined by _: response_time_ms of 'Response Time (ms)', user_id of userId."""
    name = PER_STEP.sub(r"\1", ZONE.sub("", name.strip()))
    name = re.sub(
        r"(?i)[(\[](utc|gmt|local|count|h{1,2}:mm(:ss)?|y{4}m{2}d{2}(h{2})?(m{2})?)[)\]]", "", UTC.sub("", name)
    )
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def unit_of_time(name: str) -> tuple[str, str | None]:
    """The name of a column of times without its unit, and the unit: arrival and ms of 'Arrival (ms)'."""
    plain = plain_name(name)
    found = WITH_UNIT.match(plain)
    return (found["stem"], UNITS[found["unit"]]) if found else (plain, None)


def seconds_per(name: str) -> float | None:
    """The units of a duration in a second, by its name; 0 where it names no unit, None where it is no duration.

    latency_min is the least one, and not in minutes; duration_minutes is.
    """
    stem, unit = unit_of_time(name)
    if stem in ONLY_UNIT:
        return PER["ms"]
    if (
        MEDIA.search(stem)
        or (unit in ("min", "h") and not plain_name(name).endswith(("_minutes", "_hours")))
        or not (LASTED.match(stem) or (unit and stem in LASTED_IN))
    ):
        return None
    return PER[unit] if unit else 0.0


def whole_duration(names: Iterable[str], values_of: Callable[[str], list[float]]) -> str:
    """Of the names of durations that of the whole request: by its name, else the longest one; '' without any.

    values_of: the first numbers of a column.
    """
    there = sorted(names, key=len)
    stems = {name: unit_of_time(name.rpartition(".")[2])[0] for name in there}
    whole = [name for name in there if WHOLE_ONE.match(stems[name]) or stems[name] in (*LASTED_IN, *ONLY_UNIT)]
    if whole or len(there) < 2:
        return next(iter(whole or there), "")

    def usual(name: str) -> float:
        values = sorted(values_of(name))
        return values[len(values) // 2] / (seconds_per(name) or 1.0) if values else 0.0

    return max(there, key=usual)


def shown_per(name: str, values: list[float]) -> tuple[float, str]:
    """The units of durations in a second, and a note where only their size shows the unit.

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
    if per == 1.0 and plain.endswith(MILLISECONDS):
        per = 1e3
    if per == 1.0 and plain in SECONDS and middle < LONG:
        return per, ""
    unit = {1.0: "seconds", 1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}[per]
    return per, f"{name} names no unit, and is taken for {unit}"


def parts_of(names: Iterable[str], values_of: Callable[[str], list[float]], per: float) -> dict[str, tuple[str, float]]:
    """The columns of waits and services, as wait_s and service_s: each with its units in a second.

    values_of: the first numbers of a column. Columns without a unit have one together, the smallest that the size of
    one of them shows; per: that of a duration beside them which names none either, else 1.
    """
    found: dict[str, tuple[str, float]] = {}
    for name in names:
        stem, unit = unit_of_time(name.rpartition(".")[2])
        for what, likely in PARTS.items():
            if stem in likely and (unit or (stem.endswith("_time") and values_of(name))):
                found.setdefault(what, (name, PER[unit] if unit else 0.0))
    per = max([per, *(shown_per(name, values_of(name))[0] for name, known in found.values() if not known)])
    return {what: (name, known or per) for what, (name, known) in found.items()}


def unread_said(names: Iterable[str], times: Iterable[str]) -> list[str]:
    """A note on names with a unit of time that are not read as durations, beside none that is; times: other names."""
    parted = {name: unit_of_time(name) for name in names}
    found = [name for name, (stem, unit) in parted.items() if unit and (stem == "time" or stem not in times)]
    if not found:
        return []
    listed = " and ".join(repr(name) for name in found[:3])
    return [f"{listed}: not read; name it duration_ms (of a request), service_ms or wait_ms, in its unit, if it is one"]


def sampled_said(name: str, values: list[float]) -> list[str]:
    """A warning where rows stand for several requests, as a column like itemCount says; rates may be their shares."""
    stands = [1 / value if 0 < value < 1 else value for value in values if value > 0]
    mean = sum(stands) / len(stands) if stands else 1.0
    if mean <= 1.0:
        return []
    return [
        f"warning: this is a sample: {name!r} says that each row stands for {mean:.3g} requests on average. It has "
        "that many times too few requests; in a scenario, 'times' of the trace multiplies it"
    ]


def status_of_error(text: str) -> str:
    """The status that a text of an error names, 500 where it names none; 200 where there is no error."""
    if text.strip().lower() in NO_ERROR:
        return "200"
    found = re.search(r"(?<![\d.])[45]\d\d(?![\d.])", text)
    named = (code for code, words in ERROR_WORDS.items() if re.search(words, text.lower()))
    return found[0] if found else next(named, "500")


def is_service(duration: str, parts: Iterable[str]) -> bool:
    """Whether what looks like a request's duration is that of its service, as the wait is in another column."""
    stem = unit_of_time(duration.rpartition(".")[2])[0]
    return "wait_s" in parts and "service_s" not in parts and stem in SERVICES
