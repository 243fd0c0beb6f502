// Behind a figure: its runs, and one run's waterfall.

import { get } from "./api.js";
import { moment, stamp, table, told } from "./board-charts.js";
import { byId, chip, el, tame } from "./dom.js";

const NANO = 1e9;
const KINDS = [["run", "run"], ["call", "call of a model"], ["attempt", "request"], ["tool", "tool"], ["gate", "gate"], ["guard", "guard"]];
const KIND = { invoke_agent: "run", invoke_workflow: "run", execute_tool: "tool" };
const TONES = { answered: "good", failed: "bad", left: "warn" };

let asked = null;
let asking = new AbortController();

function show(title, ...inside) {
  byId("drill-title").textContent = title;
  byId("drill-body").replaceChildren(...inside);
  byId("drill-body").scrollTop = 0;
  if (!byId("drill").open) byId("drill").showModal();
  byId("drill-title").focus();
}

async function answer(path, needs = "dashboard:read") {
  asking.abort();
  asking = new AbortController();
  try {
    return await get(path, { needs, signal: asking.signal });
  } catch (error) {
    if (error.name === "AbortError") return null;
    byId("drill-body").replaceChildren(el("p.notice.bad", { role: "alert" }, error.message));
    return null;
  }
}

/** Show the runs behind a figure: `query` as the route takes it. */
export async function openRuns(title, query) {
  asked = { title, query };
  byId("drill-back").hidden = true;
  show(title, el("p.dim", {}, "Loading…"));
  const found = await answer(`/portkey/api/runs?${query}`);
  if (!found) return;
  if (!found.runs.length) {
    show(title, el("p.notice", {}, "There are no runs behind this figure. Choose a point where there is something."));
    return;
  }
  show(title, table(
    found.more ? `The first ${found.runs.length}; choose less time to see others.` : `${found.runs.length} of them.`,
    [
      ["Run", (run) => tame(run.role ?? run.swarm ?? "(call without a run)")],
      ["Begun", (run) => moment(run.at, 1000)],
      ["Took", (run) => told(run.ms, "ms")],
      ["Outcome", (run) => chip(run.outcome ?? "no run", TONES[run.outcome] ?? "")],
      ["Errors", (run) => told(run.errors, "1")],
      ["Tokens", (run) => told(run.tokens, "1")],
      ["Cost", (run) => told(run.cost / NANO, "$")],
    ],
    found.runs,
    (run) => openRun(run.trace_id),
    "Waterfall",
  ));
}

/** Show one run: its spans, each below the one that it is part of, on the time that they took. */
export async function openRun(id) {
  byId("drill-back").hidden = asked === null;
  show("Run", el("p.dim", {}, "Loading…"));
  const run = await answer(`/portkey/api/runs/${encodeURIComponent(id)}`);
  if (!run) return;
  const head = el("div.run-head", {},
    el("span", {}, "Trace ", el("code", {}, tame(run.trace_id))),
    el("span", {}, `Begun ${stamp(run.at)}`),
    el("span", {}, `Took ${told(run.ms, "ms")}`),
    el("span", {}, `${run.spans.length} spans${run.more ? ", and others that are not shown" : ""}`),
  );
  const legend = el("div.legend", { "aria-hidden": "true" },
    ...KINDS.map(([kind, name]) => el(`span.k-${kind}`, {}, el("span.mark"), name)),
  );
  const list = el("ol.spans", { "aria-label": "Spans" }, ...run.spans.map((span) => row(span, run.ms)));
  show(tame(run.spans[0].name), head, legend, list);
}

function row(span, whole) {
  const kind = KIND[span.kind] ?? span.kind;
  const known = KINDS.some(([name]) => name === kind) ? `.k-${kind}` : "";
  const bar = el("span.bar");
  const left = whole ? (100 * span.start) / whole : 0;
  const width = whole ? (100 * span.ms) / whole : 0;
  bar.style.left = `${Math.min(99.5, left)}%`;
  bar.style.width = `${Math.min(100 - left, width)}%`;
  const facts = el("span.facts", {}, span.facts.map(tame).join(", "));
  // Words stand behind their bar where there is room, else before it.
  if (left + width < 70) facts.style.marginLeft = `${left + width}%`;
  else facts.style.marginRight = `${100 - left}%`;
  const label = el("span.label", {}, el("span.mark"), el("span.name", {}, tame(span.name)), span.failed && el("span.unseen", {}, "failed"));
  label.style.paddingLeft = `${Math.min(span.depth, 12) * 14}px`;
  return el(`li.span${known}${span.failed ? ".failed" : ""}`, { "data-id": span.id }, label, el("span.ms", {}, told(span.ms, "ms")), el("span.lane", {}, bar, facts));
}

byId("drill-close").addEventListener("click", () => byId("drill").close());
byId("drill").addEventListener("close", () => asking.abort());
byId("drill-back").addEventListener("click", () => openRuns(asked.title, asked.query));
