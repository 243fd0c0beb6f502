"""GateHook by hand: the Runner is refused until the Judge has approved the plan it was shown."""

from _stage import stage

from agno_portkey import Gate
from agno_portkey.hooks import GateHook
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

with stage() as (model, provider):
    tell(provider)
    release = Release()
    team = release_team(model, release)

    gate = GateHook(Gate(min_score=8), runner="Runner")
    for owner in (team, *team.members):
        owner.pre_hooks, owner.post_hooks = [gate], [gate]

    run = team.run(REQUEST)

print(run.status.value, "-", run.content)
print("really done:", release.done)
assert [tool for tool, _ in release.done] == ["run_tests", "deploy"]
