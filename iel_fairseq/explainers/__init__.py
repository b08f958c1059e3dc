"""Algorithm 2: which word of a text matters most for what a classifier says of it.

One file an explainer, which registers itself under its name; the libraries it takes are imported when it is called.
"""

from iel_fairseq.explainers import attention, lime, random, shap  # noqa: F401  (they register themselves)
from iel_fairseq.explainers.registry import EXPLAINERS, Explainer
from iel_fairseq.explainers.result import Explanation

__all__ = ["EXPLAINERS", "Explainer", "Explanation"]
