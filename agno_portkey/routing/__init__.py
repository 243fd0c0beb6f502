"""Routing: where a call goes, what happens when a target fails, and which arm a user gets.

```python
from agno_portkey.routing import Fallback, openai, openrouter

config = Fallback(targets=[openai("gpt-4o"), openrouter("anthropic/claude-sonnet-4", prefill=True)])
```
"""

from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits, CircuitState
from agno_portkey.routing.breaker.redis_store import RedisStore
from agno_portkey.routing.config.files import from_config, from_yaml, json_schema, to_yaml
from agno_portkey.routing.config.parts import (
    CircuitBreakerConfig,
    GatewayCache,
    GatewayCheck,
    Guardrail,
    Retry,
    Timeout,
)
from agno_portkey.routing.config.presets import openai, openrouter, together
from agno_portkey.routing.config.profiles import check
from agno_portkey.routing.config.query import Query, metadata, param, path
from agno_portkey.routing.config.routes import (
    Conditional,
    Fallback,
    LoadBalance,
    Route,
    Single,
    Target,
    When,
)
from agno_portkey.routing.experiments.arms import Arms, Comparison, Rate, compare
from agno_portkey.routing.keys.names import KeyName
from agno_portkey.routing.recovery.settings import Recovery

__all__ = [
    "Arms",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitState",
    "Circuits",
    "Comparison",
    "Conditional",
    "Fallback",
    "GatewayCache",
    "GatewayCheck",
    "Guardrail",
    "KeyName",
    "LoadBalance",
    "Query",
    "Rate",
    "Recovery",
    "RedisStore",
    "Retry",
    "Route",
    "Single",
    "Target",
    "Timeout",
    "When",
    "check",
    "compare",
    "from_config",
    "from_yaml",
    "json_schema",
    "metadata",
    "openai",
    "openrouter",
    "param",
    "path",
    "to_yaml",
    "together",
]
