"""Tables of a run as Parquet files: what is read again is what was written, and only repetition is compressed."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sim.results.table_file import write_table

names: Any = pd.Categorical.from_codes
ROW: Any = np.arange(2000)
COLUMNS: dict[str, Any] = {
    "user": np.arange(2000, dtype=np.int32),
    "tier": names(ROW % 2, ["free", "plus"]),
    "reason": names(np.where(ROW % 3, -1, 0), ["quota"]),
    "arrived": np.sqrt(np.arange(2000.0)),
    "left": np.where(ROW % 5, np.nan, np.sqrt(np.arange(2000.0))),
    "batch": pd.array([n if n % 7 else None for n in range(2000)], dtype="Int32"),
    "retry": ROW % 9 == 0,
    "pool": pd.Series(["gpus", None] * 1000, dtype="str"),
    "old": pd.Series(["1", None] * 1000, dtype=object),
}
TABLE = pd.DataFrame(COLUMNS)


@pytest.mark.parametrize("rows", [slice(None), slice(0), slice(1)], ids=["all", "none", "one"])
def test_a_table_is_read_again_as_if_pandas_had_written_it(tmp_path, rows):
    table = TABLE.iloc[rows]
    write_table(table, tmp_path / "ours.parquet")
    table.to_parquet(tmp_path / "theirs.parquet", index=False)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "ours.parquet"), pd.read_parquet(tmp_path / "theirs.parquet")
    )


def test_missing_values_are_nulls_which_sql_leaves_out_of_means(tmp_path):
    write_table(TABLE, tmp_path / "table.parquet")
    table = pq.read_table(tmp_path / "table.parquet")
    assert {name: table[name].null_count for name in table.column_names} == TABLE.isna().sum().to_dict()


def test_columns_are_compressed_whose_values_recur(tmp_path):
    write_table(TABLE, tmp_path / "table.parquet")
    group = pq.ParquetFile(tmp_path / "table.parquet").metadata.row_group(0)
    packed = {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}
    assert {name for name, how in packed.items() if how == "SNAPPY"} == {
        "tier",
        "reason",
        "retry",
        "pool",
        "old",
        "left",
    }
    assert packed["arrived"] == packed["user"] == "UNCOMPRESSED"
