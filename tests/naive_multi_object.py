"""Naive one-token-at-a-time reference for the Multi-Object task, on lists of token names."""

from __future__ import annotations

DEMO_TOKENS = ("D0", "D1", "D2")
MAX_COUNT = 20


def variables(tokens: list[str]) -> list[tuple[str, int]]:
    """Return (phase, count) after each token of a trial that starts with B."""
    phase = "demo"
    count = 0
    result = []
    for token in tokens:
        if token == "B":
            phase = "demo"
            count = 0
        elif token in DEMO_TOKENS:
            count = count + 1
        elif token == "T":
            phase = "response"
        elif token == "R":
            count = count - 1
        elif token != "E":
            raise ValueError(f"unknown token {token!r}")
        result.append((phase, count))
    return result


def determined(tokens: list[str]) -> list[bool]:
    """Say for each token whether it follows from the tokens before it."""
    result = []
    for token in tokens:
        if token == "R" or token == "E":
            result.append(True)
        elif token == "B" or token == "T" or token in DEMO_TOKENS:
            result.append(False)
        else:
            raise ValueError(f"unknown token {token!r}")
    return result


def is_trial(tokens: list[str]) -> bool:
    """Say whether the whole sequence is one legal trial: B, n demos, T, n R's, E."""
    rest = list(tokens)
    if not rest or rest.pop(0) != "B":
        return False
    demos = 0
    while rest and rest[0] in DEMO_TOKENS:
        rest.pop(0)
        demos = demos + 1
    if demos < 1 or demos > MAX_COUNT:
        return False
    if not rest or rest.pop(0) != "T":
        return False
    responses = 0
    while rest and rest[0] == "R":
        rest.pop(0)
        responses = responses + 1
    return responses == demos and rest == ["E"]


def allowed_next(phase: str, count: int) -> list[str]:
    """Return the token names that may come next in this state."""
    if phase == "demo":
        allowed: list[str] = []
        if count < MAX_COUNT:
            allowed = allowed + list(DEMO_TOKENS)
        if count >= 1:
            allowed = [*allowed, "T"]
        return allowed
    if count > 0:
        return ["R"]
    return ["E"]


def obeys(phase: str, count: int, continuation: list[str], determined: list[bool]) -> str | None:
    """Return None if the task could write this continuation from this state, else the first offence."""
    if phase not in ("demo", "response") or not 0 <= count <= MAX_COUNT:
        raise ValueError(f"no such state: {phase!r}, {count!r}")
    ended = False
    for position, token in enumerate(continuation):
        if ended:
            return f"position {position}: {token} after E"
        allowed = allowed_next(phase, count)
        if token not in allowed:
            return f"position {position}: {token} at ({phase}, {count}), expected one of {allowed}"
        if position >= len(determined):
            return f"position {position}: no determined flag for {token}"
        flag = token == "R" or token == "E"
        if bool(determined[position]) != flag:
            return f"position {position}: determined flag of {token} should be {flag}"
        if token in DEMO_TOKENS:
            count = count + 1
        elif token == "T":
            phase = "response"
        elif token == "R":
            count = count - 1
        else:
            ended = True
    if not ended:
        return f"position {len(continuation)}: the continuation stops before E"
    if len(determined) > len(continuation):
        return f"position {len(continuation)}: a determined flag without a token"
    return None


def counterfactual(target: tuple[str, int], source: tuple[str, int], variable: str) -> tuple[str, int]:
    """Return the target's (phase, count) after setting one variable, or both, to the source's value."""
    if variable == "full":
        return (source[0], source[1])
    if variable == "phase":
        return (source[0], target[1])
    if variable == "count":
        return (target[0], source[1])
    raise ValueError(f"unknown variable {variable!r}")
