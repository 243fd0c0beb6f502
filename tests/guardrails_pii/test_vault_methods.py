"""Which methods of the host's databases carry what people and models said."""

from __future__ import annotations

import pytest
from agno.db.base import AsyncBaseDb, BaseDb

from agno_portkey.guardrails.pii.stored import OTHERS, READS, WRITES

# The host's methods that carry nothing which a person or a model said in a run: settings, ids,
# rights, counts. Schedules, sources, products, projects, tasks and their texts are an operator's.
PLAIN = {
    *["add_product_routine", "assign_authz_role", "authz_name_is_role", "calculate_metrics"],
    *["claim_due_schedule", "cleanup_legacy_runs_column", "clear_memories", "close"],
    *["complete_task_run", "create_all_tables", "from_dict", "to_dict", "table_exists"],
    *["start_task_run", "disable_schedules_for_target"],
    *["stamp_schedule_provenance", "release_schedule", "load_component_graph"],
    *["mark_mcp_oauth_client_consumed", "consume_mcp_oauth_transaction"],
    *["read_authz_audit_events", "record_authz_audit_event", "record_authz_decision"],
    *["is_authz_user_disabled", "unassign_authz_role", "replace_authz_subject_roles"],
    *["update_eval_run_user_id", "update_approval_run_status"],
    *["get_metrics", "get_user_memory_stats", "get_learnings_user_stats", "get_span_stats"],
    *["get_trace_stats", "get_pending_approval_count", "list_transcript_sessions"],
    *["list_transcript_subpaths", "get_latest_schema_version", "upsert_schema_version"],
}
_PLAIN_ENDS = (
    *("component", "components", "component_with_config", "config", "configs", "version"),
    *("links", "dependents", "schedule", "schedules", "schedule_by_name", "schedule_run"),
    *("schedule_runs", "source", "sources", "product", "products", "product_counts", "project"),
    *("projects", "project_counts", "task", "tasks", "auth_token", "service_account"),
    *("service_accounts", "service_account_by_token_hash", "service_account_by_name"),
    *("acceptances", "latest_configs"),
)


def _is_plain(name: str) -> bool:
    said = name.partition("_")[2]
    return (
        name in PLAIN
        or name.startswith(("delete_", "count_"))
        or "_authz_" in name
        or "_mcp_oauth_" in name
        or said in _PLAIN_ENDS
        or said.removeprefix("current_").removeprefix("latest_") in _PLAIN_ENDS
    )


@pytest.mark.parametrize("base", [BaseDb, AsyncBaseDb])
def test_every_method_of_the_host_is_known(base: type) -> None:
    methods = {name for name in dir(base) if name[0] != "_" and callable(getattr(base, name))}
    known = {*WRITES, *READS, *OTHERS}
    assert not {name for name in known if _is_plain(name)}
    assert {name for name in methods - known if not _is_plain(name)} == set()
    assert known - methods <= {"upsert_sessions", "upsert_memories", "upsert_compaction"} | {
        name for name in known if "compaction" in name
    }
