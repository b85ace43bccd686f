"""Prices in a scenario: what users pay and how that changes with what happens to them, what GPUs cost, and the plan."""

from typing import Annotated

from pydantic import Field

from sim.schema import Strict, sourced
from sim.units import Charge, Count, Dollars, Fraction, HourlyDollars, Plain, Price, Seconds


class Tariff(Strict):
    """What the users of a tier pay, and how good and bad experiences change that.

    A bad experience is an image that was lost or came late; a good one is an image in time, and
    a degraded one in time is worth its feature's `degraded_quality` of that. All of it is valued after
    the run, from what each person met in it, and changes nothing in the run: there `behaviour.churn` decides who
    leaves.
    """

    price: Charge = sourced(Price(0.0), "for a month, or for each image delivered", assumed="assumed: free")
    stays: Annotated[Seconds, Field(ge=86400, allow_inf_nan=False)] = sourced(
        365.0 * 86400 / 12 * 10,
        "how long a subscriber whom nothing drives away goes on paying, on average",
        assumed="assumed: 10 months, as if 10 % cancelled each month; nothing is published",
    )
    churn: Fraction = sourced(
        0.01,
        "probability that a subscriber cancels because of one image that was lost",
        assumed="assumed: 1 %; nothing is published about subscriptions to image services",
    )
    churn_late: Fraction = sourced(
        0.0,
        "probability that a subscriber cancels because of one image that came late",
        measured="GenTD26: no loss of return up to 120 s of waiting (confounded by heavy users)",
    )
    converts_to: str = Field(default="", description="the tier that its users move to when they start to pay")
    conversion: Fraction = sourced(
        0.007,
        "probability that a user starts to pay because of one good image, where converts_to says for what",
        assumed=(
            "assumed: 20 M of 300 M more weekly users paid, March to October 2025 (boingboing.net, Hauke), "
            "7 %; over the 10 images that the default behaviour wants in that time, as if images were the only reason"
        ),
    )

    @property
    def monthly(self) -> float:
        """Dollars a month; 0 where images are sold one by one, or given away."""
        return self.price.dollars if self.price.per == "month" else 0.0


class Reserved(Strict):
    """GPUs that are paid for every hour of a long term, whether used or not."""

    gpus: Annotated[Count, Field(le=1e7)] = Field(default=0.0, description="of the whole service")
    dollars_per_gpu_hour: HourlyDollars | None = Field(default=None, description="on demand less the discount if empty")
    discount: Fraction = sourced(
        0.28, published="H100: $2.50 on demand, $1.80 for a year; 20-50 % by vendor (market surveys, 2025-26)"
    )


class Spot(Strict):
    """GPUs that the vendor may take back; they come after the reserved ones, before those on demand.

    Interruptions are not simulated: the policy `spot` does that.
    """

    gpus: Annotated[Count, Field(le=1e7)] = Field(default=0.0, description="of the whole service, at most")
    dollars_per_gpu_hour: HourlyDollars | None = Field(default=None, description="on demand less the discount if empty")
    discount: Fraction = sourced(0.5, published="50-65 % off on demand (market surveys, 2025-26)")
    interruptions_per_hour: Annotated[Plain, Field(ge=0, le=3600)] = sourced(
        0.05, "of one GPU; the batch under way starts again from zero", assumed="assumed: one in 20 hours"
    )


class Plan(Strict):
    """What the company planned for a year, to say what the simulated days are of it."""

    revenue: Annotated[Dollars, Field(gt=0)] = Field(description="planned for a year")
    loss_before: Dollars = Field(default=0.0, description="the loss of the year before, 0 for none")
    year: str = Field(default="", description="the planned year, like 2025")
