// What members hand in, and what gates and guards decide, as elements.

import { chip, el, short, tame } from "./dom.js";
import { written } from "./text.js";

// As many of a list as a reader wants; what a model hands in may have any length.
const MOST = 100;

const listed = (value) => (Array.isArray(value) ? value : []);

function items(values, made) {
  const shown = listed(values).slice(0, MOST).map(made);
  const left = listed(values).length - shown.length;
  if (left > 0) shown.push(el("li.dim", {}, `and ${left} more`));
  return shown;
}

const line = (said, length = 2000) => short(said, length);
// A model may say any name, also one that every object has.
const tone = (tones, name) => tones.get(name) ?? "";

/** A plan as a checklist: `done(step)` ticks, `replace()` says that another took its place. */
export function planPiece(plan) {
  const steps = items(plan.steps, (told, at) => {
    const step = told ?? {};
    const inputs = listed(step.inputs)
      .map((each) => `${line(each?.name, 40)}: ${line(each?.value, 80)}`)
      .join(", ");
    return el(
      "li.step",
      { "data-step": at + 1 },
      el("span.tick", { "aria-hidden": "true" }),
      el(
        "div.what",
        { dir: "auto" },
        line(step.action),
        step.tool && el("code.call", {}, `${line(step.tool, 60)}(${inputs})`),
        step.risk && step.risk !== "low" && chip(`${line(step.risk, 20)} risk`, "warn"),
        el("span.unseen.state", {}, " – to do"),
      ),
    );
  });
  const tag = chip("Replaced");
  tag.hidden = true;
  const box = el(
    "section.piece.plan",
    { "aria-label": "Plan" },
    el("h3", {}, el("span.kind", {}, "Plan"), el("span", { dir: "auto" }, line(plan.goal, 300)), tag),
    el("ol.checklist", {}, ...steps),
  );
  return {
    box,
    steps: listed(plan.steps).length,
    done(step) {
      const item = steps[step - 1];
      if (!item || item.classList.contains("done")) return;
      item.classList.add("done");
      const state = item.querySelector(".state");
      if (state) state.textContent = " – done";
    },
    replace() {
      box.classList.add("replaced");
      tag.hidden = false;
    },
  };
}

const SEVERITY = new Map([["blocking", "bad"], ["major", "warn"]]);

export function critiquePiece(critique) {
  const issues = items(critique.issues, (issue) =>
    el(
      "li",
      { dir: "auto" },
      chip(line(issue?.severity, 20), tone(SEVERITY, issue?.severity)),
      issue?.step ? el("span.dim", {}, ` step ${Number(issue.step)} `) : " ",
      line(issue?.description),
    ),
  );
  const missing = items(critique.missing_evidence, (each) =>
    el("li", { dir: "auto" }, chip("evidence missing", "warn"), " ", line(each)),
  );
  const all = [...issues, ...missing];
  return el(
    "section.piece.critique",
    { "aria-label": "Critique" },
    el(
      "h3",
      {},
      el("span.kind", {}, "Critique"),
      el("span", { dir: "auto" }, line(critique.summary || "No summary.", 600)),
    ),
    all.length ? el("ul.issues", {}, ...all) : el("p.dim.small", {}, "No issues."),
  );
}

const DECISION = new Map([["approve", "good"], ["reject", "bad"], ["revise", "warn"]]);

export function judgementPiece(judgement) {
  const score = Number(judgement.score);
  const criteria = items(judgement.criteria, (each) =>
    el("li", { dir: "auto" }, `${line(each?.name, 80)}: ${Number(each?.score)} – ${line(each?.reason)}`),
  );
  const more = [
    ...items(judgement.reasons, (each) => el("li", { dir: "auto" }, line(each))),
    ...items(judgement.conditions, (each) =>
      el("li", { dir: "auto" }, chip("condition"), " ", line(each)),
    ),
    ...criteria,
  ];
  return el(
    "section.piece.judgement",
    { "aria-label": "Judgement" },
    el(
      "h3",
      {},
      el("span.kind", {}, "Judgement"),
      chip(line(judgement.decision, 20), tone(DECISION, judgement.decision)),
      el(
        "span.score.figures",
        {},
        el("meter", { min: 0, max: 10, low: 5, high: 8, optimum: 10, value: score || 0, "aria-hidden": "true" }),
        `${score} of 10`,
      ),
    ),
    more.length ? el("ul.reasons", {}, ...more) : null,
  );
}

const WAITS = /^a person has to approve this plan/;
const ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

/** The state of a gate: passed, waiting or refused; which clearance waits. */
export function ruled(event) {
  const reasons = listed(event.verdict?.reasons).map(String);
  const waits = event.data?.waiting === true || reasons.some((each) => WAITS.test(each));
  const state = event.verdict?.passed ? "passed" : waits ? "waiting" : "refused";
  const clearance = event.data?.clearance ?? (waits && ID.exec(reasons.join(" "))?.[0]) ?? null;
  return { state, reasons, clearance: clearance || null };
}

const RULED = {
  passed: ["good", "Passed"],
  waiting: ["warn", "Waiting for a person"],
  refused: ["bad", "Refused"],
};

export function gatePiece(event, toDesk) {
  const { state, reasons, clearance } = ruled(event);
  const [tone, said] = RULED[state];
  const watched = event.data?.mode && event.data.mode !== "enforce";
  const shown = state === "waiting" ? ["The plan is ready. Somebody has to approve it first."] : reasons;
  return el(
    `li.gate.${state}`,
    { "data-gate": state, "data-clearance": clearance },
    el(
      "div.head",
      {},
      el("span.mark", { "aria-hidden": "true" }, { passed: "✓", waiting: "…", refused: "✕" }[state]),
      el("strong", {}, `Gate ${line(event.verdict?.source ?? "", 60)}`.trim()),
      chip(said, tone),
      watched ? chip(`only observed (${line(event.data.mode, 20)})`) : null,
    ),
    shown.length
      ? el("ul.reasons", {}, ...items(shown, (each) => el("li", { dir: "auto" }, line(each))))
      : null,
    state === "waiting" ? el("button", { type: "button", onclick: toDesk }, "Go to approvals") : null,
  );
}

/** What guards did, as chips: one for each kind of it, counted. */
export class Guarded {
  constructor(box) {
    this.box = box;
    this.chips = new Map();
  }

  heard(event) {
    const { side, rewritten } = event.data ?? {};
    const blocked = event.verdict && !event.verdict.passed;
    if (!blocked && !rewritten) return null;
    const what = blocked ? "blocked" : "rewritten";
    const why = listed(event.verdict?.reasons).map((each) => line(each, 200)).join("; ");
    const who = line(event.role || "", 40);
    const name = line(event.verdict?.source || "guard", 40);
    const key = [who, side, what, name].join("\n");
    let held = this.chips.get(key);
    if (!held) {
      if (this.chips.size >= MOST) return null;
      held = { box: chip("", blocked ? "bad" : "warn"), times: 0 };
      held.box.classList.add("guard");
      this.chips.set(key, held);
      this.box.append(held.box);
      this.box.hidden = false;
    }
    held.times += 1;
    const times = held.times > 1 ? ` ×${held.times}` : "";
    held.box.textContent = `${who} ${side ?? ""}: ${what} by ${name}${times}`;
    held.box.title = why;
    if (why) held.box.append(el("span.grounds", {}, ` – ${why}`));
    return held.times === 1 ? `${who} ${side ?? ""} ${what} by ${name}` : null;
  }
}

/** Something that went wrong or was refused, with every reason. */
export function refusalPiece(title, reasons, tone = "bad") {
  return el(
    `div.notice.${tone}`,
    {},
    el("strong", {}, title),
    el("ul.reasons", {}, ...items(reasons, (each) => el("li", { dir: "auto" }, line(each)))),
  );
}

/** What a member handed in: a plan, a critique, a judgement, else its text. */
export function handedIn(content, kind) {
  let value = content;
  if (typeof value === "string" && PIECES.has(kind)) {
    try {
      value = JSON.parse(value);
    } catch {
      return null;
    }
  }
  if (value === null || typeof value !== "object") return null;
  const made = PIECES.get(kind)?.(value);
  if (made) return made;
  const said = JSON.stringify(value, null, 2) ?? "";
  return { box: written(`\`\`\`json\n${tame(said)}\n\`\`\``) };
}

const PIECES = new Map([
  ["Plan", planPiece],
  ["Critique", (value) => ({ box: critiquePiece(value) })],
  ["Judgement", (value) => ({ box: judgementPiece(value) })],
]);
