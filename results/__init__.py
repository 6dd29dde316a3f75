"""What happened: the write-ahead journal, the Parquet tables folded from it, and their readers."""
