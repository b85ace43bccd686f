"""The knee of a curve: the fleet beyond which one GPU more adds less than on average over the fleets looked at."""

import math

import numpy as np
import pandas as pd


def knee(curve: pd.DataFrame) -> float:
    """The fleet of the curve that lies farthest above the straight line between its ends (Satopaa et al. 2011).

    curve: columns scale, gpus and measure. Where several fleets have as many GPUs, in different pools, the best counts.
    """
    curve = curve[curve["scale"] == curve["scale"].min()]
    best = curve.groupby("gpus")["measure"].max().sort_index()
    x, y = best.index.to_numpy(float), best.to_numpy(float)
    if len(x) < 3 or not y[-1] > y[0]:
        return math.nan
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    return float(x[int(np.argmax(above))])
