"""Outcomes of requests as statuses of HTTP: from numbers, texts like '503 Service Unavailable', and words."""

import re
from typing import Any

import numpy as np

from sim.tables.times import Floats, decimals

LEAST_STATUS = 100.0  # of HTTP
CODE = re.compile(r"^(?:HTTP[ /]?[\d.]* ?)?([1-5]\d\d)(?:\D.*)?$", re.IGNORECASE)
WORDS = {  # of databases and programs, and the codes of gRPC
    **dict.fromkeys(("ok", "success", "successful", "succeeded", "succeed", "done", "finished", "served"), 200.0),
    **dict.fromkeys(
        ("complete", "completed", "answered", "delivered", "pass", "passed", "true", "solved", "resolved", "handled"),
        200.0,
    ),
    **dict.fromkeys(("refused", "rejected", "throttled", "rate limited", "ratelimited", "limited", "shed"), 429.0),
    **dict.fromkeys(("resource exhausted", "too many requests", "denied", "blocked", "quota exceeded"), 429.0),
    **dict.fromkeys(("unavailable", "overloaded", "busy", "dropped", "queue full"), 503.0),
    **dict.fromkeys(("timeout", "timed out", "deadline exceeded", "expired"), 504.0),
    **dict.fromkeys(
        ("cancelled", "canceled", "aborted", "abandoned", "hung up", "disconnected", "left", "killed"), 499.0
    ),
    **dict.fromkeys(("error", "errored", "failed", "failure", "fail", "exception", "crashed", "internal"), 500.0),
    **dict.fromkeys(("unknown", "false"), 500.0),
}


def statuses(texts: Any) -> Floats:
    """The status that each text says; nan where it says none, as of a request that is not over."""
    numbers = decimals(texts)
    if not np.isnan(numbers).any():
        return numbers
    words = [status_in(text) for text in texts.to_pylist()]
    return np.where(np.isnan(numbers), np.array(words, dtype=float), numbers)


def status_in(text: str) -> float:
    """The status of one text that is no number."""
    if found := CODE.match(text.strip()):
        return float(found[1])
    plain = " ".join(re.sub(r" by \w+$|(?<=[a-z])(?=[A-Z])|[_\W]+", " ", text).lower().split())
    if plain.startswith("non http response"):  # JMeter, of a request without an answer
        return 504.0 if "timeout" in plain or "timed out" in plain else 500.0
    return WORDS.get(plain, float("nan"))
