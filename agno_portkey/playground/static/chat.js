// The chat page: who asks, whom they talk to, and what is at hand while they do.

import { barred, get, keepToken, me, token } from "./api.js";
import { answered } from "./asking.js";
import { Desk } from "./desk.js";
import { byId, chip, el, short } from "./dom.js";
import { listSessions } from "./history.js";
import { kept } from "./kept.js";
import { Talk } from "./talk.js";
import { themeButton } from "./theme.js";

const message = byId("message");
const picker = byId("place");
let who = null;
let places = [];

const desk = new Desk({
  again: (gate) => {
    if (!talk.free) return false;
    runApproved(gate);
    return true;
  },
});

const talk = new Talk({
  desk: () => {
    drawer("desk", true);
    byId("desk-title").focus();
  },
  ended: () => {
    sessions();
    desk.refresh();
  },
  heard: () => desk.refresh(),
  busy: (live) => {
    const changed = byId("stop").hidden === Boolean(live);
    byId("stop").hidden = !live;
    byId("progress").hidden = !live;
    byId("send").hidden = Boolean(live);
    // The button that had the focus is gone.
    const lost = [document.body, byId("send"), byId("stop")].includes(document.activeElement);
    if (changed && lost) (live ? byId("stop") : message).focus();
  },
});

const place = () => places[picker.selectedIndex] ?? null;

async function signed() {
  try {
    who = await me();
  } catch (error) {
    talk.trouble(error.message);
    return false;
  }
  const named = who.known ? short(who.name ?? "", 40) : "";
  byId("who").textContent = [named, who.environment && short(who.environment, 20)]
    .filter(Boolean)
    .join(" · ");
  byId("sign").hidden = !who.authorization;
  byId("sign").textContent = who.known ? "Sign out" : "Give a token";
  return true;
}

async function sign() {
  if (who?.known) keepToken("");
  else {
    const said = await answered({
      title: "Your token",
      text: "This server asks who you are. The token is kept in this tab alone.",
      label: "Token",
      yes: "Use it",
      needed: true,
      secret: true,
    });
    if (said === null) return;
    keepToken(said);
  }
  await start();
}

async function found() {
  const lists = await Promise.allSettled(
    ["team", "agent"].map(async (kind) => {
      const all = await get(`/${kind}s`, { needs: `${kind}s:read` });
      return all.map((each) => ({
        kind,
        id: each.id,
        name: each.name || each.id,
        members: (each.members ?? []).map((one) => one.name).filter(Boolean),
      }));
    }),
  );
  const refused = lists.find((each) => each.status === "rejected");
  return {
    places: lists.flatMap((each) => each.value ?? []),
    why: refused ? refused.reason.message : "",
  };
}

function offer() {
  const group = (kind, label) => {
    const its = places.filter((each) => each.kind === kind);
    if (!its.length) return null;
    const options = its.map((each) => el("option", { value: each.id }, short(each.name, 60)));
    return el("optgroup", { label }, ...options);
  };
  picker.replaceChildren(...[group("team", "Teams"), group("agent", "Agents")].filter(Boolean));
  const last = kept().place;
  const at = places.findIndex((each) => each.kind === last?.kind && each.id === last?.id);
  picker.selectedIndex = Math.max(0, at);
}

function greet(why) {
  const it = place();
  const none = who?.authorization && !who.known ? "Give a token to begin." : why || "There is no team or agent here.";
  byId("greeting").textContent = it ? `Talk to ${short(it.name, 60)}` : none;
  byId("members").replaceChildren(...(it?.members ?? []).slice(0, 12).map((each) => chip(short(each, 40))));
  const bars = it ? barred(who, `${it.kind}s:run`) : none;
  message.disabled = !it;
  byId("send").setAttribute("aria-disabled", String(Boolean(bars)));
  byId("send").title = bars;
}

async function sessions() {
  if (place()) await listSessions(place(), who, kept().session, (id) => open(id));
}

async function open(session) {
  drawer("history", false);
  greet("");
  const opening = talk.open(place(), session);
  talk.trouble(barred(who, `${place().kind}s:run`));
  await Promise.all([opening, sessions(), desk.set(who, place().name)]);
}

/** A plan is approved for the session that it was made in. */
async function runApproved(gate) {
  if (gate.session_id && gate.session_id !== kept().session) await open(gate.session_id);
  talk.again(gate);
}

async function start() {
  talk.trouble("");
  if (!(await signed())) {
    setTimeout(start, 3000);
    return;
  }
  const all = await found();
  places = all.places;
  offer();
  greet(all.why);
  if (!place()) {
    if (all.why && token()) talk.trouble(all.why);
    await desk.set(who, null);
    return;
  }
  const last = kept();
  await open(last.place?.id === place().id ? last.session : null);
}

function grow() {
  message.style.height = "auto";
  message.style.height = `${Math.min(message.scrollHeight + 2, 220)}px`;
}

async function submit() {
  const text = message.value.trim();
  if (!text || talk.live || byId("send").getAttribute("aria-disabled") === "true") return;
  message.value = "";
  grow();
  if (!(await talk.send(text))) message.value ||= text;
}

function drawer(id, open) {
  const box = byId(id);
  const on = open ?? !box.hasAttribute("data-open");
  for (const each of ["history", "desk"]) {
    const shown = each === id && on;
    byId(each).toggleAttribute("data-open", shown);
    byId(`show-${each}`).setAttribute("aria-expanded", String(shown));
  }
}

message.addEventListener("input", grow);
message.addEventListener("keydown", (event) => {
  // In the middle of a word that is composed, Enter is the keyboard's own.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("stop").addEventListener("click", () => talk.stop());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || byId("asking").open) return;
  const shown = ["history", "desk"].find((id) => byId(id).hasAttribute("data-open"));
  if (shown) {
    drawer(shown, false);
    byId(`show-${shown}`).focus();
  } else talk.stop();
});
byId("log").addEventListener("scroll", () => talk.scrolled(), { passive: true });
byId("new").addEventListener("click", async () => {
  if (!place()) return;
  await open(null);
  message.focus();
});
picker.addEventListener("change", () => open(null));
byId("sign").addEventListener("click", sign);
byId("show-history").addEventListener("click", () => drawer("history"));
byId("show-desk").addEventListener("click", () => drawer("desk"));
themeButton(byId("theme"));
start();
