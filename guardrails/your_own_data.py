"""Personal data of your own kind: recognisers and lists of words, in a file with the policy."""

import tempfile
from pathlib import Path

from _stage import stage
from agno.agent import Agent

from agno_portkey import Policy, govern

RECOGNIZERS = r"""
recognizers:
  - name: Badges
    supported_entity: BADGE
    patterns: [{name: badge, regex: 'B-\d{6}', score: 0.9}]
  - name: Projects
    supported_entity: PROJECT
    deny_list: [bluebird, red kite]
"""
POLICY = """
pii:
  mode: mask
  enforcement: enforce      # observe tells the observers what would have been hidden
  entities: [EMAIL_ADDRESS] # in place of the usual types
  recognizers: {folder}/recognizers.yaml
  deny_list: [Skunkworks]
"""

with stage() as (model, provider), tempfile.TemporaryDirectory() as folder:
    Path(folder, "recognizers.yaml").write_text(RECOGNIZERS)
    Path(folder, "policy.yaml").write_text(POLICY.replace("{folder}", folder))
    policy = Policy.from_yaml(Path(folder, "policy.yaml"))
    desk = govern(Agent(name="Desk", model=model), policy=policy)
    desk.run("John, B-123456, works on Red Kite at Skunkworks: ann.lee@corp.internal")

sent = provider.calls[-1].last_user
print("the provider was sent:", sent)
assert sent == "John, <BADGE>, works on <PROJECT> at <DENIED>: <EMAIL_ADDRESS>"
