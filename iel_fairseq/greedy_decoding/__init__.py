"""Greedy decoding, step by step, with the attention of one layer: what Algorithm 1 stands on, made fast."""
