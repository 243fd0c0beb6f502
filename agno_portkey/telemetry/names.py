"""The names of attributes: OpenTelemetry's GenAI conventions where they have one, else ours."""

from __future__ import annotations

__all__ = [
    "AGENT_ID",
    "ATTEMPT",
    "ATTEMPTS",
    "BAGGAGE",
    "CANCELLED",
    "COST",
    "ERROR_TYPE",
    "FIRST_TOKEN",
    "INPUT_TOKENS",
    "KIND",
    "OPERATION",
    "OURS",
    "OUTERMOST",
    "OUTPUT_TOKENS",
    "PROVIDER",
    "REQUEST_MODEL",
    "RESPONSE_MODEL",
    "RUN_ID",
    "SESSION_ID",
    "TEAM_ID",
    "WORKFLOW_ID",
    "is_code",
]

OPERATION = "gen_ai.operation.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
# Who answered, as the gateway says it; behind it every instrumentation says "openai".
PROVIDER = "gen_ai.provider.name"
# On the span of a call alone, so that a sum over a trace counts each token once.
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
# US dollars.
COST = "gen_ai.usage.cost"
# Seconds from the beginning of a streamed call to the first word its caller gets.
FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105 - no password
SESSION_ID = "gen_ai.conversation.id"
AGENT_ID = "gen_ai.agent.id"
ERROR_TYPE = "error.type"

# What is ours: `agno_portkey.role`, `agno_portkey.option_index` and so on.
OURS = "agno_portkey."
# What a span is of: `call`, `attempt`, or the kind of an event (`guard`, `gate`, `cache`, ...).
KIND = f"{OURS}kind"
RUN_ID = f"{OURS}run_id"
TEAM_ID = f"{OURS}team_id"
WORKFLOW_ID = f"{OURS}workflow_id"
# An attempt's number, from 1; and how many a call made.
ATTEMPT = f"{OURS}attempt"
ATTEMPTS = f"{OURS}attempts"
CANCELLED = f"{OURS}cancelled"
# Of a run that no other is round: whose the trace is, whatever stands above it.
OUTERMOST = f"{OURS}outermost"

# The tags that every span of a run bears, handed on as baggage under the names of their attributes.
BAGGAGE = {name: f"{OURS}{name}" for name in ("role", "swarm", "cost_center", "environment", "arm")}


def is_code(text: str) -> bool:
    """Whether what a provider or gateway says can be an id or a name, and not somebody's words.

    There are languages that are written without blanks.
    """
    return 0 < len(text) <= 128 and text.isascii() and text.isprintable() and " " not in text
