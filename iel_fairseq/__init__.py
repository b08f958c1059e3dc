"""Interpretability-enhanced learning for fairseq: what ``--user-dir iel_fairseq`` imports.

Results are read with :func:`read_attention_positions` and :func:`read_readings`.
"""

import logging

# Before fairseq is imported: one part of it lets all of a program's libraries log what they do, down to DEBUG, unless
# the program has said what is logged; another one tells everybody to install tensorboardX.
_said = logging.NullHandler()
logging.root.addHandler(_said)
logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)

from iel_fairseq import compat  # noqa: E402

compat.apply()

from iel_fairseq.attention_reader import AttentionReader  # noqa: E402
from iel_fairseq.attention_store import read_attention_positions  # noqa: E402
from iel_fairseq.criterions import glue  # noqa: E402, F401  (registers the criterion)
from iel_fairseq.models import hf_sequence_classifier  # noqa: E402, F401  (registers the model)
from iel_fairseq.preparation import tokenizer  # noqa: E402, F401  (registers --tokenizer prepared)
from iel_fairseq.readings import read_readings  # noqa: E402
from iel_fairseq.tasks import (  # noqa: E402, F401  (registers the tasks)
    attn_enhanced_translation,
    importance_enhanced_classification,
)
from iel_fairseq.translator import AttnEnhancedTranslation, AttnEnhancedTranslator  # noqa: E402
from iel_fairseq.version import __version__  # noqa: E402

logging.root.removeHandler(_said)

__all__ = [
    "AttentionReader",
    "AttnEnhancedTranslation",
    "AttnEnhancedTranslator",
    "__version__",
    "read_attention_positions",
    "read_readings",
]
