// What waits for a person, and the kill switch.

import { bar, barred, get, post } from "./api.js";
import { answered } from "./asking.js";
import { announce, byId, chip, el, short } from "./dom.js";

const EVERY = 8_000;
const until = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export class Desk {
  /** `again(gate)` asks for what was approved once more; it says whether that was sent. */
  constructor({ again }) {
    this.again = again;
    this.who = null;
    this.swarm = null;
    this.shown = "";
    this.stops = "";
    this.approved = new Map();
    setInterval(() => document.hidden || this.refresh(), EVERY);
  }

  /** Who asks; which swarm is talked to. */
  set(who, swarm) {
    this.who = who;
    this.swarm = swarm;
    this.shown = this.stops = "";
    byId("open").hidden = !who || who.authorization;
    return this.refresh();
  }

  async refresh() {
    if (!this.who) return;
    await Promise.all([this.#waiting(), this.#swarms()]);
  }

  async #waiting() {
    const box = byId("waiting");
    const why = barred(this.who, "gates:read");
    if (why) {
      this.shown = "";
      box.replaceChildren(el("p.dim.small", {}, why));
      return;
    }
    let gates;
    try {
      ({ gates } = await get("/gates", { needs: "gates:read" }));
    } catch (error) {
      if (!error.passing) box.replaceChildren(el("p.dim.small", {}, error.message));
      return;
    }
    // What is there stays, and with it the focus.
    const state = JSON.stringify([gates, [...this.approved.keys()]]);
    if (state === this.shown) return;
    this.shown = state;
    byId("show-desk").textContent = gates.length ? `Approvals (${gates.length})` : "Approvals";
    byId("show-desk").classList.toggle("waits", gates.length > 0);
    box.replaceChildren(
      ...[...this.approved.values()].map((gate) => this.#go(gate)),
      ...gates.slice(0, 50).map((gate) => this.#card(gate)),
    );
    if (!box.childElementCount) box.append(el("p.dim.small", {}, "Nothing waits for you."));
  }

  #card(gate) {
    const act = gate.passed ? "Approve" : "Override";
    const yes = el("button.primary", { type: "button", id: `yes-${gate.id}` }, `${act}…`);
    const no = el("button.danger", { type: "button", id: `no-${gate.id}` }, "Revoke…");
    yes.addEventListener("click", () => this.#decide(yes, gate, true));
    no.addEventListener("click", () => this.#decide(no, gate, false));
    const planned = Array.isArray(gate.plan?.steps) ? gate.plan.steps : [];
    const steps = planned.slice(0, 20).map((step) =>
      el("li", { dir: "auto" }, short(step?.action, 160)),
    );
    const card = el(
      "section.panel.waits",
      { "aria-label": `Plan of ${short(gate.swarm ?? gate.gate, 80)}`, "data-gate": gate.id },
      el(
        "div.head",
        {},
        el("strong", {}, short(gate.swarm ?? gate.gate, 60)),
        gate.passed ? chip("the gate passed it", "good") : chip("the gate refused it", "bad"),
      ),
      el("p.goal", { dir: "auto" }, short(gate.plan?.goal, 200)),
      el("ol.small.dim.steps", {}, ...steps),
      el("p.small.dim", {}, lasts(gate.expires_at)),
      el("div.row", {}, el("span", {}, yes), el("span", {}, no)),
    );
    const override = gate.passed ? "" : barred(this.who, "gates:override");
    bar(yes, barred(this.who, "gates:approve") || override);
    bar(no, barred(this.who, "gates:approve"));
    return card;
  }

  #go(gate) {
    const go = el("button.primary", { type: "button" }, "Run it now");
    go.addEventListener("click", () => {
      if (go.getAttribute("aria-disabled") === "true") return;
      if (!this.again(gate)) {
        announce("Another run goes on: run it once that is over");
        return;
      }
      this.approved.delete(gate.id);
      this.shown = "";
      this.refresh();
    });
    const made = el(
      "section.panel.waits",
      { "aria-label": "Approved" },
      el("div.head", {}, el("strong", {}, short(gate.plan?.goal, 120)), chip("approved", "good")),
      el("p.small.dim", {}, "It runs once the same is asked again."),
      el("div.row", {}, el("span", {}, go)),
    );
    // Asked of anybody else, it would be another request.
    const its = !gate.swarm || fold(gate.swarm) === fold(this.swarm ?? "");
    bar(go, its ? "" : `Pick ${short(gate.swarm, 60)} first.`);
    return made;
  }

  async #decide(button, gate, yes) {
    if (button.getAttribute("aria-disabled") === "true") return;
    const override = yes && !gate.passed;
    const reason = await answered({
      title: override ? "Override the gate" : yes ? "Approve the plan" : "Revoke the plan",
      text: short(gate.plan?.goal, 200),
      label: override || !yes ? "Reason (needed)" : "Reason",
      yes: override ? "Override" : yes ? "Approve" : "Revoke",
      needed: override || !yes,
      bad: override || !yes,
    });
    if (reason === null) return;
    const path = `/gates/${encodeURIComponent(gate.id)}/${yes ? "approve" : "revoke"}`;
    const needs = override ? "gates:approve and gates:override" : "gates:approve";
    await this.#act(byId("waiting"), async () => {
      await post(path, reason ? { reason } : {}, { needs });
      announce(yes ? "Approved" : "Revoked");
      if (yes) this.approved.set(gate.id, gate);
    });
    byId("desk-title").focus();
  }

  async #swarms() {
    const box = byId("swarms");
    const why = barred(this.who, "dashboard:read");
    let stops = [];
    if (!why) {
      try {
        ({ stops } = await get("/swarm/stops", { needs: "dashboard:read" }));
      } catch (error) {
        if (error.passing) return;
        box.replaceChildren(el("p.dim.small", {}, error.message));
        return;
      }
    }
    const state = JSON.stringify([stops, this.swarm, why, this.who.may]);
    if (state === this.stops) return;
    this.stops = state;
    const names = new Set([this.swarm, ...stops.map((each) => each.swarm)].filter(Boolean));
    box.replaceChildren(
      ...[...names].map((name) => {
        const its = stops.find((each) => fold(each.swarm) === fold(name));
        return this.#swarm(name, its, why);
      }),
    );
  }

  #swarm(name, stop, unread) {
    const title = name === "*" ? "All swarms" : short(name, 60);
    const button = stop
      ? el("button", { type: "button", id: `resume-${name}` }, "Let it go on…")
      : el("button.danger", { type: "button", id: `stop-${name}` }, "Stop the swarm…");
    button.addEventListener("click", () => this.#switch(button, name, !stop));
    const state = stop ? chip("stopped", "bad") : unread ? chip("state not shown") : chip("on", "good");
    const made = el(
      "section.panel.swarm",
      { "aria-label": title, "data-swarm": name },
      el("div.head", {}, el("strong", {}, title), state),
      stop
        ? el("p.small", { dir: "auto" }, told(stop))
        : unread
          ? el("p.small.dim", {}, unread)
          : null,
      el("div.row", {}, el("span", {}, button)),
    );
    bar(button, barred(this.who, "swarm:stop"));
    return made;
  }

  async #switch(button, swarm, stop) {
    if (button.getAttribute("aria-disabled") === "true") return;
    const reason = await answered({
      title: stop ? `Stop ${short(swarm, 80)}` : `Let ${short(swarm, 80)} go on`,
      text: stop
        ? "Nothing of it runs until somebody lets it go on: its runs end before their next call."
        : "What is asked from now on runs again.",
      label: stop ? "Reason (needed)" : "Reason",
      yes: stop ? "Stop it" : "Let it go on",
      needed: stop,
      bad: stop,
    });
    if (reason === null) return;
    await this.#act(byId("swarms"), async () => {
      const body = reason ? { swarm, reason } : { swarm };
      await post(stop ? "/swarm/stop" : "/swarm/resume", body, { needs: "swarm:stop" });
      announce(stop ? `${swarm} is stopped` : `${swarm} goes on`);
    });
    byId("desk-title").focus();
  }

  async #act(box, action) {
    try {
      await action();
    } catch (error) {
      box.prepend(el("p.notice.bad.small", { role: "alert" }, error.message));
      return;
    }
    this.shown = this.stops = "";
    await this.refresh();
  }
}

function lasts(said) {
  const at = new Date(said);
  return Number.isNaN(at.getTime()) ? "" : `until ${until.format(at)}`;
}

/** Who stopped it and why; a command may have left out either. */
const told = (stop) => [short(stop.by, 60), short(stop.reason, 300)].filter(Boolean).join(": ");

const fold = (name) => String(name).trim().toLowerCase();
