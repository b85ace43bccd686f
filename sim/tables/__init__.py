"""Tables that other programs wrote, CSV or Parquet: read as texts, row by row, each with its line number."""
