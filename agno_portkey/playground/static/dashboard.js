// The dashboard: what is asked, when it is asked again, and what is said where there is no answer.

import { barred, get, keepToken, me, token } from "./api.js";
import { answered } from "./asking.js";
import { chart, moment, named, stamp, table, today } from "./board-charts.js";
import { CARDS, tiles } from "./board-panels.js";
import { openRuns } from "./board-runs.js";
import { byId, chip, el } from "./dom.js";
import { themeButton } from "./theme.js";

const SCOPE = "dashboard:read";
const EVERY = 5000;
const LONGEST = 366 * 86_400_000;
const NAMES = ["swarm", "role", "environment"];
const ALL = "\u0000";

const cards = new Map();
let timer = 0;
let asking = new AbortController();
let who = null;

/** The range of time that is shown now, in milliseconds. */
function range() {
  const chosen = byId("range").value;
  if (chosen !== "own") return [Date.now() - 1000 * Number(chosen), Date.now()];
  return [byId("since"), byId("until")].map((field) => new Date(field.value).getTime());
}

function query([since, until], more = {}) {
  const said = new URLSearchParams({ since: new Date(since).toISOString(), until: new Date(until).toISOString(), ...more });
  for (const name of NAMES) if (byId(name).value !== ALL) said.set(name, byId(name).value);
  return said;
}

/** The runs behind what a panel shows of `key` at `span`. */
function drill(title, panel, span, more) {
  const said = Object.fromEntries(Object.entries({ panel, ...more }).filter(([, value]) => value !== undefined && value !== null));
  openRuns(title, query(span, said));
}

function make(card) {
  const box = el("section.card.panel", { "aria-labelledby": `${card.id}-title`, "aria-busy": "true", id: `card-${card.id}` });
  const choice = card.choices && el("select", { "aria-label": `${card.title}: ${card.choice}` }, ...card.choices.map(([value, text]) => el("option", { value }, text)));
  choice?.addEventListener("change", () => refresh(card));
  const held = {
    card, box, choice, charts: [],
    body: el("div"), chips: el("div.circuits"), figures: el("div"), details: el("details"), word: el("div"),
  };
  held.details.append(el("summary", {}, "Figures"), held.figures);
  held.details.addEventListener("toggle", () => held.data && figures(held));
  box.append(el("header", {}, el("h2", { id: `${card.id}-title` }, card.title), choice ?? ""), held.word, held.body, held.chips, held.details);
  byId("cards").append(box);
  cards.set(card.id, held);
}

function draw(held) {
  const { card, data } = held;
  held.word.replaceChildren();
  const empty = data.groups.length === 0;
  held.details.hidden = empty;
  if (empty) {
    const what = data.spans ? [card.empty, "Choose a longer time, or fewer filters."] : ["No run is traced in this database yet.", "Give it to telemetry.setup(db=…), or chat with a team here."];
    held.charts = [];
    held.body.replaceChildren(el("div.nothing", {}, el("p", {}, what[0]), el("p.dim.small", {}, what[1])));
    held.chips.replaceChildren();
    return;
  }
  const drawn = card.draw(data, held.choice?.value);
  if (held.charts.length !== drawn.length) {
    const boxes = drawn.map((_, index) => el(`div.chart${index ? ".second" : ""}`, { "data-chart": card.id }));
    held.body.replaceChildren(...boxes);
    held.charts = boxes.map((box) => chart(box, card.title, (at, series, { step }) => {
      const title = `${card.title}: ${series ? `${series.name}, ` : ""}${moment(at, Math.min(step, 59_000))}`;
      drill(title, card.id, [at, at + step], { by: held.data.by, key: series?.key, of: series?.of });
    }));
  }
  held.charts.forEach((each, index) => each.show(drawn[index]));
  held.chips.replaceChildren(...(card.chips?.(data) ?? []).map((each) => chip(each.text, each.tone, `since ${stamp(each.since)}`)));
  if (held.details.open) figures(held);
}

function figures(held) {
  const { card, data } = held;
  const open = (row) => drill(`${card.title}: ${named(row.key, data.left_out)}`, card.id, [data.since, data.until], { by: data.by, key: row.key });
  const also = card.also?.(data);
  held.figures.replaceChildren(
    table("In all of the time that is shown", card.columns, data.groups, open),
    also ? table(also.caption, also.columns, also.rows) : "",
  );
}

function drawTiles(data) {
  byId("tiles").setAttribute("aria-busy", "false");
  byId("tiles").replaceChildren(...tiles(data).map((tile) => {
    const state =
      tile.met === null ? ["", tile.target ? "no figure" : ""]
      : tile.met === "few" ? ["", "too few to say"]
      : tile.met ? ["good", "met"] : ["bad", "missed"];
    return el("li.tile.panel", { "data-tile": tile.id },
      el("div.name", {}, tile.name, state[1] && chip(state[1], state[0])),
      el("div.figure", {}, tile.figure),
      el("div.small.dim", {}, tile.target ? `Target: ${tile.target}` : "No target"),
      el("div.small.dim", {}, tile.note),
      el("button", { type: "button", onclick: () => drill(tile.name, tile.panel, [data.since, data.until], {}), "aria-label": `Runs behind: ${tile.name}` }, "Runs"),
    );
  }));
}

/** Ask for one card anew; what went wrong comes back. */
async function refresh(held, span = range(), signal = asking.signal) {
  held = held.card ? held : cards.get(held.id);
  const { card } = held;
  try {
    const by = card.by?.(held.choice.value);
    held.data = await get(`/portkey/api/panels/${card.id}?${query(span, by ? { by } : {})}`, { needs: SCOPE, signal });
    held.box.setAttribute("aria-busy", "false");
    draw(held);
    return { data: held.data };
  } catch (error) {
    if (error.name === "AbortError") return { left: true };
    return { error, held };
  }
}

async function refreshTiles(span, signal) {
  try {
    const data = await get(`/portkey/api/panels/success?${query(span)}`, { needs: SCOPE, signal });
    drawTiles(data);
    return { data };
  } catch (error) {
    return error.name === "AbortError" ? { left: true } : { error };
  }
}

/** Ask for everything anew; what is on its way already is not waited for. */
async function all() {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const span = range();
  if (!(span[0] >= 0 && span[0] < span[1] && span[1] - span[0] <= LONGEST)) {
    say([el("p.notice.warn", {}, "Choose a time from which, and a later one until which: at most 366 days.")]);
    return;
  }
  const came = await Promise.all([refreshTiles(span, signal), ...[...cards.values()].map((held) => refresh(held, span, signal))]);
  if (signal.aborted || came.some((each) => each.left)) return;
  report(came);
  // Names that come later are to be had, too; not while somebody is choosing.
  if (Date.now() - filtersAt > 30_000 && !NAMES.includes(document.activeElement?.id)) filters();
  next();
}

function next() {
  clearTimeout(timer);
  const live = byId("live").checked && byId("range").value !== "own";
  if (live && document.visibilityState === "visible") timer = setTimeout(all, EVERY);
}

function say(words) {
  byId("trouble").replaceChildren(...words);
}

function report(came) {
  const failed = came.filter((each) => each.error);
  const data = came.find((each) => each.data)?.data;
  const words = [];
  const messages = new Set(failed.map((each) => each.error.message));
  if (failed.length && (messages.size === 1 || !data)) {
    const { error } = failed[0];
    const seen = byId("state").dataset.at ? ` What is shown is of ${byId("state").dataset.at}.` : "";
    words.push(el("p.notice.bad", {}, `${error.message}${seen}`));
  } else {
    for (const { error, held } of failed) {
      if (held) held.word.replaceChildren(el("p.notice.bad", { role: "alert" }, error.message));
      else words.push(el("p.notice.bad", {}, error.message));
    }
  }
  if (data?.behind === null) words.push(el("p.notice.warn", {}, "The database is being written to: the newest spans are not counted yet."));
  else if (data?.behind) words.push(el("p.notice.warn", {}, `${data.behind} spans are not counted yet: the figures grow.`));
  say(words);
  if (failed.length) {
    byId("state").textContent = "Not up to date";
    return;
  }
  byId("state").dataset.at = today(Date.now());
  byId("state").textContent = `Updated ${byId("state").dataset.at}`;
}

let filtersAt = 0;

async function filters() {
  filtersAt = Date.now();
  let found = { swarms: [], roles: [], environments: [] };
  try {
    found = await get("/portkey/api/filters", { needs: SCOPE });
  } catch {
    // the panels say why
  }
  for (const name of NAMES) {
    const chosen = byId(name).value || ALL;
    const given = found[`${name}s`];
    byId(name).replaceChildren(
      el("option", { value: ALL }, "All"),
      ...given.map((each) => el("option", { value: each }, named(each))),
      el("option", { value: "" }, "(none)"),
    );
    byId(name).value = chosen;
    if (byId(name).selectedIndex < 0) byId(name).value = ALL;
  }
}

const local = (at) => new Date(at - 60_000 * new Date(at).getTimezoneOffset()).toISOString().slice(0, 19);

function changed(event) {
  const own = byId("range").value === "own";
  if (event.target.id === "range" && own) {
    const [since, until] = [Date.now() - 3_600_000, Date.now()];
    if (!byId("since").value) [byId("since").value, byId("until").value] = [local(since), local(until)];
  }
  for (const each of document.querySelectorAll(".own")) each.hidden = !own;
  for (const { box } of cards.values()) box.setAttribute("aria-busy", "true");
  all();
}

async function sign() {
  const said = await answered({ title: "Who are you?", text: "A token of this server with the scope dashboard:read. It is kept until this tab is closed.", label: "Token", yes: "Use it", secret: true });
  if (said === null) return;
  keepToken(said);
  await begin();
}

async function begin() {
  try {
    who = await me();
    byId("who").textContent = who.authorization ? (who.known ? (who.name ?? "") : "not known") : (who.environment ?? "");
    byId("sign").hidden = !who.authorization;
    byId("sign").textContent = token() ? "Token" : "Give a token";
    if (who.authorization && barred(who, SCOPE)) byId("state").textContent = "";
  } catch {
    // the panels say why
  }
  await filters();
  await all();
}

for (const card of CARDS) make(card);
themeButton(byId("theme"), () => cards.forEach((held) => held.charts.forEach((each) => each.again())));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cards.forEach((held) => held.charts.forEach((each) => each.again())));
byId("sign").addEventListener("click", sign);
byId("asked").addEventListener("submit", (event) => event.preventDefault());
byId("asked").addEventListener("change", (event) => (event.target.id === "live" ? (event.target.checked ? all() : clearTimeout(timer)) : changed(event)));
document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? byId("live").checked && all() : clearTimeout(timer)));
begin();
