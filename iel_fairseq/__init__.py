"""Interpretability-enhanced learning for fairseq: what ``--user-dir iel_fairseq`` imports."""

from iel_fairseq import compat

__version__ = "0.1.0"

compat.apply()

from iel_fairseq import tokenizer  # noqa: E402, F401  (registers --tokenizer prepared)
from iel_fairseq.tasks import attn_enhanced_translation  # noqa: E402, F401  (registers the task)
