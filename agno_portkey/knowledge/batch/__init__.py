"""The provider's Batch API: inputs guarded and sent in files, answers held to contracts."""

from agno_portkey.knowledge.batch.job import BatchJob
from agno_portkey.knowledge.batch.told import BatchResult, BatchStatus, PartStatus

__all__ = ["BatchJob", "BatchResult", "BatchStatus", "PartStatus"]
