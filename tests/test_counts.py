"""Tables of counts as people write them are read as they are meant, or refused with their row."""

import io
from datetime import UTC, datetime

import pandas as pd
import pytest

from sim.demand.fitting.counts import read_counts
from sim.demand.fitting.fit import fit_all
from sim.demand.fitting.forecast import sentences
from sim.demand.fitting.growth_curves import MODELS
from sim.errors import BadInput
from tests.test_fit import DAY, HOUR


@pytest.fixture
def table(tmp_path):
    """Writes a CSV and reads its counts."""

    def read(text, **options):
        path = tmp_path / "data.csv"
        path.write_text(text, encoding="utf-8")
        return read_counts(path, **options)

    return read


def test_durations_and_counts_as_people_write_them(table):
    data = table('# a comment\nelapsed;users\n0;0\n2 h;"2M"\n\n30 min;x\n'.replace("\n30 min;x", "\n1 day;5_000_000"))
    assert data.times.tolist() == [2 * HOUR, DAY]
    assert data.totals.tolist() == [2e6, 5e6]
    assert "cumulative, since the column is named 'users'" in data.taken


@pytest.mark.parametrize(
    ("header", "seconds"), [("hours", HOUR), ("time (min)", 60.0), ("day", DAY), ("elapsed_s", 1.0)]
)
def test_plain_times_take_the_unit_of_their_column(table, header, seconds):
    assert table(f"{header},total\n1,10\n2.5,20\n").times.tolist() == [seconds, 2.5 * seconds]


def test_thousands_separators(table):
    assert table('hours,total\n1,"1,000"\n2,"12,345,678"\n').totals.tolist() == [1000, 12345678]


def test_timestamps_count_from_the_start(table):
    start = datetime(2023, 7, 5, 23, tzinfo=UTC)
    data = table("time,users\n2023-07-06T01:00Z,2M\n2023-07-05 23:00-04:00,5M\n", start=start)
    assert data.times.tolist() == [2 * HOUR, 4 * HOUR]
    assert data.start == start


def test_timestamps_begin_with_a_first_row_of_nobody(table):
    data = table("date,users\n2025-01-01,0\n2025-01-02,0\n2025-01-03,7\n")
    assert (data.times.tolist(), data.totals.tolist()) == ([2 * DAY], [7])


def test_intervals_told_by_their_beginnings_are_counted_at_their_ends(table):
    data = table("date,new users\n2025-01-01,5\n2025-01-02,3\n2025-01-03,4\n")
    assert data.times.tolist() == [DAY, 2 * DAY, 3 * DAY]
    assert data.totals.tolist() == [5, 8, 12]
    assert "each interval, since the column is named 'new users'" in data.taken


def test_intervals_told_by_their_ends(table):
    data = table("hours,signups\n1,5\n2,3\n3,4\n")
    assert (data.times.tolist(), data.totals.tolist()) == ([HOUR, 2 * HOUR, 3 * HOUR], [5, 8, 12])
    assert "each interval, since they fall" in data.taken


def test_the_kind_of_counts_can_be_said(table):
    text = "hours,users\n1,5\n2,6\n3,7\n"
    assert table(text).totals.tolist() == [5, 6, 7]
    assert table(text, counts="interval").totals.tolist() == [5, 11, 18]


def test_columns_can_be_named(table):
    text = "hours,users,registrations\n1,5,50\n2,6,60\n"
    with pytest.raises(BadInput, match="several columns could be meant"):
        table(text)
    assert table(text, value="registrations").totals.tolist() == [50, 60]
    assert table("a,b\n5,1 h\n6,2 h\n", time="b").totals.tolist() == [5, 6]
    assert table("a,b\n1 h,5\n2 h,6\n").totals.tolist() == [5, 6]


# Stocks with a base, and corrections.

ACCOUNTS = """time,accounts
2023-02-23T16:00Z,9710300
2023-02-24T16:00Z,9729300
2023-02-25T16:00Z,9744100
2023-02-26T16:00Z,9756600
2023-02-27T16:00Z,9736900
2023-02-28T16:00Z,9768700
2023-03-01T16:00Z,9780100
"""


def test_a_stock_with_a_base_and_a_fall_is_net_growth(table):
    """69,800 more accounts in six days over a stock of 9.71 M, and one fall of 19,700."""
    data = table(ACCOUNTS)
    assert (data.base, data.counted, data.times[-1]) == (9_710_300, 69_800, 6 * DAY)
    assert len(data) == 6
    assert "base is 9,710,300 people" in data.taken
    assert "falls once, by 19,700 at 2023-02-27T16:00Z: taken as a correction" in data.taken
    assert "By the last count 69,800 people came, over a base of 9,710,300." in sentences(fit_all(data), data)
    assert all(fit.total >= 69_800 for fit in fit_all(data))


def test_the_column_need_not_be_named_like_a_stock(table):
    assert table(ACCOUNTS.replace("accounts", "value")).counted == 69_800


def test_a_stock_taken_for_counts_of_intervals_is_refused(table):
    """Summed up it would be 68 M people."""
    with pytest.raises(BadInput, match="no counts of intervals") as refused:
        table(ACCOUNTS, counts="interval")
    assert "68,226,000" in refused.value.expected
    assert table(ACCOUNTS.replace("accounts", "new accounts")).totals[-1] == 68_226_000
    assert table("day,users\n1,100\n2,180\n3,120\n", counts="interval").totals[-1] == 400


def test_a_base_can_be_said(table):
    text = "hours,accounts\n1,9719000\n2,9734000\n3,9750000\n"
    assert table(text, base=9_710_000).totals.tolist() == [9000, 24_000, 40_000]
    assert table(text, base=0).totals.tolist() == [9_719_000, 9_734_000, 9_750_000]
    with pytest.raises(BadInput, match="are there in the first row") as refused:
        table(text)
    assert "--base" in refused.value.expected
    with pytest.raises(BadInput, match="below the base"):
        table(text, base=9_720_000)
    with pytest.raises(BadInput, match="no base"):
        table("hours,new users\n1,5\n2,3\n", base=100)


def test_a_market_holds_the_base_too(table):
    data = table(ACCOUNTS)
    fit = fit_all(data, [MODELS["bass"]], people=9_900_000)[0]
    assert fit.values["people"] == 189_700
    with pytest.raises(BadInput, match="smaller than what was counted"):
        fit_all(data, people=9_750_000)


def test_a_counter_that_begins_again_is_no_correction(table):
    with pytest.raises(BadInput, match="cumulative count fell"):
        table("hours,total\n1,100\n2,200\n3,300\n4,400\n5,500\n6,20\n7,120\n")


REFUSALS = {
    "disorder": ("hours,users\n2,5\n1,6\n", ":3", "before that of the row above"),
    "duplicate": ("hours,users\n1,5\n1,6\n", ":3", "comes twice"),
    "fall": ("hours,users\n1,5\n2,4\n", ":3", "a cumulative count fell"),
    "negative count": ("hours,users\n1,5\n2,-4\n", ":3", "cannot be read"),
    "negative time": ("hours,users\n-1,5\n2,6\n", ":2", "cannot be read"),
    "not a number": ("hours,users\n1,nan\n2,4\n", ":2", "cannot be read"),
    "endless": ("hours,users\n1,1\n2,1e999\n", ":3", "cannot be read"),
    "never": ("elapsed,users\n1 h,1\nnever,2\n", ":3", "never comes"),
    "empty cell": ("hours,users\n1,\n", ":2", "cannot be read"),
    "a word": ("hours,users\n1,5\n2,many\n", ":3", "cannot be read"),
    "mixed times": ("elapsed,users\n1 h,5\n2025-01-01,6\n", ":3", "mixed"),
    "American date": ("date,users\n07/05/2023,5\n", ":2", "day first or the month first"),
    "no unit": ("t,users\n1,5\n2,6\n", ":2", "no unit"),
    "nobody": ("hours,users\n1,0\n2,0\n", "data.csv", "nobody came"),
    "below the first row": ("hours,users\n0,50\n2,51\n4,52\n6,49\n8,53\n9,54\n", ":5", "below the base"),
    "ragged": ("hours,users\n1,1,000\n", ":2", "3 cells"),
    "one column": ("users\n1\n2\n", "data.csv", "one column"),
    "header only": ("hours,users\n", "data.csv", "no rows"),
    "empty": ("", "data.csv", "empty"),
    "comments only": ("# nothing\n", "data.csv", "empty"),
    "no name": ("a,b,c\n1,2,3\n", "data.csv", "no column"),
    "one name": ("users,users\n1,2\n", "data.csv", "does not name the columns"),
    "open quote": ('hours,users\n1,"5\n', "data.csv", "never closed"),
    "one interval": ("date,new users\n2025-01-01,5\n", ":2", "no length"),
}


@pytest.mark.parametrize(("text", "place", "message"), REFUSALS.values(), ids=REFUSALS)
def test_data_that_are_not_clean_are_refused_with_their_row(table, text, place, message):
    with pytest.raises(BadInput, match=message) as refused:
        table(text)
    assert str(refused.value.file).endswith(place)


def test_a_row_before_the_start_is_refused(table):
    with pytest.raises(BadInput, match="before the start"):
        table("date,users\n2025-01-01,5\n2025-01-02,6\n", start=datetime(2025, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("options", [{"time": "day"}, {"value": "day"}, {"time": "users", "value": "users"}])
def test_columns_that_are_not_there_are_refused(table, options):
    with pytest.raises(BadInput):
        table("hours,users\n1,5\n", **options)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_what_is_no_text_file_is_refused(tmp_path, content):
    path = tmp_path / "data.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput):
        read_counts(path)


def test_a_parquet_file_holds_the_same_counts_as_a_csv(table, tmp_path):
    text = "time,users\n2023-07-06T01:00Z,2000000\n2023-07-06T03:00Z,5000000\n"
    start = datetime(2023, 7, 5, 23, tzinfo=UTC)
    frame = pd.read_csv(io.StringIO(text), parse_dates=["time"])
    frame.to_parquet(tmp_path / "data.parquet")
    packed = read_counts(tmp_path / "data.parquet", start=start)
    assert packed.times.tolist() == table(text, start=start).times.tolist() == [2 * HOUR, 4 * HOUR]
    assert packed.totals.tolist() == [2e6, 5e6]


def test_comments_and_spaces_before_quotes_do_not_shift_the_line_of_a_message(table):
    assert table('\ufeff# by hand\nhours, total\n1, "1,000"\n').totals.tolist() == [1000]
    with pytest.raises(BadInput, match="many") as refused:
        table("# by hand\nhours,total\n1,10\n# a pause\n\n2,many\n")
    assert str(refused.value.file).endswith(":6")


@pytest.mark.parametrize(
    ("name", "times"),
    [("users (thousands)", 1e3), ("users_in_thousands", 1e3), ("users, k", 1e3), ("users [Mio]", 1e6)],
)
def test_counts_in_thousands_and_millions_are_people_times_that(table, name, times):
    data = table(f"hours;{name}\n0;0\n1;1.5\n2;3.25\n")
    assert data.totals.tolist() == [1.5 * times, 3.25 * times]
    assert f"counts in units of {times:,.0f}" in data.taken
    cells = table(f"hours;{name}\n0;0\n1;2k\n2;3k\n")
    assert cells.totals.tolist() == [2000, 3000]


def test_a_day_that_is_missing_is_not_taken_for_nobody(table):
    rows = "".join(f"2025-03-{day:02d},{100 - (day - 5) ** 2}\n" for day in (1, 2, 3, 5, 6, 7, 8))
    with pytest.raises(BadInput, match="no row counts the time before this one") as refused:
        table(f"date,new_users\n{rows}")
    assert refused.value.value == "2025-03-05"
    assert "with 0 where nobody came" in refused.value.expected
    unequal = table("time,new_users\n0 h,5\n1 h,7\n3 h,9\n7 h,30\n15 h,50\n")  # periods of their own lengths
    assert unequal.counted == 101


def test_who_was_active_is_no_signup_unless_the_caller_says_so(table):
    rows = "".join(f"2025-03-{day:02d},{100 - (day - 5) ** 2}\n" for day in range(1, 9))
    for name in ("dau", "Active users", "daily active users"):
        with pytest.raises(BadInput, match="active in each interval are counted again and again"):
            table(f"date,{name}\n{rows}")
    assert table(f"date,dau\n{rows}", counts="interval").counted == 756
    assert table(f"date,new active users\n{rows}").counted == 756


def test_json_is_called_json(table):
    with pytest.raises(BadInput, match="this file is JSON"):
        table('{"day": "2025-03-01", "signups": 5}\n{"day": "2025-03-02", "signups": 7}\n')


def test_days_of_eight_digits_are_dates(tmp_path):
    """As analytics write them: 20250331 is no number of days."""
    path = tmp_path / "users.csv"
    path.write_text("Date,New users\n" + "".join(f"202503{d},{d}\n" for d in range(10, 20)))
    found = read_counts(path)
    assert found.counted == sum(range(10, 20))
    assert (found.start.day, found.times[0]) == (10, 86400)
