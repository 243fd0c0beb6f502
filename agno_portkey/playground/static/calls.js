// What calls took: their routes, tokens, cost and time, of one speaker or of a whole run.

import { chip, count, dollars, el, lasting, short } from "./dom.js";

const MOST = 50;

/** The routes of one speaker's calls: the newest in a line, the others behind it. */
export class Routes {
  constructor() {
    this.line = el("summary", {});
    this.list = el("ul", {});
    this.box = el("details.routes.small.dim", { hidden: true }, this.line, this.list);
    this.calls = this.tokens = this.cost = this.seconds = 0;
    this.attempt = null;
  }

  attempted(data) {
    this.attempt = data;
  }

  called(data) {
    const route = routed(data, this.attempt);
    this.attempt = null;
    this.calls += 1;
    this.tokens += (data.input_tokens || 0) + (data.output_tokens || 0);
    this.cost += Number(data.cost) || 0;
    this.seconds += Number(data.seconds) || 0;
    this.box.hidden = false;
    const facts = [
      short(route.where, 80),
      this.calls > 1 ? count(this.calls, "call") : "",
      this.tokens ? count(this.tokens, "token") : "",
      this.cost ? dollars(this.cost) : "",
      lasting(this.seconds),
    ];
    this.line.replaceChildren(
      el("span.figures", {}, facts.filter(Boolean).join(" · ")),
      ...route.marks.map((mark) => mark.cloneNode(true)),
    );
    if (this.calls > MOST) return;
    this.list.append(el("li.figures", {}, route.text, " ", ...route.marks));
  }
}

function routed(data, attempt) {
  const target = data.target ?? attempt?.target;
  const provider = data.provider ?? attempt?.provider;
  const where = [provider, target, data.model].filter(Boolean).map((each) => short(each, 60));
  const facts = [
    [...new Set(where)].join(" → "),
    data.attempts > 1 ? count(data.attempts, "attempt") : "1 attempt",
    data.input_tokens >= 0 ? `${data.input_tokens} in, ${data.output_tokens ?? 0} out` : "",
    data.cost > 0 ? dollars(data.cost) : "",
    lasting(data.seconds),
  ];
  const marks = [];
  const cached = String(data.cache_status ?? "").toLowerCase();
  if (cached.includes("hit")) marks.push(chip("gateway cache hit", "good"));
  if (data.attempts > 1) marks.push(chip(`${data.attempts} attempts`, "warn"));
  if (data.error) marks.push(chip(`failed${data.status ? ` (${data.status})` : ""}`, "bad"));
  if (data.cancelled) marks.push(chip("cancelled"));
  return { where: [...new Set(where)].join(" → "), text: facts.filter(Boolean).join(" · "), marks };
}

/** What a run came to. */
export class Totals {
  constructor() {
    this.tokens = this.cost = this.hits = 0;
    this.told = false;
    this.rate = null;
  }

  called(data) {
    this.told = true;
    this.tokens += (data.input_tokens || 0) + (data.output_tokens || 0);
    this.cost += Number(data.cost) || 0;
    if (data.output_tokens > 0 && data.seconds > 0) this.rate = data.output_tokens / data.seconds;
  }

  /** What Agno says of one run, where nobody tells of calls. */
  measured(metrics) {
    if (!this.told) this.tokens += metrics?.total_tokens || 0;
  }

  text(seconds) {
    return [
      this.tokens ? count(this.tokens, "token") : "",
      this.cost ? dollars(this.cost) : "",
      this.hits ? count(this.hits, "cache hit") : "",
      lasting(seconds),
    ]
      .filter(Boolean)
      .join(" · ");
  }
}

/** Tokens a second of what streams at this moment, by its letters. */
export class Pace {
  constructor() {
    this.seen = [];
  }

  add(letters, now = performance.now()) {
    this.seen.push([now, letters]);
    while (this.seen.length && now - this.seen[0][0] > 3000) this.seen.shift();
  }

  get rate() {
    if (this.seen.length < 3) return null;
    const took = (performance.now() - this.seen[0][0]) / 1000;
    const letters = this.seen.reduce((sum, [, each]) => sum + each, 0);
    return took > 0.3 && took < 4 ? letters / 4 / took : null;
  }
}
