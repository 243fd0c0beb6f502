"""The fingerprint of a team: its models, prompts, tools and policy, as a clearance knows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from agno.agent import Agent

from agno_portkey.described import (
    digest_of,
    guard_of,
    hooks_of,
    kind_of,
    model_of,
    plain,
    tools_of,
)
from agno_portkey.gates import Gate
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.run_facts import Fingerprint
from agno_portkey.walk import FALLBACKS, MANAGERS, OWN_MODELS, Owner, name_of, walk

__all__ = ["fingerprint_known", "fingerprint_of", "together"]

_PROMPTS = (
    "description",
    "instructions",
    "role",
    "system_message",
    "system_message_role",
    "user_message_role",
    "build_context",
    "build_user_context",
    "use_instruction_tags",
    "additional_context",
    "expected_output",
    "introduction",
    "additional_input",
    "markdown",
    "parser_model_prompt",
    "output_model_prompt",
    "structured_outputs",
    "use_json_mode",
    "parse_response",
    "mode",
    "respond_directly",
    "determine_input_for_members",
    "max_iterations",
    "tool_choice",
    "tool_call_limit",
    "skills",
    # What else comes into a prompt: the state, what was said before, and what is known.
    "session_state",
    "add_session_state_to_context",
    "enable_agentic_state",
    "dependencies",
    "add_dependencies_to_context",
    "resolve_in_context",
    "num_history_runs",
    "num_history_messages",
    "max_tool_calls_from_history",
    "read_chat_history",
    "read_tool_call_history",
    "search_past_sessions",
    "num_past_sessions_to_search",
    "num_past_session_runs_in_search",
    "enable_session_summaries",
    "enable_agentic_memory",
    "update_memory_on_run",
    "add_learnings_to_context",
    "add_name_to_context",
    "add_datetime_to_context",
    "add_location_to_context",
    "datetime_format",
    "timezone_identifier",
    "offload_tool_results",
    "num_followups",
    "add_team_history_to_members",
    "num_team_history_runs",
    "share_member_interactions",
    "add_member_tools_to_context",
    "get_member_information_tool",
)
_KNOWLEDGE = (
    "knowledge_filters",
    "enable_agentic_knowledge_filters",
    "add_knowledge_to_context",
    "knowledge_retriever",
    "references_format",
    "search_knowledge",
    "add_search_knowledge_instructions",
    "update_knowledge",
)
# Where a vector database has what it searches, by the names that they give it.
_TABLES = ("table_name", "collection", "collection_name", "index_name", "namespace", "schema")
# Of what keeps memories and the like: the host makes up a new id for each.
_NAMES = ("id", "name", "owner_id", "owner_type")
_GATE = ("ordered", "approval", "max_age", "max_rounds", "adjust")


def fingerprint_of(
    team: Owner,
    gates: Iterable[Gate] = (),
    guards: Iterable[Any] = (),
    *,
    runner: str | None = None,
) -> Fingerprint:
    """The `Fingerprint` of `team` behind `gates` and `guards`.

    Its parts are named after what they are of: `Planner.model`, `Planner.prompt`, `Runner.tools`,
    `runner`, `policy`. `runner` is its name or id, where `govern` has not given it its part.
    Addresses, keys and tags are no part of it, and what is known only by its contents, as a table
    of knowledge, by its name alone. It can't tell what a function or a guard reads elsewhere.
    """
    parts: dict[str, str] = {}
    for owner in _everyone(team):
        name = _free(name_of(owner), parts)
        parts |= {f"{name}.{kind}": told for kind, told in _parts(owner)}
        if _is_runner(owner, runner):
            parts["runner"] = name
    if (seat := getattr(team.model, "seat", None)) is not None:
        parts["modes"] = digest_of(plain(seat.modes))
    parts["policy"] = digest_of(
        {
            "gates": [_gate(gate) for gate in gates],
            "guards": [guard_of(guard) for guard in check_guards(tuple(guards))],
        }
    )
    return Fingerprint(digest_of(parts), parts)


def fingerprint_known(owner: Owner) -> Fingerprint:
    """The fingerprint of `owner` as its gate knows it, if it has one; else of it alone."""
    charter = getattr(getattr(owner.model, "seat", None), "charter", None)
    known = getattr(charter, "fingerprint_now", None)
    return known() if known is not None else fingerprint_of(owner)


def together(several: Iterable[Fingerprint]) -> Fingerprint:
    """The one `Fingerprint` of several teams and agents that run as one workflow."""
    each = [*several]
    parts = {name: part for one in each for name, part in one.parts.items()}
    return Fingerprint(digest_of([one.digest for one in each]), parts)


def _everyone(team: Owner) -> Iterator[Owner]:
    for owner, _ in walk(team, None):
        yield owner
        if isinstance(thinker := getattr(owner, "reasoning_agent", None), Agent):
            yield thinker


def _parts(owner: Owner) -> Iterator[tuple[str, str]]:
    """The parts of one agent or team, by their kinds."""
    yield from _models(owner)
    yield "prompt", digest_of([_of(owner, _PROMPTS), _made_late(owner)])
    if owner.knowledge is not None or owner.knowledge_retriever is not None:
        yield "knowledge", digest_of([_knowledge(owner.knowledge), _of(owner, _KNOWLEDGE)])
    if owner.tools:
        yield "tools", digest_of([tools_of(owner.tools), hooks_of(owner.tool_hooks)])
    if any(hooks := [hooks_of(owner.pre_hooks), hooks_of(owner.post_hooks)]):
        yield "hooks", digest_of(hooks)
    if any(schemas := [plain(owner.input_schema), plain(owner.output_schema)]):
        yield "schema", digest_of(schemas)


def _models(owner: Owner) -> Iterator[tuple[str, str]]:
    yield "model", model_of(owner.model)
    for kind in OWN_MODELS:
        if (model := getattr(owner, kind, None)) is not None:
            yield kind, model_of(model)
    for kind in (*MANAGERS, "learning"):
        if (manager := _manager(owner, getattr(owner, kind, None))) is not None:
            yield kind, digest_of(manager)
    if owner.fallback_config is not None:
        chains = [plain(getattr(owner.fallback_config, chain)) for chain in FALLBACKS]
        yield "fallback", digest_of(chains)


def _of(owner: Owner, names: Iterable[str]) -> str:
    return digest_of({name: plain(getattr(owner, name, None)) for name in names})


def _made_late(owner: Owner) -> dict[str, bool]:
    """Settings that the host completes when it first runs an owner, as it completes them."""

    def said(setting: str, *without: str) -> bool:
        given = getattr(owner, setting)
        return any(getattr(owner, each, None) for each in without) if given is None else bool(given)

    memories = ("update_memory_on_run", "enable_agentic_memory", "memory_manager")
    summaries = ("enable_session_summaries", "session_summary_manager")
    compressed = getattr(owner.compression_manager, "compress_tool_results", False)
    return {
        "memories": said("add_memories_to_context", *memories),
        "summary": said("add_session_summary_to_context", *summaries),
        "history": bool(owner.add_history_to_context)
        or bool(getattr(owner.learning, "requires_history", False)),
        "learning": bool(owner.learning),
        "compressed": bool(owner.compress_tool_results or compressed),
    }


def _manager(owner: Owner, manager: Any) -> Any:
    """What keeps memories, summaries and the like: its model and its prompts, and no state.

    None for what is as the host makes it, with its owner's model: it makes it late.
    """
    if manager is None or isinstance(manager, bool):
        return None
    kind: Any = type(manager)
    said = _prompts_of(manager)
    given = getattr(manager, "model", None)
    model = None if given is None else model_of(given)
    is_hosts = kind.__module__.startswith("agno.") and said == _prompts_as_made(kind)
    if is_hosts and model in (None, model_of(owner.model)):
        return None
    return [kind_of(kind), model, said]


def _prompts_of(manager: Any) -> dict[str, str]:
    told = {name: value for name, value in vars(manager).items() if isinstance(value, str)}
    return {name: text for name, text in told.items() if name not in _NAMES}


@lru_cache
def _prompts_as_made(kind: type) -> dict[str, str]:
    return _prompts_of(kind())


def _knowledge(knowledge: Any) -> Any:
    """Which knowledge it is; what is in it may change from day to day."""
    if knowledge is None or callable(knowledge):
        return plain(knowledge)
    database = getattr(knowledge, "vector_db", None)
    tables = [plain(getattr(database, name, None)) for name in _TABLES]
    name = plain(getattr(knowledge, "name", None))
    return [kind_of(type(knowledge)), name, kind_of(type(database)), tables]


def _is_runner(owner: Owner, runner: str | None) -> bool:
    seat = getattr(owner.model, "seat", None)
    if seat is not None and seat.charter is not None:
        return bool(seat.part == "runner")
    return runner is not None and runner in (owner.id, owner.name)


def _gate(gate: Gate) -> Any:
    checks = [plain(check) for check in gate.every]
    settings = {name: plain(getattr(gate, name)) for name in _GATE}
    return [kind_of(type(gate)), gate.name, settings, checks]


def _free(name: str, parts: Mapping[str, str]) -> str:
    """`name`, or for the second of that name another one."""
    number, free = 1, name
    while f"{free}.model" in parts:
        number += 1
        free = f"{name} {number}"
    return free
