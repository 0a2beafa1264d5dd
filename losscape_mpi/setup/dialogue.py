"""Asks what no option has said: on a terminal by prompts, elsewhere by taking the defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from losscape_mpi.errors import UserError
from losscape_mpi.setup.question import QUESTIONS, Question


def collect(
    given: Mapping[str, str],
    ask: Callable[[str], str] | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Return the value of every question that applies, by name.

    Args:
        given: Answers of options, by the name of the question.
        ask: Shows a prompt and returns what is typed; None takes the defaults.
        say: Shows a line.

    Raises:
        UserError: If an answer of an option is wrong or does not apply, or one is missing that
            has no default.
    """
    answers: dict[str, Any] = {}
    named = dict(given)
    for question in QUESTIONS:
        # The options before the answers: a network that is named needs no built-in checkpoint.
        known = {**named, **answers}
        if not question.applies(known):
            if question.name in given:
                raise UserError(_superfluous(question, given[question.name], answers))
            continue
        answers[question.name] = _answer(question, given, known, ask, say)
        named.pop(question.name, None)
        if text := question.told(answers):
            say(f"  {text}")
    return answers


def _answer(
    question: Question,
    given: Mapping[str, str],
    known: Mapping[str, Any],
    ask: Callable[[str], str] | None,
    say: Callable[[str], None],
) -> Any:
    if question.name in given:
        return question.read(given[question.name], known)
    default = question.default(known)
    if ask is None:
        if default is None:
            raise UserError(f"no answer for {question.name}, expected {_option(question)}")
        return question.read(default, known)
    say(f"\n{question.text}")
    while True:
        text = ask(f"  [{default}] " if default else "  ").strip() or default
        try:
            if text is None:
                raise UserError("expected an answer")
            return question.read(text, known)
        except UserError as error:
            say(f"  {error}")


def _option(question: Question) -> str:
    return f"--{question.name} {question.metavar}: {question.help}"


def _superfluous(question: Question, text: str, answers: Mapping[str, Any]) -> str:
    reason = f"data {answers['data']}" if "data" in answers else "the built-in checkpoint"
    return f"found --{question.name} {text} with {reason}, expected none: it would not be used"
