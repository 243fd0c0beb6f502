"""A policy that says something of most parts, as YAML."""

from __future__ import annotations

WHOLE = """
guards:
  - use: policy_guards:NoWords
    words: [bluebird]
    mode: observe
  - policy_guards:NoWords
gate:
  runner: Runner
  mode: observe
  gates:
    - {name: quality, min_score: 8}
    - {name: safety, min_score: 9, max_rounds: 2, ordered: false}
contracts: {mode: observe}
tags:
  values: {cost_center: cc-42, tier: 2, beta: true}
  mode: off
stop: {database: "sqlite:///stops.db", mode: observe}
allow: [Scout.tools*]
"""
