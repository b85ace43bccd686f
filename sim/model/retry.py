"""The scalar rules of retries: whether a user tries again, after what pause, and what the retry budget pays for."""

from sim.model.chance import quantile
from sim.model.gateway import HOPELESS
from sim.model.jit import njit
from sim.model.knobs import (
    AFTER,
    AT_ONCE,
    BACKOFF,
    BASE,
    CAP,
    DECORRELATED,
    EQUAL_JITTER,
    FULL_JITTER,
    NO_BUDGET,
    OWN,
    SPREAD,
)
from sim.model.streams import ACCOUNT, RETRY, draw, pair


@njit
def chance_of_retry(left, reason, after_refusal, after_leaving, when_hopeless):  # type: ignore[no-untyped-def]
    """How likely a user is to try again after an attempt without an image.

    left: whether they gave up waiting; reason: of the refusal, where they did not. The other three are the scenario's
    probabilities.
    """
    if left:
        return after_leaving
    return when_hopeless if reason in HOPELESS else after_refusal


@njit
def opens_second_account(reason, chance, seed, key, k):  # type: ignore[no-untyped-def]
    """Whether a user answers a refusal that retrying cannot change with another account; k: of the attempt's draws."""
    return reason in HOPELESS and chance > 0.0 and draw(seed, ACCOUNT, key, k) < chance


@njit
def own_pause(kind, a, b, growth, longest, attempt, u):  # type: ignore[no-untyped-def]
    """Seconds a user would wait before the retry that follows an attempt (0 is the first).

    kind, a, b: the law of the first pause, of which u is the uniform draw; each pause is `growth` times the one before
    it, and `longest` at most.
    """
    pause = quantile(kind, a, b, u)
    if growth != 1.0:
        pause *= growth ** float(attempt)
    return min(pause, longest)


@njit
def pause_before_retry(retries, own, refused, says_so, seed, key, first, attempt):  # type: ignore[no-untyped-def]
    """Seconds from the end of an attempt to the next one.

    retries: the knobs; own: the user's own pause; refused: whether the service refused the attempt; says_so: whether it
    says so at once, with the instant after which to try again; first: k of the draws for the first attempt. Backoff as
    in AWS's architecture blog ("Exponential backoff and jitter", 2015).
    """
    if retries[BACKOFF] == OWN and not retries[AFTER] > 0:
        return own
    kind, base, cap = retries[BACKOFF], retries[BASE], retries[CAP]
    u = pair(seed, RETRY, key, first + attempt)[1]
    pause = min(cap, base * 2.0 ** float(attempt))
    if kind == OWN:
        pause = own
    elif kind == AT_ONCE:
        pause = 0.0
    elif kind == FULL_JITTER:
        pause = u * pause
    elif kind == EQUAL_JITTER:
        pause = pause / 2.0 + u * pause / 2.0
    elif kind == DECORRELATED:
        pause = base
        for number in range(attempt + 1):
            u = pair(seed, RETRY, key, first + number)[1]
            pause = min(cap, base + u * (3.0 * pause - base))
    return max(pause, retries[AFTER] + retries[SPREAD] * u) if refused and says_so and retries[AFTER] > 0 else pause


@njit
def deposited(tokens, ratio, bucket):  # type: ignore[no-untyped-def]
    """The retry budget's tokens after one payment of `ratio` into a bucket that holds `bucket` at most."""
    return min(tokens + ratio, bucket)


@njit
def withdrawn(budget, tokens):  # type: ignore[no-untyped-def]
    """Whether the retry budget pays for one more retry (without a budget always), and the tokens that are left."""
    if budget == NO_BUDGET:
        return True, tokens
    if tokens < 1.0:
        return False, tokens
    return True, tokens - 1.0


@njit
def carried_over(before, now, tokens, bucket):  # type: ignore[no-untyped-def]
    """The tokens with which a control interval begins: a budget (its kind `before` and `now`) starts with all."""
    return bucket if before == NO_BUDGET and now != NO_BUDGET else tokens
