"""The paper's tables: rows as runs, runs in one work directory, results on a page."""
