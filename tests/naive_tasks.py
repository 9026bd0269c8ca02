"""Naive one-token-at-a-time reference for the counting tasks and the arithmetic task, on lists of token names.

A counting state is a dict with the keys phase ("demo" or "response"), count, raw_count and said; an arithmetic state
is a dict with the keys remaining_ops and cumulative_value.
"""

from __future__ import annotations

from typing import Any, NamedTuple

State = dict[str, Any]

COUNTING_NAMES = ("multi-object", "same-object", "modulo", "rounding")
MAX_QUANTITY = 20
MAX_OPERATIONS = 10
MAX_VALUE = 20
NUMBERS = [str(number) for number in range(MAX_VALUE + 1)]


class Continued(NamedTuple):
    """The start of a trial, what a variable is at its last token, and one way the task may go on to E."""

    name: str
    tokens: list[str]
    variable: str
    value: int
    continuation: list[str]


CONTINUED = [
    Continued("multi-object", ["B", "D0", "D0"], "count", 2, ["T", "R", "R", "E"]),
    Continued("multi-object", ["B", "D0", "D0"], "raw_count", 2, ["T", "R", "R", "E"]),
    Continued("multi-object", ["B", "D0", "D0", "D0", "T", "R"], "count", 2, ["R", "R", "E"]),
    Continued("multi-object", ["B", "D0", "D0", "D0", "T", "R"], "raw_count", 2, ["R", "R", "E"]),
    Continued("modulo", ["B", "D0", "D0"], "count", 2, ["T", "R", "R", "E"]),
    Continued("modulo", ["B", "D0", "D0", "D0", "D0", "D0", "D0", "D0", "T", "R"], "count", 2, ["R", "R", "E"]),
    Continued("rounding", ["B", "D0", "D0"], "count", 2, ["T", "R", "R", "R", "E"]),
    Continued("rounding", ["B", "D0", "D0", "D0", "D0", "T", "R"], "count", 2, ["R", "R", "E"]),
]


class Counting:
    """One of the four counting tasks; multi-object may have voids."""

    def __init__(self, name: str, voids: bool = False) -> None:
        if name not in COUNTING_NAMES:
            raise ValueError(f"unknown counting task {name!r}")
        if voids and name != "multi-object":
            raise ValueError(f"{name} has no void variant")
        self.name = name
        self.voids = voids
        self.demo_tokens = ["D0", "D1", "D2"]
        self.response_token = "R"
        if name == "same-object":
            self.demo_tokens = ["C"]
            self.response_token = "C"

    def responses(self, quantity: int) -> int:
        """Return f(q), the number of responses that this many demo tokens ask for."""
        if self.name == "modulo":
            return quantity % 4
        if self.name == "rounding":
            if quantity % 3 == 0:
                return quantity
            if (quantity - 1) % 3 == 0:
                return quantity - 1
            return quantity + 1
        return quantity

    def max_responses(self) -> int:
        """Return the largest f(q) over all quantities."""
        largest = 0
        for quantity in range(1, MAX_QUANTITY + 1):
            if self.responses(quantity) > largest:
                largest = self.responses(quantity)
        return largest

    def is_trial(self, tokens: list[str]) -> bool:
        """Say whether the whole sequence is one legal trial: B, q demos (and voids), T, f(q) responses, E."""
        rest = list(tokens)
        if not rest or rest.pop(0) != "B":
            return False
        demos = 0
        while rest and (rest[0] in self.demo_tokens or (self.voids and rest[0] == "V")):
            if rest.pop(0) != "V":
                demos = demos + 1
        if demos < 1 or demos > MAX_QUANTITY:
            return False
        if not rest or rest.pop(0) != "T":
            return False
        said = 0
        while rest and rest[0] == self.response_token:
            rest.pop(0)
            said = said + 1
        return said == self.responses(demos) and rest == ["E"]

    def variables(self, tokens: list[str]) -> list[State]:
        """Return phase, count, raw_count and said after each token of a trial, or of its start."""
        phase = "demo"
        demos = 0
        said = 0
        result: list[State] = []
        for position, token in enumerate(tokens):
            if (position == 0) != (token == "B"):
                raise ValueError(f"position {position}: {token!r}, where B comes first and only first")
            if phase == "demo" and token in self.demo_tokens:
                demos = demos + 1
            elif phase == "demo" and token == "T":
                phase = "response"
            elif phase == "response" and token == self.response_token:
                said = said + 1
            elif not (
                token == "B"
                or (phase == "response" and token == "E")
                or (phase == "demo" and token == "V" and self.voids)
            ):
                raise ValueError(f"position {position}: {token!r} in the {phase} phase")
            count = demos
            if phase == "response":
                count = self.responses(demos) - said
            result.append({"phase": phase, "count": count, "raw_count": demos - said, "said": said})
        return result

    def determined(self, tokens: list[str]) -> list[bool]:
        """Say for each token whether it follows from the tokens before it."""
        known = ["B", "T", "E", self.response_token, *self.demo_tokens]
        if self.voids:
            known = [*known, "V"]
        seen_t = False
        result = []
        for token in tokens:
            if token not in known:
                raise ValueError(f"unknown token {token!r}")
            result.append(seen_t)
            if token == "T":
                seen_t = True
        return result

    def allowed_next(self, phase: str, count: int) -> list[str]:
        """Return the token names that may come next in this state."""
        if phase == "demo":
            allowed: list[str] = []
            if count < MAX_QUANTITY:
                allowed = allowed + self.demo_tokens
            if count >= 1:
                allowed = [*allowed, "T"]
            if self.voids:
                allowed = [*allowed, "V"]
            return allowed
        if count > 0:
            return [self.response_token]
        return ["E"]

    def obeys(self, state: State, continuation: list[str], determined: list[bool]) -> str | None:
        """Return None if the task could write this continuation from this state, else the first offence."""
        if not self.meaningful(state):
            raise ValueError(f"no such state: {state!r}")
        phase = state["phase"]
        count = state["count"]
        ended = False
        for position, token in enumerate(continuation):
            if ended:
                return f"position {position}: {token} after E"
            allowed = self.allowed_next(phase, count)
            if token not in allowed:
                return f"position {position}: {token} at ({phase}, {count}), expected one of {allowed}"
            if position >= len(determined):
                return f"position {position}: no determined flag for {token}"
            flag = phase == "response"
            if bool(determined[position]) != flag:
                return f"position {position}: determined flag of {token} should be {flag}"
            if token == "E":
                ended = True
            elif token == "T":
                phase = "response"
                count = self.responses(count)
            elif phase == "response":
                count = count - 1
            elif token != "V":
                count = count + 1
        if not ended:
            return f"position {len(continuation)}: the continuation stops before E"
        if len(determined) > len(continuation):
            return f"position {len(continuation)}: a determined flag without a token"
        return None

    def counterfactual(self, target: State, source: State, variable: str) -> State:
        """Return the target's state with the variable set to the source's value.

        said stays the target's. raw_count is the source's where it is what was set, else None: it is no longer known.
        """
        result: State = {"phase": target["phase"], "count": target["count"], "raw_count": None, "said": target["said"]}
        if variable == "full":
            result["phase"] = source["phase"]
            result["count"] = source["count"]
        elif variable == "phase":
            result["phase"] = source["phase"]
        elif variable == "count":
            result["count"] = source["count"]
        elif variable == "raw_count":
            result["raw_count"] = source["raw_count"]
            if target["phase"] == "demo":
                result["count"] = source["raw_count"]
            else:
                result["count"] = self.responses(source["raw_count"] + target["said"]) - target["said"]
        else:
            raise ValueError(f"unknown variable {variable!r}")
        return result

    def meaningful(self, state: State, variable: str = "full") -> bool:
        """Say whether the task can be in this state, which came of setting this variable."""
        if state["phase"] == "demo":
            return bool(0 <= state["count"] <= MAX_QUANTITY)
        if state["phase"] != "response":
            return False
        if not 0 <= state["count"] <= self.max_responses():
            return False
        if variable == "raw_count":
            return bool(1 <= state["raw_count"] + state["said"] <= MAX_QUANTITY)
        return True


class Arithmetic:
    """The arithmetic task: B, the number of operations, a start value, the operations, E."""

    def is_trial(self, tokens: list[str]) -> bool:
        """Say whether the whole sequence is one legal trial."""
        rest = list(tokens)
        if len(rest) < 3 or rest.pop(0) != "B":
            return False
        if rest[0] not in NUMBERS or rest[1] not in NUMBERS:
            return False
        operations = int(rest.pop(0))
        value = int(rest.pop(0))
        if operations < 1 or operations > MAX_OPERATIONS:
            return False
        for operation in range(operations):
            if len(rest) < 5:
                return False
            operator = rest.pop(0)
            operand = rest.pop(0)
            equals = rest.pop(0)
            outcome = rest.pop(0)
            after = rest.pop(0)
            if operand not in NUMBERS or equals != "=":
                return False
            if operator == "+" and value != MAX_VALUE:
                value = value + int(operand)
            elif operator == "-" and value != 0:
                value = value - int(operand)
            else:
                return False
            if value < 0 or value > MAX_VALUE or outcome != str(value):
                return False
            if operation == operations - 1 and after != "E":
                return False
            if operation < operations - 1 and after != ",":
                return False
        return rest == []

    def variables(self, tokens: list[str]) -> list[State]:
        """Return remaining_ops and cumulative_value after each token, None before they are known."""
        remaining: int | None = None
        value: int | None = None
        result: list[State] = []
        for position, token in enumerate(tokens):
            if position == 0 and token != "B":
                raise ValueError(f"position 0: {token!r}, expected B")
            if position == 1:
                remaining = int(token)
            elif position == 2 or (position > 2 and tokens[position - 1] == "="):
                value = int(token)
            elif token == ",":
                if remaining is None:
                    raise ValueError(f"position {position}: a comma before the number of operations")
                remaining = remaining - 1
            result.append({"remaining_ops": remaining, "cumulative_value": value})
        return result

    def determined(self, tokens: list[str]) -> list[bool]:
        """Say for each token whether it follows from the tokens before it."""
        result = []
        previous = ""
        for token in tokens:
            if token in ("=", ",", "E"):
                result.append(True)
            elif token in NUMBERS:
                result.append(previous == "=")
            elif token in ("B", "+", "-"):
                result.append(False)
            else:
                raise ValueError(f"unknown token {token!r}")
            previous = token
        return result

    def obeys(self, state: State, continuation: list[str], determined: list[bool]) -> str | None:
        """Return None if the task could write this continuation from this state at a comma, else the first offence."""
        if not self.meaningful(state):
            raise ValueError(f"no such state at a comma: {state!r}")
        remaining = state["remaining_ops"]
        value = state["cumulative_value"]
        operator = ""
        outcome = 0
        due = "operator"
        for position, token in enumerate(continuation):
            if due == "nothing":
                return f"position {position}: {token} after E"
            allowed: list[str] = []
            flag = True
            if due == "operator":
                flag = False
                if value < MAX_VALUE:
                    allowed = [*allowed, "+"]
                if value > 0:
                    allowed = [*allowed, "-"]
            elif due == "operand":
                flag = False
                for operand in range(MAX_VALUE + 1):
                    if operator == "+" and value + operand <= MAX_VALUE:
                        allowed = [*allowed, str(operand)]
                    if operator == "-" and value - operand >= 0:
                        allowed = [*allowed, str(operand)]
            elif due == "equals":
                allowed = ["="]
            elif due == "outcome":
                allowed = [str(outcome)]
            elif remaining > 1:
                allowed = [","]
            else:
                allowed = ["E"]
            if token not in allowed:
                return f"position {position}: {token} as {due} at ({remaining}, {value}), expected one of {allowed}"
            if position >= len(determined):
                return f"position {position}: no determined flag for {token}"
            if bool(determined[position]) != flag:
                return f"position {position}: determined flag of {token} should be {flag}"
            if due == "operator":
                operator = token
                due = "operand"
            elif due == "operand":
                outcome = value + int(token)
                if operator == "-":
                    outcome = value - int(token)
                due = "equals"
            elif due == "equals":
                due = "outcome"
            elif due == "outcome":
                value = outcome
                due = "separator"
            elif token == ",":
                remaining = remaining - 1
                due = "operator"
            else:
                due = "nothing"
        if due != "nothing":
            return f"position {len(continuation)}: the continuation stops before E"
        if len(determined) > len(continuation):
            return f"position {len(continuation)}: a determined flag without a token"
        return None

    def counterfactual(self, target: State, source: State, variable: str) -> State:
        """Return the target's state with one variable, or both, set to the source's value."""
        if variable == "full":
            return {"remaining_ops": source["remaining_ops"], "cumulative_value": source["cumulative_value"]}
        if variable == "remaining_ops":
            return {"remaining_ops": source["remaining_ops"], "cumulative_value": target["cumulative_value"]}
        if variable == "cumulative_value":
            return {"remaining_ops": target["remaining_ops"], "cumulative_value": source["cumulative_value"]}
        raise ValueError(f"unknown variable {variable!r}")

    def meaningful(self, state: State, variable: str = "full") -> bool:
        """Say whether the task can be in this state at a comma; it does not matter which variable was set."""
        remaining = state["remaining_ops"]
        value = state["cumulative_value"]
        if remaining is None or value is None:
            return False
        return bool(1 <= remaining <= MAX_OPERATIONS and 0 <= value <= MAX_VALUE)
