"""Finished runs as the paper's tables, each number beside its control's (paper, tables 3 and 4)."""
