"""Algorithm 2: which word of a text matters most for what a classifier says of it.

One file an explainer, and one that knows them all; the libraries they take are imported when they are called.
"""

from iel_fairseq.explainers.registry import EXPLAINERS, Explainer
from iel_fairseq.explainers.result import Explanation

__all__ = ["EXPLAINERS", "Explainer", "Explanation"]
