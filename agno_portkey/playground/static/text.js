// A text that comes in pieces, as paragraphs and fenced code: nothing that is there is made again.

import { el, tame } from "./dom.js";

// Characters of one block: the browser lays a block out as a whole whenever it grows.
const LONGEST = 8_000;
// Characters of a line that may still become a fence.
const FENCE = 200;

export class Text {
  constructor(box) {
    this.box = box;
    this.node = null; // the text node that grows
    this.code = null; // the fence that is open, such as ```
    this.start = true; // of a line
    this.held = ""; // the start of a line that may become a fence
    this.length = 0; // of all that came
  }

  append(said) {
    this.length += said.length;
    let rest = this.held + tame(said);
    this.held = "";
    while (rest) {
      const at = rest.indexOf("\n");
      const line = at < 0 ? rest : rest.slice(0, at);
      if (this.start && at < 0 && mayBeFence(line)) {
        this.held = line;
        return;
      }
      this.#line(line, at >= 0);
      rest = at < 0 ? "" : rest.slice(at + 1);
    }
  }

  /** No more comes: what was held back is text, or a last fence. */
  end() {
    const held = this.held;
    this.held = "";
    if (held) this.#line(held, false);
  }

  #line(line, ended) {
    if (this.start && this.#fence(line)) return;
    if (this.start && ended && !line.trim() && !this.code) {
      this.node = null;
      return;
    }
    this.#write(ended ? `${line}\n` : line);
    this.start = ended;
  }

  #fence(line) {
    const [, marks, name] = /^ {0,3}(`{3,})([^`]*)$/.exec(line.slice(0, FENCE + 1)) ?? [];
    if (!marks || line.length > FENCE) return false;
    if (this.code) {
      if (name.trim() || marks.length < this.code.length) return false;
      this.code = this.node = null;
      return true;
    }
    this.code = marks;
    const code = el("code");
    // A keyboard has to be able to scroll it.
    const label = name.trim() ? `Code, ${name.trim().slice(0, 40)}` : "Code";
    this.box.append(el("pre", { tabindex: 0, role: "group", "aria-label": label }, code));
    this.#open(code);
    return true;
  }

  #write(text) {
    let rest = text;
    while (rest) {
      if (!this.node) this.#open(this.box.appendChild(el("p", { dir: "auto" })));
      const room = LONGEST - this.node.length;
      if (rest.length <= room) {
        this.node.appendData(rest);
        return;
      }
      // A pair of halves of one character stays together.
      const cut = /[\ud800-\udbff]/.test(rest[room - 1] ?? "") ? room - 1 : room;
      this.node.appendData(rest.slice(0, Math.max(0, cut)));
      rest = rest.slice(Math.max(0, cut));
      if (this.code) this.#open(this.node.parentNode);
      else this.#open(this.box.appendChild(el("p.more", { dir: "auto" })));
    }
  }

  #open(inside) {
    this.node = inside.appendChild(document.createTextNode(""));
  }
}

const mayBeFence = (line) =>
  line.length <= FENCE && /^ {0,3}(`{0,2}|`{3,}[^`]*)$/.test(line);

/** The whole of a text at once. */
export function written(said, what = "div.text") {
  const box = el(what);
  const text = new Text(box);
  text.append(String(said));
  text.end();
  return box;
}
