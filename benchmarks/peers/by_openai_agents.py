"""The OpenAI Agents SDK: `Runner` with its guardrails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from benchmarks.peers.asked import MODEL, Ask, Chat, Rule

__all__ = ["OpenAIAgents"]


class OpenAIAgents:
    name = "OpenAI Agents SDK"
    packages: Sequence[str] = ("openai-agents",)
    claims: frozenset[str] = frozenset()
    setting: ClassVar[Mapping[str, str]] = {
        "A": "it has no detectors of its own (OpenAI's package openai-guardrails is another one)",
        "B": "input guardrails with run_in_parallel=False, output guardrails, and guardrails on"
        " what goes into its tools and comes out; it has no limit of time for a guardrail",
        "E": "ModelSettings(retry=), the client's timeout; it has no fallback to another model",
        "F": "it has no cache of answers",
    }

    def personal(self, url: str) -> None:
        return None

    def cached(self, url: str, *, by_hand: bool) -> None:
        return None

    def ruled(self, url: str, rule: Rule) -> Ask:
        from agents import (
            GuardrailFunctionOutput,
            InputGuardrail,
            OutputGuardrail,
            ToolGuardrailFunctionOutput,
            ToolOutputGuardrail,
        )

        def verdict(forbidden: bool) -> Any:
            return GuardrailFunctionOutput(output_info=None, tripwire_triggered=forbidden)

        def of_tool(forbidden: bool) -> Any:
            if forbidden:
                return ToolGuardrailFunctionOutput.raise_exception()
            return ToolGuardrailFunctionOutput.allow()

        def looking(say: Callable[[bool], Any], at: Callable[..., Any]) -> Callable[..., Any]:
            def called(*given: Any) -> Any:
                return say(rule.forbids(str(at(*given))))

            async def awaited(*given: Any) -> Any:
                return say(await rule.aforbids(str(at(*given))))

            return awaited if rule.awaited else called

        of_input = looking(verdict, lambda context, agent, given: given)
        of_output = looking(verdict, lambda context, agent, output: output)
        of_result = looking(of_tool, lambda data: data.output)
        return _asking(
            url,
            {
                "input_guardrails": [InputGuardrail(of_input, run_in_parallel=False)],
                "output_guardrails": [OutputGuardrail(of_output)],
            },
            [ToolOutputGuardrail(of_result)],
        )


def _asking(url: str, guards: dict[str, Any], tool_guards: Sequence[Any]) -> Ask:
    from agents import (
        Agent,
        OpenAIChatCompletionsModel,
        Runner,
        function_tool,
        set_tracing_disabled,
    )
    from openai import AsyncOpenAI
    from openai.types.responses import ResponseTextDeltaEvent

    set_tracing_disabled(True)

    async def ask(chat: Chat, show: Callable[[str], None]) -> None:
        tools = []
        if chat.tool is not None:
            called = chat.tool

            @function_tool(tool_output_guardrails=[*tool_guards], failure_error_function=None)
            def lookup(query: str) -> str:
                """Look something up."""
                return called(query)

            tools.append(lookup)
        client = AsyncOpenAI(base_url=url, api_key="test-key", max_retries=0)
        model = OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
        agent = Agent(name="Desk", model=model, tools=tools, **guards)
        turns = [*chat.history, ("user", chat.question)]
        given: Any = [{"role": role, "content": text} for role, text in turns]
        if not chat.stream:
            show(str((await Runner.run(agent, given)).final_output))
            return
        run = Runner.run_streamed(agent, given)
        async for event in run.stream_events():
            if event.type == "raw_response_event" and isinstance(
                event.data, ResponseTextDeltaEvent
            ):
                show(event.data.delta)

    return ask
