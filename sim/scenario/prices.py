"""Prices in a scenario: what users pay and how that changes with what happens to them, what GPUs cost, and the plan."""

from typing import Annotated

from pydantic import Field

from sim.schema import Strict
from sim.units import Charge, Count, Dollars, Fraction, HourlyDollars, Plain, Price, Seconds


class Tariff(Strict):
    """What the users of a tier pay, and how good and bad experiences change that.

    A bad experience is an image that was lost or came late; a good one is an image in time, and
    a degraded one in time is worth its feature's `degraded_quality` of that. All of it is valued after
    the run, from what each person met in it, and changes nothing in the run: there `behaviour.churn` decides who
    leaves.
    """

    price: Charge = Field(
        default=Price(0.0),
        description="for a month, or for each image delivered",
        json_schema_extra={"source": "assumed: free", "provenance": "assumed"},
    )
    stays: Annotated[Seconds, Field(ge=86400, allow_inf_nan=False)] = Field(
        default=365.0 * 86400 / 12 * 10,
        description="how long a subscriber whom nothing drives away goes on paying, on average",
        json_schema_extra={
            "source": "assumed: 10 months, as if 10 % cancelled each month; nothing is published",
            "provenance": "assumed",
        },
    )
    churn: Fraction = Field(
        default=0.01,
        description="probability that a subscriber cancels because of one image that was lost",
        json_schema_extra={
            "source": "assumed: 1 %; nothing is published about subscriptions to image services",
            "provenance": "assumed",
        },
    )
    churn_late: Fraction = Field(
        default=0.0,
        description="probability that a subscriber cancels because of one image that came late",
        json_schema_extra={
            "source": "GenTD26: no loss of return up to 120 s of waiting (confounded by heavy users)",
            "provenance": "measured",
        },
    )
    converts_to: str = Field(default="", description="the tier that its users move to when they start to pay")
    conversion: Fraction = Field(
        default=0.007,
        description="probability that a user starts to pay because of one good image, where converts_to says for what",
        json_schema_extra={
            "source": "assumed: 20 M of 300 M more weekly users paid, March to October 2025 (boingboing.net, Hauke), "
            "7 %; over the 10 images that the default behaviour wants in that time, as if images were the only reason",
            "provenance": "assumed",
        },
    )

    @property
    def monthly(self) -> float:
        """Dollars a month; 0 where images are sold one by one, or given away."""
        return self.price.dollars if self.price.per == "month" else 0.0


class Reserved(Strict):
    """GPUs that are paid for every hour of a long term, whether used or not."""

    gpus: Annotated[Count, Field(le=1e7)] = Field(default=0.0, description="of the whole service")
    dollars_per_gpu_hour: HourlyDollars | None = Field(default=None, description="on demand less the discount if empty")
    discount: Fraction = Field(
        default=0.28,
        json_schema_extra={
            "source": "H100: $2.50 on demand, $1.80 for a year; 20-50 % by vendor (market surveys, 2025-26)",
            "provenance": "published",
        },
    )


class Spot(Strict):
    """GPUs that the vendor may take back; they come after the reserved ones, before those on demand.

    Interruptions are not simulated: the policy `spot` does that.
    """

    gpus: Annotated[Count, Field(le=1e7)] = Field(default=0.0, description="of the whole service, at most")
    dollars_per_gpu_hour: HourlyDollars | None = Field(default=None, description="on demand less the discount if empty")
    discount: Fraction = Field(
        default=0.5,
        json_schema_extra={"source": "50-65 % off on demand (market surveys, 2025-26)", "provenance": "published"},
    )
    interruptions_per_hour: Annotated[Plain, Field(ge=0, le=3600)] = Field(
        default=0.05,
        description="of one GPU; the batch under way starts again from zero",
        json_schema_extra={"source": "assumed: one in 20 hours", "provenance": "assumed"},
    )


class Plan(Strict):
    """What the company planned for a year, to say what the simulated days are of it."""

    revenue: Annotated[Dollars, Field(gt=0)] = Field(description="planned for a year")
    loss_before: Dollars = Field(default=0.0, description="the loss of the year before, 0 for none")
    year: str = Field(default="", description="the planned year, like 2025")
