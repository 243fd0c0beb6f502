// The sessions of the caller with one team or agent, and what was said in one.

import { barred, get } from "./api.js";
import { byId, el, short } from "./dom.js";

const DAY = 86_400_000;

function when(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  const options = Date.now() - at < DAY ? { timeStyle: "short" } : { dateStyle: "medium" };
  return new Intl.DateTimeFormat(undefined, options).format(at);
}

/** Show the newest sessions with `place`; `open(id)` opens one, `current` is open. */
export async function listSessions(place, who, current, open) {
  const [box, none] = [byId("sessions"), byId("no-sessions")];
  const say = (text) => {
    none.textContent = text;
    none.hidden = !text;
  };
  const why = barred(who, "sessions:read");
  if (why) {
    box.replaceChildren();
    return say(why);
  }
  let found;
  try {
    const asked = new URLSearchParams({
      type: place.kind,
      component_id: place.id,
      sort_by: "updated_at",
      sort_order: "desc",
      limit: "30",
    });
    found = (await get(`/sessions?${asked}`, { needs: "sessions:read" })).data ?? [];
  } catch (error) {
    return say(error.message);
  }
  const focused = box.contains(document.activeElement) && document.activeElement.dataset.session;
  box.replaceChildren(
    ...found.map((each) => {
      const on = each.session_id === current;
      const button = el(
        "button.session",
        {
          type: "button",
          "data-session": each.session_id,
          "aria-current": on ? "true" : null,
          onclick: () => open(each.session_id),
        },
        el("span.name", { dir: "auto" }, short(each.session_name || each.session_id, 80)),
        el("span.small.dim", {}, when(each.updated_at)),
      );
      return el("li", {}, button);
    }),
  );
  if (focused) box.querySelector(`[data-session="${CSS.escape(focused)}"]`)?.focus();
  return say(found.length ? "" : "No chats yet.");
}

/** The runs of a session that somebody asked for, oldest first: without those of members. */
export async function runsOf(place, session) {
  const path = `/sessions/${encodeURIComponent(session)}/runs?type=${place.kind}`;
  const runs = await get(path, { needs: "sessions:read" });
  return runs.filter((each) => !each.parent_run_id);
}

/** Whether a stored run is still going. */
export const goesOn = (run) => ["PENDING", "RUNNING"].includes(String(run.status).toUpperCase());

const STATES = {
  COMPLETED: "completed",
  CANCELLED: "stopped",
  ERROR: "failed",
  PAUSED: "paused",
};

/** What is left of a run whose events are gone: its answer and its state. */
export function told(turn, run) {
  if (run.content) {
    const content = typeof run.content === "string" ? run.content : JSON.stringify(run.content);
    if (turn.leader.streamed) turn.leader.part(el("li.small.dim", {}, "The connection broke; this is the whole answer:"));
    turn.leader.say(content);
  }
  turn.totals.measured(run.metrics);
  turn.end(STATES[String(run.status).toUpperCase()] ?? "unknown", { metrics: run.metrics });
}
