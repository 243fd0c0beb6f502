"""How a gated team's run ends without a result: declined, with every reason."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from agno_portkey.calls import IO
from agno_portkey.errors import RunDeclined
from agno_portkey.gates.books import Books
from agno_portkey.gates.gate import Gate
from agno_portkey.gates.leaving import leave
from agno_portkey.gates.ruling import Ruling
from agno_portkey.gates.words import Word, newest_word
from agno_portkey.runs import Run, Station
from agno_portkey.verdict import Verdict

__all__ = ["Ending"]

# How often members may be refused for each round that the gates allow.
_REFUSALS_A_ROUND = 4


class Ending(Ruling):
    """What becomes of a team run that its gates do not clear; `Charter` says what they decide."""

    gates: tuple[Gate, ...]

    @property
    @abstractmethod
    def books(self) -> Books:
        """Where decisions are kept."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The gates' names."""

    @abstractmethod
    def decide(self, run: Run) -> Verdict:
        """All gates' verdicts on `run` as one."""

    @abstractmethod
    def verdicts(self, run: Run) -> Sequence[Verdict]:
        """Each gate's verdict on `run`."""

    @abstractmethod
    def may_pass(self, run: Run) -> bool:
        """Whether the gates would pass `run`, if what nobody has asked yet spoke for it."""

    def bar(self, run: Run, reason: str) -> None:
        """Decline `run` before its leader says anything."""
        verdict = Verdict(False, self.name, (reason,))
        run.refuse(verdict)
        run.barred = True
        if run.mode == "observe":
            self.tell_declined(Station(run, "leader", self.swarm), verdict)

    def out_of_rounds(self, run: Run) -> bool:
        """Whether the gates' rounds are used up and no plan is cleared.

        A round is a judgement; a team that is refused without ever getting to one ends too.
        """
        rounds = min(gate.max_rounds for gate in self.gates)
        with run.lock:
            if run.clearance is None and run.refused > rounds * _REFUSALS_A_ROUND:
                return True
            if run.judgements < rounds or run.clearance is not None:
                return False
            return self._waits(run) or run.judgement is None or not self.may_pass(run)

    def _waits(self, run: Run) -> bool:
        """Whether the Runner was told, since the last judgement, that its plan waits for a person.

        Such a plan passes as often as it is judged, and is not cleared by that.
        """
        _, passed = run.waiting.get(run.plan_digest or "", ("", False))
        return passed and run.recorded == (run.plan_digest, run.judgements)

    async def word_on(self, run: Run, io: IO) -> Word | None:
        """What a person said last of the plan of `run`, if anybody has said no to it.

        Where it is a no, the end of the run says so. Raises whatever the database raises.
        """
        plan = run.plan_digest
        if plan is None:
            return None
        asked = partial(newest_word, self.books, run, plan, self.name)
        word: Word | None = await io.run(asked)
        run.noes[plan] = () if word is None or not word.no else (str(word),)
        return word

    def decline(self, run: Run) -> RunDeclined:
        """The error that ends `run` without a result; its verdict lists every reason.

        What it was cleared for, and has not finished, is taken back.
        """
        held = None
        with run.lock:
            verdict, first = run.declined, run.declined is None
            if verdict is None:
                last = run.refusals[-1].reasons if run.refusals else ()
                verdict = run.declined = Verdict(
                    False,
                    self.name,
                    tuple(dict.fromkeys((*last, *self._open_end(run)))),
                    evidence={
                        "plan_digest": run.plan_digest,
                        "refusals": [v.as_dict() for v in run.refusals],
                        "judgements": run.judgements,
                    },
                )
                run.ended = True
                if not run.spent:
                    held, run.clearance = run.clearance, None
        if first:
            self._note_end(run)
            self.books.dropped(held, "its team's run was declined")
            self.tell_declined(Station(run, "leader", self.swarm), verdict)
        return RunDeclined(verdict, f"declined: {verdict.reason}")

    def _note_end(self, run: Run) -> None:
        """Keep the decision that ended `run` before its Runner could ask for it, and tell it.

        A person may let its plan through, as one that the Runner was refused with. It is a no
        already: that it can't be kept opens nothing, and is logged.
        """
        plan, judgement = run.plan, run.judgement
        if plan is None or judgement is None:
            return
        if run.recorded == (run.plan_digest, run.judgements):
            return
        verdicts, verdict = self.verdicts(run), self.decide(run)
        # Else what nobody was asked may speak for it yet: no gate has refused it.
        refused = not self.may_pass(run)

        def keep() -> None:
            try:
                self.books.decided(self.gates, verdicts, run, judgement)
                if refused:
                    leave(self, run, plan, passed=False, reason=verdict.reason)
            except Exception:
                logging.getLogger("agno_portkey").exception("the end of a run can't be recorded")

        self.books.owed.note(f"of the end of {run.id}", keep)
        self.tell("gate", Station(run, "leader", self.swarm), self._as_kept(verdict))

    def _as_kept(self, verdict: Verdict) -> Verdict:
        """`verdict` as the books have it: what a person has to approve has not passed yet."""
        if not verdict.passed or not any(gate.approval for gate in self.gates):
            return verdict
        return replace(verdict, passed=False, reasons=("a person has to approve it",))

    def decline_unknown(self) -> RunDeclined:
        """The error that ends a team run of which nothing is known here."""
        reason = "the team's hooks did not run, or it was rebuilt without them: govern it"
        verdict = Verdict(False, self.name, (reason,))
        self.tell_declined(None, verdict)
        return RunDeclined(verdict, f"declined: {reason}")

    def _open_end(self, run: Run) -> Iterable[str]:
        if run.clearance is not None:
            if not run.spent:
                yield "the Runner was cleared but has not finished"
            return
        if run.barred:
            return  # nobody was to be asked, whatever a gate would say
        if run.refusals and run.refusals[-1].source == "runner":
            return  # it was cleared, and the refusal says what became of it
        if self.may_pass(run) and run.refusals:
            return  # a person was to approve, or the books could not be kept: the refusal says so
        if self.may_pass(run):
            yield "the gate would pass, but the Runner was never asked"
        else:
            verdict = self.decide(run)
            yield from run.complaints.values()
            yield from verdict.reasons
            yield from run.noes.get(run.plan_digest or "", ())
