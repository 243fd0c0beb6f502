// Elements made by hand: texts are only ever text nodes, so that no text can become markup.

/** An element: `el("p.dim#id", {title: "…", onclick}, "text", other)`. */
export function el(what, given = {}, ...inside) {
  const [, tag, marks] = /^([a-z0-9]+)(.*)$/.exec(what);
  const made = document.createElement(tag);
  for (const mark of marks.match(/[.#][^.#]+/g) ?? []) {
    if (mark[0] === ".") made.classList.add(mark.slice(1));
    else made.id = mark.slice(1);
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...inside.filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** A chip; `tone` is good, warn, bad, accent or nothing. */
export function chip(text, tone = "", title = "") {
  return el(`span.chip${tone && `.${tone}`}`, { title: title || null }, text);
}

// Marks that turn the direction of what follows, also outside of the text they stand in.
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** `said` without marks that would write over what is beside it. */
export const tame = (said) => String(said).replace(TURNS, "\ufffd");

/** At most `length` characters of `said`, on one line. */
export function short(said, length = 120) {
  const line = tame(said ?? "").replace(/\s+/g, " ").trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

const whole = new Intl.NumberFormat("en");

export const count = (number, unit) =>
  `${whole.format(number)}\u00a0${unit}${number === 1 ? "" : "s"}`;

/** US dollars, of which a call takes few. */
export const dollars = (cost) =>
  cost >= 1 ? `$${cost.toFixed(2)}` : `$${Number(cost.toPrecision(2)).toFixed(cost < 0.001 ? 6 : 4)}`;

/** Seconds: 0.02 s, 1.4 s, 35 s, 2 min 5 s. */
export function lasting(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 0.095) return `${Math.max(0.01, seconds).toFixed(2)}\u00a0s`;
  if (seconds < 10) return `${seconds.toFixed(1)}\u00a0s`;
  const all = Math.round(seconds);
  return all < 60 ? `${all}\u00a0s` : `${Math.floor(all / 60)}\u00a0min ${all % 60}\u00a0s`;
}

const live = { timer: 0, texts: [] };

/** Have screen readers say `text` once they are done with what they say. */
export function announce(text) {
  live.texts.push(short(text, 400));
  clearTimeout(live.timer);
  // What comes at once is said as one.
  live.timer = setTimeout(() => {
    const box = byId("announcer");
    if (box) box.textContent = live.texts.splice(0).slice(-4).join(". ");
  }, 250);
}
