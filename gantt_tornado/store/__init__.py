"""The database, on the writer thread."""
