"""The studies of `causalign reproduce`. Each declares the comparisons of one figure of the paper and its claims."""

from causalign.reproduction.reproduce import STUDIES, TABLE, VERDICTS, Reproduction, reproduce
from causalign.reproduction.study import BUDGETS, Protocol
from causalign.reproduction.table import Verdict

__all__ = ["BUDGETS", "STUDIES", "TABLE", "VERDICTS", "Protocol", "Reproduction", "Verdict", "reproduce"]
