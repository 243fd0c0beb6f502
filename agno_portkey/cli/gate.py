"""`agno-portkey gate`: suites, open gates, what gates have decided, and how they are set."""

from __future__ import annotations

import typer

from agno_portkey.cli import gate_adjust, gate_calibrate, gate_check, gate_clearance, gate_history

__all__ = ["app"]

app = typer.Typer(
    help="Run suites as gates, decide on open ones, and show what gates have decided.",
    no_args_is_help=True,
)
app.command("check")(gate_check.check)
app.command("waiting")(gate_clearance.waiting)
app.command("approve")(gate_clearance.approve)
app.command("revoke")(gate_clearance.revoke)
app.command("history")(gate_history.history)
app.command("report")(gate_history.report)
app.command("calibrate")(gate_calibrate.calibrate)
app.command("propose")(gate_adjust.propose)
app.command("adjust")(gate_adjust.adjust)
app.command("rollback")(gate_adjust.rollback)
app.command("thresholds")(gate_adjust.thresholds)
app.command("key")(gate_clearance.key)
app.command("export")(gate_clearance.export_)
app.command("verify")(gate_clearance.verify_)
