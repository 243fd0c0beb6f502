// The cards: what each asks, what of it is drawn, and its figures as a table.

import { named, stamp, told } from "./board-charts.js";

const NANO = 1e9;
const sum = (...of) => of.reduce((all, each) => all + (each ?? 0), 0);
const share = (part, all) => (all ? (100 * part) / all : null);

/** The series of each group: `of(figures at a step)`. */
function series(data, groups, of, more = {}) {
  return groups.map((group, index) => ({
    name: named(group.key, data.left_out),
    key: group.key,
    values: data.times.map((_, at) => {
      const here = Object.fromEntries(Object.entries(group.series).map(([name, values]) => [name, values[at]]));
      return Object.values(here).every((value) => value === null) ? null : of(here);
    }),
    ...(typeof more === "function" ? more(group, index) : more),
  }));
}

const draw = (data, unit, of, rest = {}) => ({ times: data.times, step: data.step, unit, series: of, ...rest });
const key = (title) => [title, (row) => named(row.key)];
const total = (title, name, unit = "1") => [title, (row) => told(row.totals[name], unit)];
const rate = (title, part, all) => [title, (row) => told(share(part(row.totals), all(row.totals)), "%")];

const QUANTILES = ["p50", "p95", "p99"];
const LOOKED_UP = (t) => sum(t.hit, t.near, t.shared, t.miss);
const HITS = (t) => sum(t.hit, t.near, t.shared);

/** All the cards, in their order on the page. */
export const CARDS = [
  {
    id: "latency",
    title: "Latency by model",
    choices: [["p95", "p95"], ["p50", "p50"], ["p99", "p99"], ["all", "p50, p95, p99"], ["first", "First word, p95"]],
    choice: "Quantile",
    empty: "No call was answered by a provider.",
    draw(data, chosen) {
      const groups = chosen === "first" ? data.first_token : data.groups;
      if (chosen !== "all") {
        const name = chosen === "first" ? "p95" : chosen;
        return [draw(data, "ms", series(data, groups, (here) => here[name]))];
      }
      const each = QUANTILES.flatMap((name) =>
        series(data, groups, (here) => here[name], (group, index) => ({
          name: `${named(group.key, data.left_out)} ${name}`, dashed: name === "p50", colour: groups.length > 1 ? `--c${(index % 8) + 1}` : undefined,
        })),
      );
      return [draw(data, "ms", each)];
    },
    columns: [key("Model"), total("Calls", "count"), ...QUANTILES.map((name) => total(name, name, "ms"))],
  },
  {
    id: "errors",
    title: "Error rate by provider",
    empty: "No request was sent.",
    draw: (data) => [draw(data, "%", series(data, data.groups, (here) => share(here.failed, here.attempts)), { most: ({ max }) => [5, 10, 20, 50, 100].find((each) => each >= max) ?? 100 })],
    columns: [key("Provider"), total("Requests", "attempts"), total("Failed", "failed"), rate("Error rate", (t) => t.failed, (t) => t.attempts)],
    also: (data) => data.error_types?.length && {
      caption: "Kinds of errors",
      columns: [key("Error"), total("Failed", "failed")],
      rows: data.error_types,
    },
  },
  {
    id: "usage",
    title: "Tokens and cost",
    choices: [["cost model", "Cost by model"], ["cost swarm", "Cost by swarm"], ["cost cost_center", "Cost by cost center"], ["cost role", "Cost by role"], ["tokens model", "Tokens by model"], ["tokens swarm", "Tokens by swarm"], ["tokens cost_center", "Tokens by cost center"], ["tokens role", "Tokens by role"]],
    choice: "What, by what",
    empty: "No call or embedding has ended.",
    by: (chosen) => chosen.split(" ")[1],
    draw(data, chosen) {
      const dollars = chosen.startsWith("cost");
      const of = dollars ? (here) => here.cost / NANO : (here) => sum(here.input_tokens, here.output_tokens);
      return [draw(data, dollars ? "$" : "token", series(data, data.groups, of, { bar: true }))];
    },
    columns: [
      ["Name", (row) => named(row.key)], total("Calls", "calls"), total("In", "input_tokens"), total("Out", "output_tokens"),
      ["Cost", (row) => told(row.totals.cost / NANO, "$")], total("Unpriced", "unpriced"),
    ],
  },
  {
    id: "cache",
    title: "Cache hits",
    empty: "No call was looked up in a cache.",
    draw(data) {
      const all = { times: data.times, groups: data.groups };
      const of = (pick) => data.times.map((_, at) => {
        const here = all.groups.map((group) => Object.fromEntries(Object.entries(group.series).map(([name, values]) => [name, values[at]])));
        return here.some((each) => each.miss !== null && each.miss !== undefined) ? sum(...here.map(pick)) : null;
      });
      const rates = of(LOOKED_UP).map((count, at) => (count ? told(share(of(HITS)[at], count), "%") : ""));
      return [draw(data, "1", [
        { name: "Hits", key: undefined, values: of((h) => h.hit), bar: true, colour: "--c3", beside: rates },
        { name: "Near", key: undefined, values: of((h) => h.near), bar: true, colour: "--c6" },
        { name: "Shared", key: undefined, values: of((h) => h.shared), bar: true, colour: "--c1" },
        { name: "Misses", key: undefined, values: of((h) => h.miss), bar: true, colour: "--c8" },
      ])];
    },
    columns: [key("Model"), total("Hits", "hit"), total("Near", "near"), total("Shared", "shared"), total("Misses", "miss"), rate("Hit rate", HITS, LOOKED_UP)],
  },
  {
    id: "gates",
    title: "Gate decisions and scores",
    empty: "No gate has decided.",
    draw: (data) => [
      draw(data, "1", [
        ...series(data, data.groups, (here) => here.passed, (group) => ({ name: `${named(group.key)} passed`, of: "passed", bar: true, ...(data.groups.length === 1 && { colour: "--c3" }) })),
        ...series(data, data.groups, (here) => here.refused, (group) => ({ name: `${named(group.key)} refused`, of: "refused", bar: true, ...(data.groups.length === 1 && { colour: "--c2" }) })),
      ]),
      draw(data, "score", series(data, data.groups, (here) => here.score, (group) => ({ name: `${named(group.key)} score` })), { most: ({ max }) => Math.max(1, max) }),
    ],
    columns: [key("Gate"), total("Passed", "passed"), total("Refused", "refused"), rate("Pass rate", (t) => t.passed, (t) => sum(t.passed, t.refused)), total("Least score", "least_score", "score"), total("Mean", "score", "score"), total("Most", "most_score", "score")],
  },
  {
    id: "guards",
    title: "Guard blocks",
    empty: "No guard has looked at anything.",
    draw: (data) => [draw(data, "1", series(data, data.groups, (here) => sum(here.blocked, here.observed), { bar: true }))],
    columns: [key("Guard"), total("Checks", "checks"), total("Blocked", "blocked"), total("Would block", "observed")],
  },
  {
    id: "routes",
    title: "Routes and breakers",
    empty: "No request was sent.",
    draw: (data) => [draw(data, "1", series(data, data.groups, (here) => here.attempts, { bar: true }))],
    columns: [
      key("Target"), total("Requests", "attempts"), total("Failed", "failed"),
    ],
    chips: (data) => data.circuits.map((circuit) => ({
      text: `${circuit.target ?? "(none)"}: ${(circuit.state ?? "unknown").replace("_", " ")}`,
      tone: { closed: "good", half_open: "warn", open: "bad" }[circuit.state] ?? "",
      since: circuit.at,
    })),
    also: (data) => data.changes.length && {
      caption: "Changes of circuits",
      columns: [["When", (row) => stamp(row.at)], ["Target", (row) => row.target ?? "(none)"], ["State", (row) => (row.state ?? "unknown").replace("_", " ")]],
      rows: data.changes,
    },
  },
];

// Of fewer nothing is said, as by the alerts: one of two is no rate.
const LEAST = 20;

/** The tiles on top: figure, target, and whether it is met: null for no figure, "few" for few. */
export function tiles({ groups: [{ totals: t }], targets }) {
  const hits = share(t.hits ?? 0, sum(t.hits, t.misses));
  const passes = share(t.passed ?? 0, sum(t.passed, t.refused));
  const quick = share(t.quick ?? 0, t.count);
  const incidents = t.incidents ?? 0;
  const met = (value, of, holds) =>
    value === null || value === undefined ? null : of < LEAST ? "few" : holds(value);
  return [
    {
      id: "chat", name: "Chat, p95", figure: told(t.p95 ?? null, "ms"), target: `under ${targets.chat_p95_ms / 1000} s`,
      met: met(t.p95, t.count, (p95) => p95 < targets.chat_p95_ms),
      note: quick === null ? "no run was answered" : `${told(quick, "%")} of ${told(t.count, "1")} answered runs`, panel: "success",
    },
    {
      id: "hits", name: "Cache hit rate", figure: told(hits, "%"), target: `over ${100 * targets.hit_rate} %`,
      met: met(hits, sum(t.hits, t.misses), (rate) => rate > 100 * targets.hit_rate),
      note: hits === null ? "nothing was looked up" : `${told(t.hits, "1")} of ${told(sum(t.hits, t.misses), "1")} calls`, panel: "cache",
    },
    {
      id: "passes", name: "Gate pass rate", figure: told(passes, "%"), target: `over ${100 * targets.gate_pass_rate} %`,
      met: met(passes, sum(t.passed, t.refused), (rate) => rate > 100 * targets.gate_pass_rate),
      note: passes === null ? "no gate has decided" : `${told(t.passed, "1")} of ${told(sum(t.passed, t.refused), "1")} decisions`, panel: "gates",
    },
    {
      id: "incidents", name: "Incidents", figure: told(incidents, "1"), target: "none",
      met: t.runs || incidents ? incidents <= targets.incidents : null,
      note: "runs that failed though nothing refused them, and tools that no gate cleared", panel: "incidents",
    },
    {
      id: "cost", name: "Cost per run", figure: t.runs ? told((t.cost ?? 0) / NANO / t.runs, "$") : "–", target: null, met: null,
      note: t.runs ? `${told((t.cost ?? 0) / NANO, "$")} in ${told(t.runs, "1")} runs` : "no run has ended", panel: "usage",
    },
  ];
}
