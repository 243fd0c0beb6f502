// Who speaks in a run, and in which state it is.

import { Routes } from "./calls.js";
import { chip, el } from "./dom.js";
import { Text } from "./text.js";

export const STATES = {
  running: ["accent", "Running"],
  stopping: ["warn", "Stopping…"],
  completed: ["good", "Done"],
  failed: ["bad", "Failed"],
  declined: ["bad", "Declined"],
  stopped: ["warn", "Stopped"],
  paused: ["warn", "Paused"],
  waiting: ["warn", "Waiting for a person"],
  unknown: ["", "Ended"],
};

/** Who speaks: the leader, or a member inside of whoever asked it. */
export class Speaker {
  constructor(name, list, head) {
    this.name = name;
    this.list = list; // where its parts go
    this.head = head;
    this.routes = new Routes();
    this.text = null;
    this.streamed = 0;
  }

  /** A member with a card of its own, inside of `parent`. */
  static member(name, parent) {
    const mark = chip("Working", "accent");
    const list = el("ol.parts", { role: "list" });
    const made = new Speaker(name, list, mark);
    const initial = el("span.face", { "aria-hidden": "true" }, name.slice(0, 1).toUpperCase());
    const head = el("div.head", {}, initial, el("strong", {}, name), mark, made.routes.box);
    made.box = el("li.member", { "data-member": name, "aria-label": name }, head, list);
    parent.part(made.box);
    return made;
  }

  part(made) {
    this.rest();
    this.list.append(made);
  }

  say(said) {
    if (!this.text) {
      const box = el("div.text");
      this.list.append(el("li.speech", {}, box));
      this.text = new Text(box);
    }
    this.text.append(said);
    this.streamed += said.length;
  }

  /** What it says next is a text of its own. */
  rest() {
    this.text?.end();
    this.text = null;
  }
}

/** Have a chip say something else. */
export function set(mark, tone, text) {
  mark.className = `chip ${tone}`.trim();
  mark.textContent = text;
}

/** Whether the content is what a contract is for, and no text. */
export const handsIn = (event) => ["Plan", "Critique", "Judgement"].includes(event.content_type);

/** Arguments of a tool, in a line. */
export function said(given) {
  return Object.entries(given ?? {})
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}
