// One turn of the talk: what was asked, and from the run's events what became of it.

import { Pace, Totals } from "./calls.js";
import { announce, chip, el, short } from "./dom.js";
import { Guarded, gatePiece, handedIn, refusalPiece, ruled } from "./pieces.js";
import { STATES, Speaker, handsIn, said, set } from "./speaker.js";
import { written } from "./text.js";

export class Turn {
  /** `ask` is what the user said; `desk()` goes to the approvals; `changed(turn)` hears of news. */
  constructor({ ask, name, desk = () => {}, changed = () => {} }) {
    this.desk = desk;
    this.changed = changed;
    this.ask = ask;
    this.state = "running";
    this.progress = { stage: "Sent", member: name, step: 0, of: 0 };
    this.totals = new Totals();
    this.pace = new Pace();
    this.speakers = new Map();
    this.plan = null;
    this.began = Date.now() / 1000;
    this.#make(name);
  }

  #make(name) {
    this.title = el("strong", {}, short(name, 80));
    this.mark = chip("Running", "accent");
    this.figures = el("span.dim.small.figures");
    this.list = el("ol.parts", { role: "list" });
    this.chips = el("div.chips", { hidden: true, role: "group", "aria-label": "Redactions" });
    this.guarded = new Guarded(this.chips);
    this.leader = new Speaker(name, this.list, null);
    this.box = el(
      "article.turn",
      { "aria-label": `Run of ${short(name, 80)}`, "data-state": "running" },
      this.ask === null ? null : el("div.asked", {}, el("span.unseen", {}, "You: "), written(this.ask)),
      el(
        "section.run",
        {},
        el("header.head", {}, this.title, this.mark, this.figures),
        this.chips,
        this.list,
        this.leader.routes.box,
      ),
    );
  }

  /** Take in one event of the run's stream. */
  heard(event) {
    if (event.run_id && !this.run) this.run = event.run_id;
    if (event.created_at && !this.first) this.began = this.first = event.created_at;
    if (event.event === "CustomEvent") {
      if (event.source === "agno_portkey") this.#told(event);
      return;
    }
    const kind = String(event.event).replace(/^Team/, "");
    this[`on${kind}`]?.(event, this.#speaker(event));
  }

  #speaker(event) {
    if (!event.run_id || (!event.parent_run_id && event.run_id === this.run)) return this.leader;
    const known = this.speakers.get(event.run_id);
    if (known) return known;
    const parent = this.speakers.get(event.parent_run_id) ?? this.leader;
    const name = short(event.agent_name ?? event.team_name ?? "Member", 80);
    const made = Speaker.member(name, parent);
    this.speakers.set(event.run_id, made);
    this.#stage("Working", name);
    announce(`${name} is working`);
    return made;
  }

  #stage(stage, member = this.progress.member) {
    Object.assign(this.progress, { stage, member });
    this.changed(this);
  }

  onRunStarted(event, speaker) {
    this.#stage(speaker === this.leader ? "Thinking" : "Working", speaker.name);
  }

  onModelRequestStarted(event, speaker) {
    this.#stage("Asking the model", speaker.name);
  }

  onRunContent(event, speaker) {
    if (typeof event.content === "string" && !handsIn(event)) {
      if (!event.content) return;
      speaker.say(event.content);
      this.pace.add(event.content.length);
      this.#stage("Writing", speaker.name);
    } else if (event.content) this.#handed(event, speaker);
  }

  onRunIntermediateContent(event, speaker) {
    this.onRunContent(event, speaker);
  }

  #handed(event, speaker) {
    const made = handedIn(event.content, event.content_type);
    if (!made) {
      speaker.say(String(event.content));
      return;
    }
    speaker.streamed += 1;
    speaker.part(el("li", {}, made.box));
    if (event.content_type !== "Plan") return;
    this.plan?.replace();
    this.plan = made;
    Object.assign(this.progress, { step: 0, of: made.steps });
  }

  onToolCallStarted(event, speaker) {
    const { tool_name: name, tool_args: given, tool_call_id: id } = event.tool ?? {};
    speaker.rest();
    if (String(name).startsWith("delegate_task_to_member")) {
      const task = el("span", { dir: "auto" }, short(given?.task, 140));
      const whom = el("span.whom", {}, `asks ${short(given?.member_id ?? "the members", 60)}`);
      speaker.part(el("li.asks.small.dim", {}, whom, " ", task));
      return;
    }
    const mark = chip("running", "accent");
    const call = el("code", {}, `${short(name, 60)}(${short(said(given), 160)})`);
    speaker.part(el("li.tool.small", { "data-tool": id }, call, " ", mark));
    (this.tools ??= new Map()).set(id, mark);
    this.#stage(`Using ${short(name, 40)}`, speaker.name);
  }

  onToolCallCompleted(event) {
    const mark = this.tools?.get(event.tool?.tool_call_id);
    if (!mark || !event.tool) return;
    const failed = event.tool.tool_call_error;
    mark.className = `chip ${failed ? "bad" : "good"}`;
    mark.textContent = failed ? "failed" : "done";
    const result = short(event.tool.result, 240);
    if (result) mark.after(el("span.dim.result", { dir: "auto" }, ` ${result}`));
  }

  onToolCallError(event) {
    this.onToolCallCompleted({ tool: { ...event.tool, tool_call_error: true } });
  }

  onRunCompleted(event, speaker) {
    // What did not stream is told at the end.
    if (this.state !== "stopped" && !speaker.streamed && event.content) this.onRunContent(event, speaker);
    speaker.rest();
    this.totals.measured(event.metrics);
    if (!speaker.head) this.end("completed", event);
    else if (speaker.head.textContent === "Working") set(speaker.head, "good", "Done");
  }

  onRunError(event, speaker) {
    const words = short(event.content || event.error || "It failed, and does not say why.", 2000);
    speaker.rest();
    if (speaker.head) {
      const gated = /may not run/.test(words);
      if (gated && this.gate === "waiting") set(speaker.head, "warn", "Waiting");
      else set(speaker.head, "bad", gated ? "Refused" : "Failed");
      if (!gated) speaker.part(el("li", {}, refusalPiece("It failed", [words])));
      return;
    }
    // A run that was declined says so twice: its reasons are there already.
    if (this.declined) this.end(this.declined, event);
    else {
      const refused = event.error_type?.endsWith("_check_error");
      this.list.append(el("li", {}, refusalPiece(refused ? "Refused" : "The run failed", [words])));
      this.end(refused ? "declined" : "failed", event);
      announce(words);
    }
  }

  onRunCancelled(event, speaker) {
    speaker.rest();
    if (speaker.head) set(speaker.head, "warn", "Stopped");
    else this.end("stopped", event);
  }

  onRunPaused(event, speaker) {
    if (!speaker.head) this.end("paused", event);
  }

  /** What our observers heard of. */
  #told(event) {
    const data = event.data ?? {};
    const speaker = this.speakers.get(event.of_run) ?? this.leader;
    if (event.left_out) {
      const words = `${event.left_out} events before this were left out`;
      this.leader.part(el("li.small", {}, chip(words, "warn")));
    }
    if (event.kind === "call") this.#called(data, speaker);
    else if (event.kind === "attempt") speaker.routes.attempted(data);
    else if (event.kind === "cache" && ["hit", "near", "shared"].includes(data.outcome)) {
      this.totals.hits += 1;
      speaker.part(el("li.small", {}, chip(`answered from the cache (${data.outcome})`, "good")));
    } else if (event.kind === "guard") {
      const news = this.guarded.heard(event);
      if (news) announce(news);
    } else if (event.kind === "gate") this.#gate(event);
    else if (event.kind === "tool") this.#tool(event);
    else if (event.kind === "declined") this.#declined(event);
    else if (["stop", "budget", "limit", "circuit"].includes(event.kind)) this.#held(event);
    this.changed(this);
  }

  #called(data, speaker) {
    this.totals.called(data);
    speaker.routes.called(data);
    this.figure();
  }

  #gate(event) {
    const { state, reasons } = ruled(event);
    // It stands before whom it lets through, or does not.
    const before = [...this.speakers.values()].findLast((each) => each.name === event.role);
    const made = gatePiece(event, this.desk);
    if (before?.head.textContent === "Working" && !before.streamed) before.box.before(made);
    else this.leader.part(made);
    this.#stage(`Gate ${state}`, event.role ?? this.progress.member);
    announce(`Gate ${state}. ${state === "passed" ? "" : reasons.join("; ")}`);
    this.gate = state;
  }

  #tool(event) {
    if (event.data?.step && !(event.verdict && !event.verdict.passed)) {
      this.plan?.done(event.data.step);
      this.progress.step = Math.max(this.progress.step, event.data.step);
      announce(`Step ${event.data.step} done`);
      return;
    }
    const why = event.verdict?.reasons ?? [];
    this.leader.part(el("li", {}, refusalPiece(`Tool ${short(event.data?.tool, 60)} refused`, why)));
  }

  #declined(event) {
    const reasons = event.verdict?.reasons ?? [];
    const waits = ruled(event).state === "waiting";
    this.declined = waits ? "waiting" : "declined";
    const piece = waits
      ? refusalPiece("Not run yet", ["Approve the plan, then ask the same again."], "warn")
      : refusalPiece("Declined: the Runner did not run", reasons);
    this.leader.part(el("li.declined", {}, piece));
    announce(waits ? "The plan waits for an approval" : `Declined: ${reasons.join("; ")}`);
  }

  #held(event) {
    if (event.kind === "circuit") {
      const { target, state, reason } = event.data ?? {};
      const words = `Circuit of ${short(target, 60)}: ${short(state, 20)} ${short(reason, 120)}`;
      this.leader.part(el("li.small", {}, chip(words, state === "closed" ? "good" : "warn")));
      return;
    }
    const title = { stop: "The swarm is stopped", budget: "The budget is spent", limit: "Not allowed this model" };
    const watched = event.data?.mode && event.data.mode !== "enforce";
    const tone = watched ? "warn" : "bad";
    const reasons = event.verdict?.reasons ?? [];
    const key = `${event.kind}${reasons.join()}`;
    if (this.heldFor === key) return; // each of several calls is refused for the same
    this.heldFor = key;
    this.leader.part(el("li", {}, refusalPiece(title[event.kind], reasons, tone)));
  }

  /** Tell what the run has taken so far. */
  figure() {
    this.figures.textContent = this.totals.text(this.lasted ?? Date.now() / 1000 - this.began);
  }

  become(state) {
    this.state = state;
    this.box.dataset.state = state;
    set(this.mark, ...STATES[state]);
  }

  /** It is over. */
  end(state, event = {}) {
    // Agno says of a run that was cancelled that it is completed, behind it.
    if (!["running", "stopping"].includes(this.state)) return;
    this.leader.rest();
    for (const each of this.speakers.values()) {
      each.rest();
      if (each.head.textContent === "Working") set(each.head, "", STATES[state][1]);
    }
    const ended = event.created_at ?? Date.now() / 1000;
    this.lasted = event.metrics?.duration ?? Math.max(0, ended - this.began);
    this.become(state);
    this.figure();
    this.#stage(STATES[state][1]);
    announce(`${short(this.leader.name, 80)}: ${STATES[state][1]}`);
  }
}
