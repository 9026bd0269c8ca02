"""The paper's figures, each a declaration of comparisons and of the claims that they decide: `causalign reproduce`."""

from causalign.reproduction.reproduce import COMPARISONS, STUDIES, TABLE, VERDICTS, Reproduction, reproduce
from causalign.reproduction.study import BUDGETS, Protocol
from causalign.reproduction.table import Verdict

__all__ = ["BUDGETS", "COMPARISONS", "STUDIES", "TABLE", "VERDICTS", "Protocol", "Reproduction", "Verdict", "reproduce"]
