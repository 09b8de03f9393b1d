"""Tables in and out, a row at a time: JSONL, CSV, Parquet, Arrow, saved `datasets` folders."""

from rlguard.tables.read import iter_rows, read_problems, read_rows
from rlguard.tables.write import RowWriter, write_rows

__all__ = ["RowWriter", "iter_rows", "read_problems", "read_rows", "write_rows"]
